"""When a text ends: after so many tokens, at a stop token, or where a stop string is complete."""

from __future__ import annotations

from collections.abc import Sequence

from specdec_cli.engine.text import Decode, Stops


class Stopping:
    """Cuts what a step emits at the first token that ends the text.

    Args:
        max_tokens: tokens to emit at most.
        stops: ids that end the text, and are emitted; strings, of which the token that completes one is the
            last.
        decode: ids to text; needed for stop strings only.
    """

    def __init__(self, max_tokens: int, stops: Stops | None = None, decode: Decode | None = None) -> None:
        self._stops = stops = stops or Stops()
        if stops.strings and decode is None:
            raise ValueError("stop strings need a way to decode tokens")
        self.remaining = max_tokens
        self._detokenizer = stops.detokenizer(decode) if decode and stops.strings else None
        self._tail = stops.opening(decode) if decode and stops.strings else ""

    def cut(self, tokens: Sequence[int]) -> tuple[int, str | None]:
        """How many of the emitted tokens to keep, and the reason to end there, if any."""
        for count, token in enumerate(tokens, 1):
            self.remaining -= 1
            if token in self._stops.tokens or self._completes_stop_string(token):
                return count, "stop"
            if self.remaining == 0:
                return count, "length"
        return len(tokens), None

    def _completes_stop_string(self, token: int) -> bool:
        if self._detokenizer is None:
            return False
        seen = len(self._tail)
        self._tail += self._detokenizer.push(token)
        found = self._stops.find(self._tail + self._detokenizer.unfinished, seen)
        self._tail = self._tail[max(len(self._tail) - self._stops.longest + 1, 0) :]
        return found is not None
