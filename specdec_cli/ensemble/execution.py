"""Ways to sample an ensemble's law, all exact: the choice changes what it costs, never what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from specdec_cli.drafting.base import Drafter
from specdec_cli.drafting.none import NoDrafter
from specdec_cli.engine.loop import decode
from specdec_cli.engine.roles import Roles, Share, Step
from specdec_cli.engine.stopping import Stopping
from specdec_cli.ensemble.alternate_proposal import AlternateProposal
from specdec_cli.ensemble.members import Ensemble
from specdec_cli.ensemble.targets import EnsembleTarget, MixtureTarget, Proposer, ProposerRows, Scorer
from specdec_cli.sampling.randomness import Randomness
from specdec_cli.verification.base import Verifier
from specdec_cli.verification.own_sample import follow_own_sample
from specdec_cli.verification.rejection import reject_by_token

CHAIN = 4  # tokens that the proposer of `sd` drafts unless told otherwise


@dataclass(frozen=True, slots=True)
class Execution:
    """How the law is sampled.

    Attributes:
        kind: "plain", "sd", "chef" or "mixture", as `--exec` names them.
        gammas: tokens that each member proposes at a time, in the members' order; 0 for one that never does.
            Of use to sd, whose proposer is the member with the most, and to chef.
        verify: who judges the chains of sd.
    """

    kind: str
    gammas: tuple[int, ...] = ()
    verify: Verifier = reject_by_token


def lengths(kind: str, given: Sequence[int], sizes: Sequence[float]) -> tuple[int, ...]:
    """The proposal length of each member.

    Args:
        kind: of the execution.
        given: none, one of the first proposer, or one for each member.
        sizes: cost of each member; the cheapest proposes first, the first named of equals.

    Returns:
        As given; otherwise 1 each for chef, which is never dearer than plain decoding, and `CHAIN` for sd.
    """
    if len(given) == len(sizes) > 1:
        return tuple(given)
    first = min(range(len(sizes)), key=sizes.__getitem__)
    alone = given[0] if given else CHAIN if kind == "sd" else 1
    others = 0 if kind == "sd" else 1
    return tuple(alone if index == first else others for index in range(len(sizes)))


def turns(gammas: Sequence[int], sizes: Sequence[float]) -> list[int]:
    """Indices of the members in the order of their turns: long chains first, then cheap members."""
    return sorted(range(len(gammas)), key=lambda index: (-gammas[index], sizes[index], index))


def run(
    ensemble: Ensemble,
    execution: Execution,
    prompt: Sequence[int],
    randomness: Randomness,
    stopping: Stopping,
    drafter: Drafter | None = None,
) -> Iterator[Step]:
    """Extend a prompt by tokens of the ensemble's law.

    A single model is decoded plainly, whatever the execution: there is nothing to save.

    Args:
        ensemble: members and law.
        execution: how.
        prompt: token ids.
        randomness: chance.
        stopping: what ends the text.
        drafter: for sd, one that is no member and proposes instead of them.
    """
    kind = "plain" if len(ensemble.members) == 1 else execution.kind
    sizes = [member.size for member in ensemble.members]
    if kind == "chef":
        order = turns(execution.gammas, sizes)
        yield from AlternateProposal(ensemble, execution.gammas, order, prompt, randomness, stopping).steps()
    elif kind == "mixture":
        target = MixtureTarget(ensemble)
        roles = Roles(target, NoDrafter(), target.draw_a_member)
        steps = decode(prompt, roles, randomness, stopping)
        yield from _with_shares(ensemble, steps, lambda step: (target.chosen,), None)
    elif kind == "sd":
        proposer = None if drafter else turns(execution.gammas, sizes)[0]
        roles = _proposing(ensemble, execution, proposer, drafter)
        steps = decode(prompt, roles, randomness, stopping)
        yield from _with_shares(ensemble, steps, lambda step: _owners(step, proposer), proposer)
    else:
        roles = Roles(EnsembleTarget(ensemble, ensemble.members), NoDrafter(), follow_own_sample)
        steps = decode(prompt, roles, randomness, stopping)
        yield from _with_shares(ensemble, steps, lambda step: _owners(step, None), None)


def _proposing(ensemble: Ensemble, execution: Execution, index: int | None, drafter: Drafter | None) -> Roles:
    """The roles in which the member of an index, or another drafter, drafts and all members judge."""
    if drafter is not None or index is None:
        return Roles(EnsembleTarget(ensemble, ensemble.members), drafter or NoDrafter(), execution.verify)
    proposer = Proposer(ensemble.members[index], ensemble, execution.gammas[index])
    scorers: list[Scorer] = list(ensemble.members)
    scorers[index] = ProposerRows(proposer)
    return Roles(EnsembleTarget(ensemble, scorers), proposer, execution.verify)


def _owners(step: Step, proposer: int | None) -> tuple[int | None, ...]:
    return (proposer,) * step.accepted + (None,) * (len(step.tokens) - step.accepted)


def _with_shares(
    ensemble: Ensemble,
    steps: Iterator[Step],
    owners: Callable[[Step], tuple[int | None, ...]],
    proposer: int | None,
) -> Iterator[Step]:
    """Say of each step who proposed its tokens, and what each member had to do with it."""
    calls = ensemble.calls()
    for step in steps:
        shares = list(ensemble.shares_since(calls))
        if proposer is not None:
            shares[proposer] += Share(0, step.drafted, step.accepted)
        yield replace(step, owners=owners(step), shares=tuple(shares))
        calls = ensemble.calls()
