"""The rounds of SpecEM: everybody drafts, everybody judges, the winner's segment is appended for all.

Lv et al. (2024), SpecEM (first published as SpecFuse), https://arxiv.org/abs/2412.07380. Not lossless with
regard to any of its models: it is a choice among what they write, and its aim is quality.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch

from specdec_cli.errors import InputError
from specdec_cli.sampling.scoring import LOGPROB, shares
from specdec_cli.specem.member import Segment, SpecEMMember
from specdec_cli.specem.segmentation import count_words, draft_limit
from specdec_cli.specem.voting import rewards, updated, votes

STOP, LENGTH, CONTEXT = "stop", "length", "context"
SPARE_WINDOWS = 8  # of room: another tokenizer may need several tokens for one


@dataclass(frozen=True, slots=True)
class Rules:
    """How the rounds go.

    Attributes:
        window: tokens of a segment, about.
        max_words: words (or Chinese characters) after which the answer ends with a segment.
        fast: the first draft that ends the answer wins without a vote.
        self_vote: models are heard about their own drafts.
        feedback: weights follow how often a model's drafts win in the eyes of others.
        learning_rate: factor on the step of the weights.
        scoring: "logprob" or "logit".
        weights: of the verifiers at the start; equal where None.
        seed: of the drafts.
    """

    window: int = 10
    max_words: int = 1500
    fast: bool = False
    self_vote: bool = False
    feedback: bool = True
    learning_rate: float = 1.0
    scoring: str = LOGPROB
    weights: tuple[float, ...] | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A segment that drafters wrote.

    Attributes:
        text: what it adds to the answer.
        finished: whether the answer ends with it.
        authors: indices of the drafters who wrote it, ascending.
    """

    text: str
    finished: bool
    authors: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """One round.

    Attributes:
        text: what was appended.
        winner: index of the drafter who wrote it, the first if several wrote the same.
        candidates: all that was written.
        votes: of each candidate; empty where there was no vote.
        weights: of the verifiers, after the round.
        seconds: of the round; of it, `draft_seconds` and `verify_seconds`.
        finish_reason: why the answer ends here: "stop", "length", "context"; None where it goes on.
    """

    text: str
    winner: int
    candidates: tuple[Candidate, ...]
    votes: tuple[float, ...]
    weights: tuple[float, ...]
    seconds: float
    draft_seconds: float
    verify_seconds: float
    finish_reason: str | None


