"""Settings and models become the roles of a method, or an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from specdec_cli.drafting.base import Drafter, DraftModel
from specdec_cli.drafting.best_first import BestFirstDrafter, TreeShape
from specdec_cli.drafting.budget import PassSeconds, TreeBudget
from specdec_cli.drafting.chain import ChainDrafter
from specdec_cli.drafting.ngram import NgramDrafter
from specdec_cli.drafting.ngram_first import NgramFirstDrafter
from specdec_cli.drafting.none import NoDrafter
from specdec_cli.drafting.planning import best_tree
from specdec_cli.drafting.policies import policy
from specdec_cli.drafting.policies.base import Policy
from specdec_cli.drafting.policies.switched import switched
from specdec_cli.drafting.ranking import CoupledRanking, DraftRanking
from specdec_cli.drafting.shapes import StaticTree, parse_tree
from specdec_cli.drafting.tree_drafter import TreeDrafter
from specdec_cli.ensemble.combiners import Combiner, Contrastive, LogitSum, WeightedAverage
from specdec_cli.ensemble.execution import Execution, lengths
from specdec_cli.ensemble.members import Ensemble, Member
from specdec_cli.registry.drafts import DraftSpec
from specdec_cli.registry.methods import METHODS
from specdec_cli.sampling.distribution import Sampling
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import resolve_draft
from specdec_cli.settings.ensembles import alpha_of, combined_of, combiner_name, execution_name, weights_of
from specdec_cli.verification.base import Verifier
from specdec_cli.verification.block import verify_block
from specdec_cli.verification.kseq import verify_kseq
from specdec_cli.verification.own_sample import follow_own_sample
from specdec_cli.verification.rejection import reject_by_token
from specdec_cli.verification.traversal import verify_traversal

VERIFIERS: dict[str, Verifier] = {
    "own_sample": follow_own_sample,
    "rejection": reject_by_token,
    "block": verify_block,
    "kseq": verify_kseq,
    "traversal": verify_traversal,
}
LARGEST_AUTO = 128  # nodes of a tree that is grown while it pays
COPIED = 7  # tokens copied at once: a pass then has eight rows, and no draft pass was paid for them
# How often the first, second, ... child of a node was the accepted one, for samples without replacement:
# measured by `specdec trees plan` on the default target with the draft layers:28 at temperature 0.6.
USUAL_ACCEPTANCE = (0.595, 0.107, 0.029, 0.016, 0.019, 0.005, 0.009, 0.005)


def sampling_of(settings: Settings) -> Sampling:
    """How logits become distributions under these settings."""
    return Sampling(settings.temperature, settings.top_k, settings.top_p, settings.min_p)


def verifier_of(settings: Settings) -> Verifier:
    """Who decides under these settings."""
    return VERIFIERS[METHODS[settings.method].verify[settings.verify]]


def drafter_of(
    settings: Settings,
    vocab_size: int,
    draft_model: Callable[[DraftSpec], DraftModel],
    pass_seconds: PassSeconds = lambda rows: None,
) -> Drafter:
    """Who guesses under these settings.

    Args:
        settings: of the run.
        vocab_size: of the target's vocabulary.
        draft_model: gives a draft's model.
        pass_seconds: what a pass of the target takes, by its rows, where that is known.

    Raises:
        InputError: the tree cannot be read, or the draft is of no use to the method.
    """
    draft = resolve_draft(settings)
    if draft is None:
        return NoDrafter()
    if METHODS[settings.method].drafter == "chain":
        return chain_drafter(settings, draft, vocab_size, draft_model)
    if draft.is_ngram:
        return NgramDrafter(
            settings.ngram_size, settings.max_budget, settings.max_beam_len, settings.max_branch_width
        )
    model = draft_model(draft)
    if METHODS[settings.method].takes_tree:
        return TreeDrafter(model, tree_of(settings), policy_of(settings), sampling_of(settings), vocab_size)
    ranked = _best_first(settings, model, vocab_size, pass_seconds)
    if not draft.ngram_first:
        return ranked
    copied = settings.node_budget or COPIED, settings.max_beam_len, settings.max_branch_width
    return NgramFirstDrafter(_copying(settings, *copied), ranked)


def chain_drafter(
    settings: Settings,
    draft: DraftSpec,
    vocab_size: int,
    draft_model: Callable[[DraftSpec], DraftModel],
) -> Drafter:
    """Who guesses a chain of `gamma` tokens; for the other arguments see `drafter_of`."""
    gamma = settings.gamma
    if draft.is_ngram:
        return NgramDrafter(settings.ngram_size, gamma, gamma, branches=1)
    chain = ChainDrafter(draft_model(draft), gamma, sampling_of(settings), vocab_size)
    if not draft.ngram_first:
        return chain
    length = max(gamma, COPIED)
    return NgramFirstDrafter(_copying(settings, length, length, branches=1), chain)


def _best_first(
    settings: Settings, model: DraftModel, vocab_size: int, pass_seconds: PassSeconds
) -> BestFirstDrafter:
    limits = TreeShape(
        budget=settings.node_budget or LARGEST_AUTO,
        beams=settings.max_n_beams,
        depth=settings.max_beam_len,
        branches=settings.max_branch_width,
        min_log_prob=settings.min_log_prob,
        decay=settings.decay,
    )
    ranking = (
        CoupledRanking(sampling_of(settings)) if settings.coupled else DraftRanking(settings.temperature)
    )
    budget = TreeBudget(pass_seconds) if settings.node_budget is None else None
    return BestFirstDrafter(model, limits, ranking, vocab_size, budget)


def _copying(settings: Settings, budget: int, depth: int, branches: int) -> NgramDrafter:
    """N-grams that go before a draft: only after a whole run of `ngram_size` tokens that stood before."""
    return NgramDrafter(settings.ngram_size, budget, depth, branches, shortest=settings.ngram_size)


def tree_of(settings: Settings) -> StaticTree:
    """The static tree that these settings ask for.

    Raises:
        InputError: it cannot be read.
    """
    asked = settings.tree or METHODS[settings.method].tree
    if asked:
        return parse_tree(asked)
    return best_tree(USUAL_ACCEPTANCE, settings.max_budget, settings.max_beam_len).tree


def largest_tree(settings: Settings) -> int:
    """Nodes of the largest tree that these settings can draft."""
    draft = resolve_draft(settings)
    if draft is None:
        return 0
    if METHODS[settings.method].takes_tree:
        return tree_of(settings).size
    if METHODS[settings.method].drafter == "chain":
        return max(settings.gamma, COPIED) if draft.ngram_first else settings.gamma
    return settings.node_budget or LARGEST_AUTO


def policy_of(settings: Settings) -> Policy:
    """How children are chosen under these settings, whose method takes a tree."""
    name = METHODS[settings.method].policy
    if name is None:
        raise ValueError(f"the method {settings.method} has no policy")
    if name == "hub" and settings.hub_above > 0:
        return switched(policy(name), policy("without_replacement"), settings.hub_above)
    return policy(name)


def combiner_of(settings: Settings) -> Combiner:
    """The law that these settings declare."""
    name, processed = combiner_name(settings), combined_of(settings) == "logits"
    if name == "weighted":
        return WeightedAverage(weights_of(settings))
    if name == "geometric":
        return LogitSum(weights_of(settings), processed)
    alpha = alpha_of(settings)
    if name == "proxy":
        return LogitSum((1.0, alpha, -alpha), processed)
    return Contrastive(alpha, settings.plausibility, processed)


def ensemble_of(settings: Settings, members: Sequence[Member]) -> Ensemble:
    """Members, in the order in which the settings name them, under the law of these settings."""
    weights = weights_of(settings) if combiner_name(settings) == "weighted" else None
    return Ensemble(tuple(members), combiner_of(settings), sampling_of(settings), weights)


def execution_of(settings: Settings, sizes: Sequence[float]) -> Execution:
    """How these settings sample the law; `--exec auto` is decided in `ensemble/auto.py`.

    Args:
        settings: checked.
        sizes: what a pass of each member costs, in any unit.
    """
    kind = execution_name(settings)
    return Execution(kind, lengths(kind, settings.gammas, sizes), verifier_of(settings))
