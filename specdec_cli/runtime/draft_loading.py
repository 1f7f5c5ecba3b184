"""Models beside the target: drafts and members of ensembles, by the names that options give them."""

from __future__ import annotations

from specdec_cli.models.eagle.checkpoint import load_eagle_head
from specdec_cli.models.eagle.head import EagleHead
from specdec_cli.models.hardware import dtype_name
from specdec_cli.models.loader import LoadedModel, load_checked
from specdec_cli.models.quantization.linear import Int4Linear
from specdec_cli.models.runner.tree_support import require_tree_support
from specdec_cli.models.self_drafts.early_exit import first_layers
from specdec_cli.models.self_drafts.noisy import noisy_copy
from specdec_cli.models.self_drafts.quantized import quantized
from specdec_cli.progress import Report
from specdec_cli.registry.drafts import EARLY_EXIT, NOISY
from specdec_cli.registry.methods import METHODS
from specdec_cli.runtime.preflight import CheckedDraft
from specdec_cli.settings import Settings
from specdec_cli.settings.ensembles import member_names


def load_draft(
    target: LoadedModel, checked: CheckedDraft, settings: Settings, report: Report
) -> tuple[LoadedModel, str | None]:
    """A draft, or another member of an ensemble, and a warning if there is something odd about it.

    Args:
        target: that it is for, and may share weights with.
        checked: by `preflight`.
        settings: of the run.
        report: is told what takes time.

    Raises:
        SpecdecError: its weights cannot be had as they are asked for, or it cannot be driven.
    """
    spec, name = checked.spec, checked.spec.name
    if spec.kind == EARLY_EXIT:
        draft = first_layers(target, spec.layers)
        return quantized(draft, name, settings.draft_quantize, report), None
    if spec.is_of_target:
        report(f"Making a copy of {target.name}")
        if spec.kind == NOISY:
            return noisy_copy(target, name, spec.noise), None
        return quantized(target, name, spec.precision, report), None
    report(f"Loading {name}")
    if checked.head is not None:
        return load_eagle_head(name, checked.head, target, settings.draft_quantize), None
    assert checked.model is not None, "what is not made of the target has files of its own"
    is_ensemble = METHODS[settings.method].is_ensemble
    drafts = not is_ensemble or name not in member_names(settings)
    draft = load_checked(checked.model, drafts=drafts, report=report)
    require_tree_support(draft)
    swapped = draft.parameters >= target.parameters and settings.draft_quantize == "none"
    if not swapped or is_ensemble:
        return draft, None
    return draft, (
        f"The draft {name} has {draft.parameters:,} parameters, no fewer than the target "
        f"{target.name} with {target.parameters:,}; were they swapped?"
    )


def model_record(loaded: LoadedModel, quantize: str) -> dict[str, object]:
    """What a result says of a model; a head may be in 4 bits whatever precision was asked for."""
    if isinstance(loaded.model, EagleHead) and isinstance(loaded.model.fuse, Int4Linear):
        quantize = "int4"
    return {
        "name": loaded.name,
        "source": loaded.source,
        "parameters": loaded.parameters,
        "dtype": dtype_name(loaded.dtype),
        "device": str(loaded.device),
        "quantize": quantize,
    }
