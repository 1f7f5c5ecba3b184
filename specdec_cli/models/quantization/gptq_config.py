"""What a GPTQ checkpoint says of its numbers, in config.json or in quantize_config.json."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from specdec_cli.errors import InputError
from specdec_cli.models.hf.checkpoint import quantization_settings
from specdec_cli.models.hf.unused_tensors import AGAIN

FORMATS = ("gptq", "gptq_v2", "gptq_p")
BITS = (2, 3, 4, 5, 6, 7, 8)
ALWAYS_PLANAR = (5, 6, 7)
OTHER = "Choose a checkpoint in the format gptq or gptq_v2."


@dataclass(frozen=True, slots=True)
class Numbers:
    """How the numbers of one layer are stored.

    Attributes:
        bits: of each.
        group: inputs that share a scale and a zero point; -1 for all of them.
        act_order: whether inputs were quantised in another order, so that groups are no runs.
        symmetric: whether every zero point is in the middle; None where nothing is said.
        form: one of `FORMATS`.
    """

    bits: int
    group: int
    act_order: bool
    symmetric: bool | None
    form: str

    @property
    def planar(self) -> bool:
        """Whether the bits of a number lie in planes of 4, 2 and 1 bits, and not side by side."""
        return self.bits in ALWAYS_PLANAR or (self.bits == 3 and self.form == "gptq_p")

    @property
    def less_one(self) -> bool:
        """Whether zero points are stored less one: in the first version of the format."""
        return self.form == "gptq"


class GptqSettings:
    """The settings of a whole checkpoint, with those that some layers have for themselves.

    Args:
        config: the configuration, with `quantization_config`.

    Raises:
        InputError: a format or number of bits that is not read, or settings that cannot be.
    """

    def __init__(self, config: Any) -> None:
        found = quantization_settings(config)
        form = str(found.get("checkpoint_format") or found.get("format") or "gptq").lower()
        if found.get("is_marlin_format"):
            form = "marlin"
        if form not in FORMATS:
            raise InputError(f"GPTQ weights in the format {form} cannot be read.", OTHER)
        if str(found.get("pack_dtype") or "int32") != "int32":
            raise InputError(f"GPTQ weights packed in {found['pack_dtype']} cannot be read.", OTHER)
        self._whole = _override(Numbers(4, -1, False, None, form), found, "quantization_config")
        self._rules = list(_rules(found.get("dynamic") or {}))

    def of(self, name: str) -> Numbers:
        """The numbers of the layer of that name: the first rule that matches its beginning decides.

        Raises:
            InputError: a rule says that the layer is not quantised.
        """
        for pattern, override in self._rules:
            if pattern.match(name):
                if override is None:
                    problem = (
                        f"{name} is stored quantised, and the settings leave it out ({pattern.pattern})."
                    )
                    raise InputError(problem, AGAIN)
                return _override(self._whole, override, pattern.pattern)
        return self._whole


def _rules(dynamic: Any) -> list[tuple[re.Pattern[str], Mapping[str, Any] | None]]:
    """Patterns with what they change; None where they leave a layer as it is: those that begin with "-:"."""
    if not isinstance(dynamic, dict):
        raise _unreadable("dynamic")
    found: list[tuple[re.Pattern[str], Mapping[str, Any] | None]] = []
    for key, override in dynamic.items():
        left_out = key.startswith("-:")
        if not left_out and not isinstance(override, dict):
            raise _unreadable(f"dynamic, {key}")
        try:
            pattern = re.compile(key.removeprefix("-:").removeprefix("+:"))
        except re.error as error:
            raise _unreadable(f"dynamic, {key}") from error
        found.append((pattern, None if left_out else override))
    return found


def _override(numbers: Numbers, found: Mapping[str, Any], where: str) -> Numbers:
    try:
        bits = int(found.get("bits", numbers.bits))
        group = int(found.get("group_size", numbers.group))
    except (TypeError, ValueError) as error:
        raise _unreadable(where) from error
    if bits not in BITS:
        hint = f"Choose a checkpoint of {', '.join(map(str, BITS))} bits."
        raise InputError(f"GPTQ weights of {bits} bits cannot be read.", hint)
    if group < 1 and group != -1:
        raise _unreadable(where)
    return replace(
        numbers,
        bits=bits,
        group=group,
        act_order=bool(found.get("desc_act", numbers.act_order)),
        symmetric=found.get("sym", numbers.symmetric),
    )


def _unreadable(where: str) -> InputError:
    problem = f"The checkpoint's GPTQ settings cannot be read: {where} is not what the format has there."
    return InputError(problem, "Compare quantization_config in config.json with the checkpoint it came from.")
