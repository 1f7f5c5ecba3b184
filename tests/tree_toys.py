"""Trees drafted and judged over three tokens: the exact law of what a first step emits."""

from specdec_cli.audit.enumeration import completed, distance, law_of, law_of_text
from specdec_cli.audit.exact import LENGTH, PROMPT, VOCAB_SIZE
from specdec_cli.audit.toys import ToyDraftModel, ToyLaw, ToyTarget
from specdec_cli.drafting import tree_drafter
from specdec_cli.drafting.policies import hub, switched, top_k, with_replacement, without_replacement
from specdec_cli.drafting.shapes import parse_tree
from specdec_cli.engine.loop import decode
from specdec_cli.engine.roles import Roles
from specdec_cli.engine.stopping import Stopping
from specdec_cli.sampling.distribution import Sampling

TARGET, DRAFT = ToyLaw(VOCAB_SIZE, 3), ToyLaw(VOCAB_SIZE, 6)
POLICIES = {
    "with replacement": with_replacement.propose,
    "without replacement": without_replacement.propose,
    "hub": hub.propose,
    "top k": top_k.propose,
    "switched": switched.switched(hub.propose, without_replacement.propose, 0.45),
}


def first_step(tree, policy, verify, target=TARGET, draft=DRAFT, drafter=tree_drafter, length=LENGTH):
    """The law of what the first step emits."""

    def program(randomness):
        made = drafter.TreeDrafter(ToyDraftModel(draft), parse_tree(tree), policy, Sampling(), VOCAB_SIZE)
        roles = Roles(ToyTarget(target), made, verify)
        return next(iter(decode(PROMPT, roles, randomness, Stopping(length)))).tokens

    return law_of(program)


def error_of(law, length=LENGTH, target=TARGET):
    """How far the law of a first step, continued by the target, is from the target's."""
    return distance(completed(law, target, PROMPT, length), law_of_text(target, PROMPT, length))
