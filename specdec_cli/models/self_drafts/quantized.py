"""A loaded model as a draft with weights of lower precision."""

from __future__ import annotations

from dataclasses import replace

from specdec_cli.errors import InputError
from specdec_cli.models.loader import LoadedModel
from specdec_cli.models.quantization.linear import KINDS, require_cpu
from specdec_cli.models.quantization.quantize import low_precision_copy, remarks_on
from specdec_cli.models.self_drafts.streamed import quantized_copy
from specdec_cli.progress import Report


def quantized(loaded: LoadedModel, name: str, kind: str, report: Report) -> LoadedModel:
    """A copy of a loaded model with weights of lower precision, or the model itself for "none".

    Args:
        loaded: the model, which keeps its own weights.
        name: what the copy is called.
        kind: "none", "int8" or "int4".
        report: is told what takes time.

    Raises:
        InputError: another kind, not on the CPU, or cut from a model whose layers are streamed.
    """
    if kind == "none":
        return loaded
    if kind not in KINDS:
        raise InputError(f"The draft {name} cannot be rounded to {kind}.", f"Choose {' or '.join(KINDS)}.")
    require_cpu(kind, loaded.device)
    if loaded.stream is not None:
        return quantized_copy(loaded, kind, report)
    if any(weight.is_meta for weight in loaded.model.parameters()):
        problem = f"The draft {name} is cut from an offloaded target, whose layers keep their precision."
        raise InputError(problem, f"Leave out --draft-quantize, or use --draft self:{kind}.")
    duplicate = low_precision_copy(loaded.model, kind)
    warnings = (*loaded.warnings, *remarks_on(duplicate, name, kind))
    return replace(loaded, name=name, model=duplicate, warnings=warnings)
