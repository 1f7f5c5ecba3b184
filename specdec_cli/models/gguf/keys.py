"""The keys of one architecture, read with their types checked and ticked off as they are used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specdec_cli.errors import InputError
from specdec_cli.models.gguf.header import unreadable

OTHER_FILE = "Use the checkpoint that the file was made from, or a file of another model."
LARGEST = (1 << 31) - 1

# What says nothing about the logits of a causal model, or repeats what the tensors say.
HARMLESS = {
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "pooling_type",
    "rope.scaling.finetuned",
    "tensor_data_layout",
}
# What leaves the model as it is when it has this value.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "attention.causal": (True,),
    "attention.clamp_kqv": (0,),
    "attention.max_alibi_bias": (0,),
    "attention.output_scale": (1,),
    "attention.shared_kv_layers": (0,),
    "attention.temperature_length": (0,),
    "attention.temperature_scale": (0,),
    "attn_logit_softcapping": (0,),
    "embedding_scale": (1,),
    "expert_count": (0,),
    "expert_group_count": (0, 1),
    "expert_group_used_count": (0, 1),
    "expert_shared_count": (0,),
    "expert_used_count": (0,),
    "expert_weights_scale": (0, 1),
    "final_logit_softcapping": (0,),
    "leading_dense_block_count": (0,),
    "logit_scale": (1,),
    "n_deepstack_layers": (0,),
    "nextn_predict_layers": (0,),
    "residual_scale": (1,),
    "rope.scale_linear": (1,),
    "router_logit_softcapping": (0,),
}


class Keys:
    """The keys `architecture.*` of a file.

    Every key must be used, harmless, or neutral by its value (`require_used`). So what a newer converter
    writes and this program does not know is refused by name, never left out of the computation.
    """

    def __init__(self, path: Path, architecture: str, keys: Mapping[str, Any]) -> None:
        prefix = f"{architecture}."
        self.path, self.architecture = path, architecture
        self._values = {
            key.removeprefix(prefix): value for key, value in keys.items() if key.startswith(prefix)
        }
        self._used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def size(self, name: str, default: int | None = None, *, least: int = 1) -> int:
        """A count; an array, one entry a layer, if all entries are the same.

        Raises:
            InputError: it is missing without a default, no whole number, or out of range.
        """
        value = self._take(name, default)
        if isinstance(value, list) and value and all(each == value[0] for each in value):
            value = value[0]
        if isinstance(value, list):
            raise self.refused(f"{name} differs from layer to layer, and such models are not read")
        if type(value) is not int or not least <= value <= LARGEST:
            raise self.refused(f"{name} is {_short(value)}")
        return value

    def number(self, name: str, default: float | None = None, *, positive: bool = True) -> float:
        """A finite number, above 0 unless `positive` is False.

        Raises:
            InputError: it is missing without a default, or no such number.
        """
        value = self._take(name, default)
        right = type(value) in (int, float) and math.isfinite(value) and (value > 0 or not positive)
        if not right:
            raise self.refused(f"{name} is {_short(value)}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """A yes or no.

        Raises:
            InputError: it is something else.
        """
        value = self._take(name, default)
        if type(value) is not bool:
            raise self.refused(f"{name} is {_short(value)}")
        return value

    def flags(self, name: str) -> list[bool] | None:
        """A list of yes and no; None where the key is missing or is something else."""
        value = self._values.get(name)
        if not isinstance(value, list) or not all(type(each) is bool for each in value):
            return None
        self._used.add(name)
        return value

    def text(self, name: str, default: str) -> str:
        """A word.

        Raises:
            InputError: it is something else.
        """
        value = self._take(name, default)
        if not isinstance(value, str):
            raise self.refused(f"{name} is {_short(value)}")
        return value

    def use(self, *names: str) -> None:
        """Tick keys off that another key made meaningless."""
        self._used.update(names)

    def was_used(self, name: str) -> bool:
        """Whether a key has been read, or ticked off."""
        return name in self._used

    def window(self, context: int) -> int | None:
        """Positions that a token sees, itself included; None if it sees all."""
        window = self.size("attention.sliding_window", 0, least=0)
        return None if window == 0 or window >= context else window

    def require_used(self) -> None:
        """Refuse what changes the model and was not read.

        Raises:
            InputError: names the first key of the kind.
        """
        for name in sorted(set(self._values) - self._used - HARMLESS):
            value = self._values[name]
            values = value if isinstance(value, list) else [value]
            if name not in NEUTRAL or not all(each in NEUTRAL[name] for each in values):
                raise self.refused(f"{name} = {_short(value)} changes the model in a way not known here")

    def refused(self, why: str) -> InputError:
        """The error for a key of this file."""
        return unreadable(self.path, f"{self.architecture}.{why}", OTHER_FILE)

    def _take(self, name: str, default: Any) -> Any:
        self._used.add(name)
        value = self._values.get(name, default)
        if value is None:
            raise self.refused(f"{name} is missing")
        return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