class SpecEM:
    """Models that draft and models that judge; many are both.

    Args:
        drafters: who writes.
        verifiers: who judges.
        rules: how.
    """

    def __init__(
        self, drafters: Sequence[SpecEMMember], verifiers: Sequence[SpecEMMember], rules: Rules
    ) -> None:
        self.drafters = list(drafters)
        self.verifiers = list(verifiers)
        self.rules = rules
        self._everybody = [*drafters, *(each for each in verifiers if each not in drafters)]

    def begin(self, question: str) -> None:
        """Start to answer a question.

        Raises:
            InputError: it leaves a model no room for an answer.
        """
        for member in self._everybody:
            member.begin(question)
        self._require_room()

    def answer(self, question: str) -> Iterator[Round]:
        """Rounds until the answer ends; their texts, joined, are the answer.

        Raises:
            InputError: the question leaves a model no room for an answer.
            NotFiniteError: a model gives no distribution.
        """
        rules = self.rules
        self.begin(question)
        weights = _normalised(rules.weights or [1.0] * len(self.verifiers))
        answer, number, reason = "", 0, None
        while reason is None:
            number += 1
            begun = perf_counter()
            drafts = [
                member.draft(rules.window, _seed(rules.seed, index, number))
                for index, member in enumerate(self.drafters)
            ]
            drafted = perf_counter()
            candidates = _candidates(drafts)
            chosen, found, weights = self._choose(candidates, drafts, weights, number)
            winner = candidates[chosen]
            self._append(winner, drafts)
            answer += winner.text
            reason = self._end(winner, answer)
            yield Round(
                text=winner.text,
                winner=winner.authors[0],
                candidates=tuple(candidates),
                votes=tuple(found),
                weights=tuple(weights),
                seconds=perf_counter() - begun,
                draft_seconds=drafted - begun,
                verify_seconds=perf_counter() - drafted,
                finish_reason=reason,
            )

    def _choose(
        self, candidates: Sequence[Candidate], drafts: Sequence[Segment], weights: list[float], number: int
    ) -> tuple[int, list[float], list[float]]:
        """The winner's index among the candidates, the votes, and the weights from now on."""
        finished = [index for index, each in enumerate(candidates) if each.finished]
        if len(candidates) == 1 or (self.rules.fast and finished):
            return (finished[0] if finished else 0), [], weights
        scores = [
            verifier.score(
                [self._tokens(verifier, each, drafts, closed=True) for each in candidates], self.rules.scoring
            )
            for verifier in self.verifiers
        ]
        own = [self._own(verifier, candidates) for verifier in self.verifiers]
        split = shares(torch.tensor(scores, dtype=torch.float64)).tolist()
        found = votes(split, weights, own, self.rules.self_vote)
        if self.rules.feedback:
            weights = updated(weights, rewards(scores, own), self.rules.learning_rate, number)
        return found.index(max(found)), found, weights

    def _own(self, verifier: SpecEMMember, candidates: Sequence[Candidate]) -> int | None:
        if verifier not in self.drafters:
            return None
        author = self.drafters.index(verifier)
        return next((index for index, each in enumerate(candidates) if author in each.authors), None)

    def _tokens(
        self, member: SpecEMMember, candidate: Candidate, drafts: Sequence[Segment], *, closed: bool
    ) -> tuple[int, ...]:
        """A candidate in a member's tokens: its own where it wrote it; with the end, where it has one."""
        known = None
        if member in self.drafters and (author := self.drafters.index(member)) in candidate.authors:
            known = drafts[author].tokens
        tokens = member.encode(candidate.text) if known is None else known
        return (*tokens, *member.asking.closing) if closed and candidate.finished else tokens

    def _append(self, winner: Candidate, drafts: Sequence[Segment]) -> None:
        for member in self._everybody:
            member.append(self._tokens(member, winner, drafts, closed=False))

    def _end(self, winner: Candidate, answer: str) -> str | None:
        if winner.finished:
            return STOP
        if count_words(answer) >= self.rules.max_words:
            return LENGTH
        return CONTEXT if min(member.room for member in self._everybody) < self._spare else None

    @property
    def _spare(self) -> int:
        window = self.rules.window
        limits = [draft_limit(window, member.asking.stops) + 1 for member in self._everybody]
        return max(SPARE_WINDOWS * window, *limits)

    def _require_room(self) -> None:
        for member in self._everybody:
            if member.room < self._spare:
                problem = (
                    f"The prompt has {len(member.tokens):,} tokens for {member.name}, which reads "
                    f"{member.context:,}, with {self._spare} kept free."
                )
                raise InputError(problem, "Shorten the prompt, or use a smaller --window-size.")


def _candidates(drafts: Sequence[Segment]) -> list[Candidate]:
    """The drafts, those that say the same as one; an empty one that ends nothing only if all are."""
    by_text: dict[tuple[str, bool], list[int]] = {}
    for author, draft in enumerate(drafts):
        by_text.setdefault((draft.text, draft.finished), []).append(author)
    found = [Candidate(text, finished, tuple(authors)) for (text, finished), authors in by_text.items()]
    if any(each.text or each.finished for each in found):
        return [each for each in found if each.text or each.finished]
    return [Candidate("", True, each.authors) for each in found[:1]]  # nobody has anything to say


def _normalised(weights: Sequence[float]) -> list[float]:
    return [weight / sum(weights) for weight in weights]


def _seed(seed: int, drafter: int, number: int) -> int:
    """A seed of its own for each drafter and round, so that models do not share their chance."""
    return (seed << 32) + (drafter << 24) + number
