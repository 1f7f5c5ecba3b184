"""What a distillation does, in one record: the same recipe gives the same draft."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from specdec_cli.errors import InputError

KINDS = ("head", "layers")
STORES = ("float16", "int4")
LOSSES = ("kl", "tv", "mixed")
LATER = ("revision", "dtype", "tokenizer")  # what older files do not say


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a draft is made.

    Attributes:
        target: name of the teacher.
        kind: "head" reads the target's hidden states; "layers" is a small model of the target's architecture.
        layers: of the draft.
        vocabulary: tokens that it can propose, at most.
        tokens: how many the target writes.
        texts: that it writes side by side.
        length: of each, in tokens.
        prompts: digest of the file of user turns that it answers; None where it makes them up.
        loss: "kl", "tv" (total variation, which is what rejection sampling refuses), or "mixed", both.
        unroll: guesses in a row that a head is trained for.
        epochs: how often each text is learnt from.
        batch: texts a training step.
        learning_rate: at its peak.
        seed: of all chance.
        revision: of the target that was asked for; like the next two, "" where it is not known.
        dtype: that the target computes in.
        tokenizer: digest of the target's token strings and ids.
    """

    target: str
    kind: str = "head"
    layers: int = 1
    vocabulary: int = 8192
    tokens: int = 1_000_000
    texts: int = 64
    length: int = 384
    prompts: str | None = None
    loss: str = "kl"
    unroll: int = 3
    epochs: int = 2
    batch: int = 4
    learning_rate: float = 1e-3
    seed: int = 0
    revision: str = ""
    dtype: str = ""
    tokenizer: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"{self.kind} is no kind of draft.", f"Choose one of {', '.join(KINDS)}.")
        if self.loss not in LOSSES:
            raise InputError(f"{self.loss} is no loss.", f"Choose one of {', '.join(LOSSES)}.")
        learnt = (self.shards - 1) * self.texts
        if self.batch > learnt:
            problem = f"--batch {self.batch} is more than the {learnt} texts there are to learn from."
            raise InputError(problem, "Use a smaller --batch, or more --tokens or --texts.")
        if self.steps < 1:
            problem = f"--epochs {self.epochs} makes no step of training."
            raise InputError(problem, "Use --epochs 1 or more.")

    @property
    def shards(self) -> int:
        """Shards of text to write: enough for `tokens`, and one that is held out."""
        return 1 + -(-self.tokens // (self.texts * self.length))

    @property
    def steps(self) -> int:
        """Training steps in all."""
        return self.epochs * (self.shards - 1) * self.texts // self.batch

    @property
    def corpus(self) -> dict[str, object]:
        """What decides the text that is written."""
        names = ("target", "texts", "length", "prompts", "seed", *LATER)
        return {name: getattr(self, name) for name in names}

    def as_dict(self) -> dict[str, object]:
        """All of it, as plain values."""
        return asdict(self)


def require_store(kind: str, store: str) -> None:
    """Check what a draft's weights shall be on disk.

    Raises:
        InputError: nothing known, or nothing that another program could read.
    """
    if store not in STORES:
        raise InputError(f"Weights cannot be stored as {store}.", f"Choose {' or '.join(STORES)}.")
    if kind == "layers" and store != "float16":
        problem = f"A draft of kind layers cannot be stored as {store}: transformers would not read it."
        raise InputError(problem, "Leave out --store, and round it where it is used: --draft-quantize int4.")


def differences(known: Mapping[str, object], wanted: Mapping[str, object]) -> list[str]:
    """The names in which two identities or recipes differ, as far as both of them say."""
    unsaid = {name for name in LATER for each in (known, wanted) if not each.get(name)}
    every = dict.fromkeys((*known, *wanted))
    return [name for name in every if name not in unsaid and known.get(name) != wanted.get(name)]


def refusal(
    what: str, known: Mapping[str, object], wanted: Mapping[str, object], hint: str
) -> tuple[str, str] | None:
    """The problem and the hint where two identities or recipes differ; None where they are the same.

    Args:
        what: the sentence up to what differs.
        known: what lies on disk.
        wanted: what is asked for now.
        hint: unless another number format is all there is.
    """
    found = differences(known, wanted)
    if not found:
        return None
    told = ", ".join(
        f"{name} was {known[name]} and is {wanted[name]}" if name == "dtype" else name.replace("_", "-")
        for name in found
    )
    if found == ["dtype"]:
        hint = f"Add --dtype {known['dtype']} to go on with it. {hint}"
    return f"{what}: {told}.", hint
