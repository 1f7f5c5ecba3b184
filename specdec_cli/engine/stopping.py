"""When a text ends: after so many tokens, at a stop token, or where a stop string is complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from specdec_cli.engine.text import Detokenizer


class Stopping:
    """Cuts what a step emits at the first token that ends the text.

    Args:
        max_tokens: tokens to emit at most.
        stop_tokens: ids that end the text; the id itself is emitted.
        stop_strings: strings that end the text; the token that completes one is the last.
        decode: ids to text; needed for stop strings only.
    """

    def __init__(
        self,
        max_tokens: int,
        stop_tokens: frozenset[int] = frozenset(),
        stop_strings: Sequence[str] = (),
        decode: Callable[[Sequence[int]], str] | None = None,
    ) -> None:
        if stop_strings and decode is None:
            raise ValueError("stop strings need a way to decode tokens")
        self.remaining = max_tokens
        self._stop_tokens = stop_tokens
        self._stop_strings = tuple(stop_strings)
        self._longest = max(map(len, stop_strings), default=0)
        self._detokenizer = Detokenizer(decode) if decode and stop_strings else None
        self._tail = ""

    def cut(self, tokens: Sequence[int]) -> tuple[int, str | None]:
        """How many of the emitted tokens to keep, and the reason to end there, if any."""
        for count, token in enumerate(tokens, 1):
            self.remaining -= 1
            if token in self._stop_tokens or self._completes_stop_string(token):
                return count, "stop"
            if self.remaining == 0:
                return count, "length"
        return len(tokens), None

    def _completes_stop_string(self, token: int) -> bool:
        if self._detokenizer is None:
            return False
        self._tail += self._detokenizer.push(token)
        found = any(stop in self._tail for stop in self._stop_strings)
        self._tail = self._tail[-self._longest :]
        return found
