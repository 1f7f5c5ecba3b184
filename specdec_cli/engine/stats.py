"""What a run measured, from its steps: names and definitions stand here once.

acceptance rate   accepted / drafted tokens
tokens per pass   emitted tokens / target passes, the target's own token included; 1.00 is plain decoding
tokens per second emitted tokens / decode seconds; reading the prompt is apart
calls per token   passes of all models of an ensemble / emitted tokens; plain is one of each
time to first     reading the prompt and the first step
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from specdec_cli.engine.roles import Share, Step


@dataclass(slots=True)
class RunStats:
    """Totals of one or more runs."""

    tokens: int = 0
    passes: int = 0
    drafted: int = 0
    accepted: int = 0
    decode_seconds: float = 0.0
    draft_seconds: float = 0.0
    target_seconds: float = 0.0
    prefill_seconds: float = 0.0
    first_token_seconds: float | None = None
    accepted_lengths: list[int] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)

    @classmethod
    def of(cls, steps: Iterable[Step]) -> RunStats:
        """The totals of some steps."""
        stats = cls()
        for step in steps:
            stats.add(step)
        return stats

    def add(self, step: Step) -> None:
        """Count one more step."""
        if self.first_token_seconds is None:
            self.first_token_seconds = step.prefill_seconds + step.seconds
        self.tokens += len(step.tokens)
        self.passes += 1
        self.drafted += step.drafted
        self.accepted += step.accepted
        self.decode_seconds += step.seconds
        self.draft_seconds += step.draft_seconds
        self.target_seconds += step.target_seconds
        self.prefill_seconds += step.prefill_seconds
        self.accepted_lengths.append(step.accepted)
        if step.shares:
            before = self.shares or [Share()] * len(step.shares)
            self.shares = [old + new for old, new in zip(before, step.shares, strict=True)]

    @property
    def acceptance_rate(self) -> float | None:
        """Accepted over drafted tokens; None where nothing was drafted."""
        return self.accepted / self.drafted if self.drafted else None

    @property
    def tokens_per_pass(self) -> float | None:
        """Emitted tokens over target passes; None before the first."""
        return self.tokens / self.passes if self.passes else None

    @property
    def calls_per_token(self) -> float | None:
        """Passes of all models of an ensemble over emitted tokens; None for a single model."""
        return (
            sum(share.calls for share in self.shares) / self.tokens if self.shares and self.tokens else None
        )

    @property
    def tokens_per_second(self) -> float | None:
        """Emitted tokens over decode seconds; None before the first step."""
        return self.tokens / self.decode_seconds if self.decode_seconds else None

    @property
    def overhead_seconds(self) -> float:
        """Decode time outside the models' forward passes."""
        return self.decode_seconds - self.draft_seconds - self.target_seconds
