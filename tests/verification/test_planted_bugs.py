"""Negative controls: plausible bugs, planted one at a time into a copy of the source, are each caught.

A bug is caught when the law moves by more than rounding, or when one of the harness's own checks trips (noise
used twice, a commit of something that was not emitted).
"""

import pytest
from planting import broken, rebound

from specdec_cli.audit.enumeration import EXACT, NoiseReusedError, distance, law_of, law_of_text
from specdec_cli.audit.toys import MisuseError, ToyDraftModel, ToyLaw, ToyTarget
from specdec_cli.drafting import best_first, chain, ngram
from specdec_cli.drafting.ranking import DraftRanking
from specdec_cli.engine import loop
from specdec_cli.engine.roles import Roles
from specdec_cli.engine.stopping import Stopping
from specdec_cli.sampling.distribution import Sampling
from specdec_cli.verification import block, own_sample, rejection, walk

VOCAB_SIZE = 3
PROMPT = (0, 1, 0)
TARGET, DRAFT = ToyLaw(VOCAB_SIZE, 1), ToyLaw(VOCAB_SIZE, 2)


def error_of(method, module, right, wrong):
    """Distance of the law of four tokens from the target's, with one module replaced by a broken copy."""
    parts = {each: each for each in (rejection, walk, block, own_sample, chain, best_first, ngram, loop)}
    if module is not None:
        parts[module] = broken(module, right, wrong)
    if module is walk:
        parts[rejection] = rebound(rejection, walk_down=parts[walk].walk_down)
    verify = {
        "sps": parts[rejection].reject_by_token,
        "block": parts[block].verify_block,
        "specexec": parts[own_sample].follow_own_sample,
    }[method]
    if method == "specexec":
        shape = best_first.TreeShape(budget=5, beams=2, depth=2, branches=2)
        drafter = parts[best_first].BestFirstDrafter(
            ToyDraftModel(DRAFT), shape, DraftRanking(1.0), VOCAB_SIZE
        )
    else:
        drafter = parts[chain].ChainDrafter(ToyDraftModel(DRAFT), 2, Sampling(), VOCAB_SIZE)

    def program(randomness):
        roles = Roles(ToyTarget(TARGET), drafter, verify)
        steps = parts[loop].decode(PROMPT, roles, randomness, Stopping(4))
        return tuple(token for step in steps for token in step.tokens)

    return distance(law_of(program), law_of_text(TARGET, PROMPT, 4))


BUGS = {
    "draft over target": ("sps", rejection, "float(remaining[token]) / float(proposal[token])", "float(proposal[token]) / float(remaining[token])"),
    "accepts with the target's probability alone": ("sps", rejection, "float(remaining[token]) / float(proposal[token])", "float(remaining[token])"),
    "rejected guess leaves no trace": ("sps", rejection, "remaining = residual(remaining, proposal)", "pass"),
    "residual from the root's row": ("sps", walk, "target[node + 1]", "target[0]"),
    "row of the parent": ("specexec", own_sample, "target[node + 1]", "target[max(node, 0)]"),
    "path goes on after a token that was not guessed": ("specexec", own_sample, "if tree.tokens[child] == token", "if tree.tokens[child] >= token"),
    "noise of the step's first position for all": ("specexec", own_sample, "emitting(position + len(path))", "emitting(position)"),
    "unscaled block residual": ("block", block, "residual(rows[kept], drafts[kept], kept_ratio)", "residual(rows[kept], drafts[kept])"),
    "block ratio not capped": ("block", block, "capped_ratio(ratio, float(rows[count - 1][token]), float(drafts[count - 1][token]))", "ratio * float(rows[count - 1][token]) / float(drafts[count - 1][token])"),
    "block kept by its ratio alone": ("block", block, "keep = 1.0 if excess + 1 - ratio == 0 else excess / (excess + 1 - ratio)", "pass"),
    "block looks one row back": ("block", block, "excess = float((ratio * rows[count] - drafts[count])", "excess = float((ratio * rows[count - 1] - drafts[count - 1])"),
    "noise of a judged block reused in the next step": ("block", block, "accepting(position + count - 1, position)", "accepting(position + count - 1, 0)"),
    "draft drawn at another temperature than recorded": ("sps", chain, "randomness.categorical(draft,", "randomness.categorical(draft ** 2,"),
    "proposal of the level before": ("sps", chain, "TokenTree.chain(tokens, proposals)", "TokenTree.chain(tokens, proposals[:1] * length)"),
    "unread guess committed as read": ("sps", chain, "if node < self._scored]", "]"),
    "last token of a step not committed": ("sps", loop, "target.commit(verdict.path, emitted)", "target.commit(verdict.path, emitted[:-1])"),
    "accepted guesses emitted in tree order": ("specexec", loop, "tree.tokens[node] for node in verdict.path", "tree.tokens[index] for index, _ in enumerate(verdict.path)"),
}  # fmt: skip


@pytest.mark.parametrize("method", ["sps", "block", "specexec"])
def test_without_a_bug_the_harness_finds_no_error(method):
    assert error_of(method, None, "", "") < EXACT


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug):
    try:
        error = error_of(*BUGS[bug])
    except (NoiseReusedError, MisuseError, IndexError, ValueError):
        return
    assert error > 1e6 * EXACT
