"""Whether two models mean the same by a token id.

A draft proposes ids and the target scores those very ids, so an id must stand for the same string in both.
"""

from __future__ import annotations

from dataclasses import dataclass

from specdec_cli.errors import MismatchError
from specdec_cli.models.hf.tokenizer import Tokenizer

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class VocabularyReport:
    """How two vocabularies compare, ids that no logit stands for left out.

    Attributes:
        compatible: the draft can draft for the target.
        shared: number of ids that mean the same string in both.
        num_differing: number of ids that mean different strings.
        differing: the first of those: id, the target's string, the draft's.
        num_target_only: number of ids that only the target has; the draft never proposes them.
        num_draft_only: number of ids that only the draft has.
        target_size: number of the target's tokens.
        draft_size: number of the draft's tokens.
        target_width: number of the target's logits, padding included.
        draft_width: number of the draft's logits, padding included.
        padding_only: the tokens are the same and the numbers of logits are not.
        special: parts such as `eos_token` that different tokens play: part, the target's, the draft's.
        summary: the comparison in one sentence.
    """

    compatible: bool
    shared: int
    num_differing: int
    differing: tuple[tuple[int, str, str], ...]
    num_target_only: int
    num_draft_only: int
    target_size: int
    draft_size: int
    target_width: int
    draft_width: int
    padding_only: bool
    special: tuple[tuple[str, str | None, str | None], ...]
    summary: str


def compare(target: Tokenizer, draft: Tokenizer, target_width: int, draft_width: int) -> VocabularyReport:
    """Whether the draft can draft for the target.

    It can if every id that both have means the same string in both and the draft has no token that the
    target lacks. A draft that lacks some of the target's is fine: it never proposes them, the target still
    samples them by itself, and the draft then reads something in their place (`ReadableTokens`). The
    numbers of logits may differ, since models pad them to round numbers.
    """
    target_tokens = _tokens(target, target_width)
    draft_tokens = _tokens(draft, draft_width)
    both = target_tokens.keys() & draft_tokens.keys()
    differing = sorted(token for token in both if target_tokens[token] != draft_tokens[token])
    draft_only = len(draft_tokens) - len(both)
    target_only = len(target_tokens) - len(both)
    return VocabularyReport(
        compatible=bool(both) and not differing and not draft_only,
        shared=len(both) - len(differing),
        num_differing=len(differing),
        differing=tuple((token, target_tokens[token], draft_tokens[token]) for token in differing[:EXAMPLES]),
        num_target_only=target_only,
        num_draft_only=draft_only,
        target_size=len(target_tokens),
        draft_size=len(draft_tokens),
        target_width=target_width,
        draft_width=draft_width,
        padding_only=target_tokens == draft_tokens and target_width != draft_width,
        special=_special_differences(target, draft),
        summary=_summary(len(both), len(differing), target_only, draft_only, (target_width, draft_width)),
    )


def require_compatible(target: str, draft: str, report: VocabularyReport) -> None:
    """Refuse a draft that cannot draft for the target.

    Args:
        target: its name.
        draft: its name.
        report: what `compare` found.

    Raises:
        MismatchError: it cannot, with what differs.
    """
    if report.compatible:
        return
    problem = f"{draft} cannot draft for {target}: {report.summary}"
    if report.differing:
        token, theirs, ours = report.differing[0]
        problem += f" Token {token:,} is {theirs!r} to the target and {ours!r} to the draft."
    hint = "Choose a draft of the same model family, or --draft ngram, which needs no model."
    raise MismatchError(problem, hint)


def require_same_tokens(first: str, other: str, report: VocabularyReport) -> None:
    """Refuse models that cannot speak as one: every id must mean the same string to both.

    Models that pad their logits to different numbers pass.

    Args:
        first: name of an ensemble's first model.
        other: name of another one.
        report: what `compare` found.

    Raises:
        MismatchError: they differ, with what differs.
    """
    if report.compatible and not report.num_target_only:
        return
    problem = f"{first} and {other} cannot be combined token by token: "
    if report.differing:
        token, theirs, ours = report.differing[0]
        problem += f"{report.num_differing:,} ids differ, token {token:,} is {theirs!r} and {ours!r}."
    else:
        problem += f"one has {report.num_target_only or report.num_draft_only:,} tokens that the other lacks."
    hint = (
        "Combine texts instead of tokens: specdec ensemble --algorithm specem; or take models of one family."
    )
    raise MismatchError(problem, hint)


def _tokens(tokenizer: Tokenizer, vocab_size: int) -> dict[int, str]:
    """The strings of the ids that the model can emit."""
    return {token: text for text, token in tokenizer.vocabulary().items() if token < vocab_size}


def _special_differences(
    target: Tokenizer, draft: Tokenizer
) -> tuple[tuple[str, str | None, str | None], ...]:
    theirs, ours = target.special_tokens, draft.special_tokens
    parts = sorted(theirs.keys() | ours.keys())
    return tuple(
        (part, theirs.get(part), ours.get(part)) for part in parts if theirs.get(part) != ours.get(part)
    )


def _summary(
    both: int, differing: int, target_only: int, draft_only: int, vocab_sizes: tuple[int, int]
) -> str:
    sizes = f"{both + target_only:,} tokens and {both + draft_only:,}"
    if differing:
        return f"of {both:,} ids that both have, {differing:,} mean different tokens ({sizes})."
    if draft_only:
        return f"the draft has {draft_only:,} tokens that the target lacks ({sizes})."
    if target_only:
        return (
            f"all {both:,} tokens of the draft are the target's, which has {target_only:,} more: these are "
            "never proposed, and the draft reads a stand-in for those that it has no row for."
        )
    if vocab_sizes[0] != vocab_sizes[1]:
        return f"the same {both:,} tokens, padded to {vocab_sizes[0]:,} logits and to {vocab_sizes[1]:,}."
    return f"the same {both:,} tokens."
