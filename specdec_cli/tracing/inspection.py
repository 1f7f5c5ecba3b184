"""A step as a picture: every guess, how likely each model found it, and what came instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from specdec_cli.engine.observation import VerifierView
from specdec_cli.sampling.distribution import Sampling, distribution
from specdec_cli.tracing.watching import StepView
from specdec_cli.tree import ROOT

ACCEPTED, REJECTED, UNREACHED = "accepted", "rejected", "unreached"


@dataclass(frozen=True, slots=True)
class Guess:
    """A node of a drafted tree.

    Attributes:
        token: id.
        text: of the token, special ones by name.
        parent: number of the guess above, or -1.
        fate: "accepted"; "rejected", where its parent was reached and it was not taken; or "unreached".
        target: the target's probability of it; None where the verifier was shown none.
        draft: the draft's probability of it; None where the draft is no model.
    """

    token: int
    text: str
    parent: int
    fate: str
    target: float | None
    draft: float | None


@dataclass(frozen=True, slots=True)
class StepPicture:
    """One pass of the target.

    Attributes:
        number: of the step, from 1.
        position: of the first guess in the text, from 0.
        after: text of the tokens just before it.
        guesses: parents first.
        accepted: guesses that were accepted.
        next_token: id of the token that came after them, the target's own.
        next_text: its text.
        next_probability: the target's probability of it.
        emitted: tokens that the step added to the text: fewer than it made where the text ends.
        finish_reason: why the text ends here, if it does.
    """

    number: int
    position: int
    after: str
    guesses: tuple[Guess, ...]
    accepted: int
    next_token: int
    next_text: str
    next_probability: float
    emitted: int
    finish_reason: str | None


def picture(
    view: StepView, number: int, text: Sequence[int], sampling: Sampling, name: Callable[[int], str]
) -> StepPicture:
    """The picture of a step.

    Probabilities are those that the verifier was shown and the draft's at the same sampling; at temperature
    0, where both are certain, the models' own at temperature 1.

    Args:
        view: of the step.
        number: of the step, from 1.
        text: ids before it, as many as are to be shown.
        sampling: of the run.
        name: a token's text.
    """
    tree, verdict = view.verifier.tree, view.verifier.verdict
    shown = Sampling() if sampling.is_greedy else sampling
    law = view.verifier.plain if sampling.is_greedy else view.verifier.rows.__getitem__
    rows = {parent + 1 for parent in tree.parents} | {(verdict.path[-1] if verdict.path else ROOT) + 1}
    targets = {row: law(row) for row in rows}
    drafts = {row: distribution(logits, shown) for row, logits in view.draft_logits.items() if row in rows}
    last = targets[(verdict.path[-1] if verdict.path else ROOT) + 1]
    return StepPicture(
        number=number,
        position=view.verifier.position,
        after="".join(map(name, text)),
        guesses=tuple(_guess(view.verifier, node, targets, drafts, name) for node in range(len(tree))),
        accepted=len(verdict.path),
        next_token=verdict.next_token,
        next_text=name(verdict.next_token),
        next_probability=float(last[verdict.next_token]),
        emitted=len(view.step.tokens),
        finish_reason=view.step.finish_reason,
    )


def _guess(
    view: VerifierView,
    node: int,
    targets: Mapping[int, Tensor],
    drafts: Mapping[int, Tensor],
    name: Callable[[int], str],
) -> Guess:
    """One guess, beside the target's and the draft's distributions by row."""
    token, parent = view.tree.tokens[node], view.tree.parents[node]
    fate = REJECTED if parent in (ROOT, *view.verdict.path) else UNREACHED
    draft = drafts.get(parent + 1)
    return Guess(
        token=token,
        text=name(token),
        parent=parent,
        fate=ACCEPTED if node in view.verdict.path else fate,
        target=float(targets[parent + 1][token]),
        draft=None if draft is None else float(draft[token]),
    )
