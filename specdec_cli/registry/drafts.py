"""What a draft can be: a model, n-grams of the text, or a part or a copy of the target."""

from __future__ import annotations

from dataclasses import dataclass, replace

MODEL = "model"
NGRAM = "ngram"
EARLY_EXIT = "early exit"
QUANTIZED = "quantized"
NOISY = "noisy"
NGRAM_FIRST = "ngram+"  # before the name of a draft that is asked where the text does not repeat itself


@dataclass(frozen=True, slots=True)
class DraftSpec:
    """What drafts: a setting's text, read once (`settings.draft_spec`).

    Members of an ensemble are named in the same way.

    Attributes:
        kind: `MODEL`, `NGRAM`, or made of the target: `EARLY_EXIT`, `QUANTIZED` or `NOISY`.
        name: as it was written, without `ngram+`.
        layers: of the target, that an early exit keeps, from the first.
        precision: that the copy's weights are quantized to: "int8" or "int4".
        noise: on the copy's weights, as a share of their spread.
        ngram_first: whether guesses are copied from the text where it repeats itself, before this is asked.
    """

    kind: str
    name: str
    layers: int = 0
    precision: str = ""
    noise: float = 0.0
    ngram_first: bool = False

    @property
    def is_ngram(self) -> bool:
        """Whether all guesses are copied from the text, so that no model is asked."""
        return self.kind == NGRAM

    @property
    def is_model(self) -> bool:
        """Whether it is a model of its own, with a vocabulary of its own."""
        return self.kind == MODEL

    @property
    def is_of_target(self) -> bool:
        """Whether it is made of the target, and so fits it whatever it is."""
        return self.kind in (EARLY_EXIT, QUANTIZED, NOISY)

    @property
    def alone(self) -> DraftSpec:
        """The same without what is copied first: what has to be loaded."""
        return replace(self, ngram_first=False)

    @property
    def text(self) -> str:
        """As one would have to ask for it."""
        return f"{NGRAM_FIRST}{self.name}" if self.ngram_first else self.name
