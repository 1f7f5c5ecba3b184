"""`--exec chef`: members propose in turn, and each scores what the others proposed in the same pass.

Fu et al. (2025), Speculative Ensemble, https://arxiv.org/abs/2502.01662, whose alternate proposal framework
this is, for any number of members and any proposal lengths. A pass that scores guesses gives, for nothing,
the member's own law of the next token; a sample of it starts the member's chain. With chains of one token the
worst case, in which nothing is ever accepted, still costs no more than one pass of each member for a token,
which is what plain decoding costs.

A token is judged when every member has scored it, or as soon as what is known settles it: in an average of
probabilities at temperature 0, a lead that the members left cannot turn is the verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from torch import Tensor

from specdec_cli.engine.roles import Share, Step
from specdec_cli.engine.stopping import Stopping
from specdec_cli.ensemble.members import Ensemble
from specdec_cli.sampling.distribution import residual
from specdec_cli.sampling.randomness import Randomness, accepting, drafting, emitting


@dataclass(slots=True)
class Guess:
    """A token that waits for its verdict.

    Attributes:
        token: the guess.
        owner: index of the member that proposed it.
        proposal: the distribution (V,) that it was drawn from.
        rows: each member's logits (V,) at its position, by the member's index, so far.
    """

    token: int
    owner: int
    proposal: Tensor
    rows: dict[int, Tensor]


@dataclass(slots=True)
class Tally:
    """What happened since the last step was yielded.

    Attributes:
        emitted: tokens.
        owners: for each of them, the index of the member whose guess it is; None for one drawn instead.
        drafted: the owner of each guess that was judged, or dropped with what stood before it.
        accepted: the owner of each guess that stands.
    """

    emitted: list[int] = field(default_factory=list)
    owners: list[int | None] = field(default_factory=list)
    drafted: list[int] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)

    def accept(self, guess: Guess) -> None:
        """Enter a guess that stands."""
        self.emitted.append(guess.token)
        self.owners.append(guess.owner)
        self.drafted.append(guess.owner)
        self.accepted.append(guess.owner)


class AlternateProposal:
    """One text by `--exec chef`: members take turns at scoring all that is pending and proposing more.

    Args:
        ensemble: members and law.
        gammas: tokens that each member proposes at a time, in the members' order.
        order: indices of the members in the order of their turns; the first starts anew after a rejection.
        prompt: token ids.
        randomness: chance.
        stopping: what ends the text.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        gammas: Sequence[int],
        order: Sequence[int],
        prompt: Sequence[int],
        randomness: Randomness,
        stopping: Stopping,
    ) -> None:
        self._ensemble = ensemble
        self._gammas = gammas
        self._order = order
        self._randomness = randomness
        self._stopping = stopping
        self._position = len(prompt)
        self._start = len(prompt)  # position of the first proposal since the last rejection
        self._guesses: list[Guess] = []
        self._read = [0] * len(gammas)  # of the guesses, by each member
        self._turn = 0
        self._finish_reason: str | None = None
        self._tally = Tally()
        begun = perf_counter()
        for member in ensemble.members:
            member.begin(prompt)
        self._prefill_seconds = perf_counter() - begun

    def steps(self) -> Iterator[Step]:
        """Take turns until the text ends; a step is yielded whenever tokens were emitted."""
        begun, calls, seconds = perf_counter(), self._ensemble.calls(), self._seconds()
        while self._finish_reason is None:
            index = self._order[self._turn]
            self._turn = (self._turn + 1) % len(self._order)
            own = self._score(index)
            standing = self._judge()
            if standing and self._finish_reason is None:
                self._propose(index, own)
            if self._tally.emitted:
                yield self._step(perf_counter() - begun, calls, seconds)
                begun, calls, seconds = perf_counter(), self._ensemble.calls(), self._seconds()
                self._tally, self._prefill_seconds = Tally(), 0.0

    def _score(self, index: int) -> Tensor:
        """Read all that the member has not read: its logits (V,) after the last guess."""
        unread = self._guesses[self._read[index] :]
        rows = self._ensemble.members[index].read_on([guess.token for guess in unread])
        # A row stands before the guess that it is about; the first guess had its row if nothing was pending.
        about = self._guesses[len(self._guesses) - len(rows) + 1 :]
        for guess, row in zip(about, rows[:-1], strict=True):
            guess.rows[index] = row
        self._read[index] = len(self._guesses)
        return rows[-1]

    def _propose(self, index: int, own: Tensor) -> None:
        """Sample what follows the guesses from the member's own law, and so on for its whole chain."""
        member = self._ensemble.members[index]
        for number in range(self._gammas[index]):
            if len(self._guesses) >= self._stopping.remaining:
                return
            if number:
                own = member.read_on([self._guesses[-1].token])[-1]
                self._read[index] = len(self._guesses)
            proposal = self._ensemble.own(own)
            key = drafting(self._position + len(self._guesses), self._start)
            token = self._randomness.categorical(proposal, key)
            self._guesses.append(Guess(token, index, proposal, {index: own}))

    def _judge(self) -> bool:
        """Judge guesses from the first on, for as long as they can be judged; False after a rejection."""
        accepted: list[int] = []
        replaced: int | None = None
        while self._guesses and replaced is None and self._finish_reason is None:
            verdict = self._verdict(self._guesses[0])
            if verdict is None:
                break
            if verdict is True:
                self._tally.accept(self._guesses.pop(0))
                accepted.append(self._tally.emitted[-1])
            else:
                replaced = verdict
                self._tally.drafted += [guess.owner for guess in self._guesses]
                self._tally.emitted.append(replaced)
                self._tally.owners.append(None)
            _, self._finish_reason = self._stopping.cut(self._tally.emitted[-1:])
            self._position += 1
        self._extend(accepted, replaced)
        return replaced is None

    def _verdict(self, guess: Guess) -> bool | int | None:
        """True: it stands. A token: that is emitted instead. None: nothing is decided yet."""
        law = self._law(guess)
        if law is None:
            return None
        chance = float(law[guess.token]) / float(guess.proposal[guess.token])
        if self._randomness.bernoulli(chance, accepting(self._position, self._start)):
            return True
        rest = residual(law, guess.proposal.to(law))
        return self._randomness.categorical(rest, emitting(self._position))

    def _law(self, guess: Guess) -> Tensor | None:
        """The ensemble's law (V,) at a guess, if it is known."""
        indices = range(len(self._ensemble.members))
        if len(guess.rows) == len(indices):
            return self._ensemble.law([guess.rows[index].to(guess.proposal.device) for index in indices])
        return self._ensemble.settled(guess.rows)

    def _extend(self, accepted: Sequence[int], replaced: int | None) -> None:
        """Make text of what was accepted; a token that replaces a guess ends the round of turns."""
        for index, member in enumerate(self._ensemble.members):
            if replaced is None:
                member.reader.advance(accepted)
                self._read[index] = max(self._read[index] - len(accepted), 0)
            else:
                known = min(self._read[index], len(accepted))
                member.commit(range(known), [*accepted, replaced])
                self._read[index] = 0
        if replaced is not None:
            self._guesses, self._turn, self._start = [], 0, self._position

    def _seconds(self) -> float:
        return sum(member.forward_seconds for member in self._ensemble.members)

    def _step(self, elapsed: float, calls: Sequence[int], seconds: float) -> Step:
        """What happened since the last one."""
        tally, indices = self._tally, range(len(self._ensemble.members))
        judged = [Share(0, tally.drafted.count(index), tally.accepted.count(index)) for index in indices]
        shares = zip(self._ensemble.shares_since(calls), judged, strict=True)
        return Step(
            tokens=tuple(tally.emitted),
            accepted=len(tally.accepted),
            drafted=len(tally.drafted),
            depth=len(tally.drafted),
            seconds=elapsed,
            draft_seconds=0.0,
            target_seconds=self._seconds() - seconds,
            prefill_seconds=self._prefill_seconds,
            finish_reason=self._finish_reason,
            owners=tuple(tally.owners),
            shares=tuple(made + found for made, found in shares),
        )
