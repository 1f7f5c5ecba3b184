"""What settings say of offloading, as the models understand it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from specdec_cli.errors import InputError
from specdec_cli.models.eagle.files import head_config, head_folder, head_size
from specdec_cli.models.eagle.head import layers_config
from specdec_cli.models.hardware import resolve_device, resolve_dtype
from specdec_cli.models.hf.checkpoint import read_config, weight_bytes
from specdec_cli.models.hub.resolve import resolve
from specdec_cli.models.offload.load import DISK, Offload, require_device
from specdec_cli.models.offload.memory_plan import Limits, Workload
from specdec_cli.models.quantization.linear import require_cpu
from specdec_cli.models.runner.model_runner import PREFILL_CHUNK
from specdec_cli.progress import Report
from specdec_cli.registry.drafts import EARLY_EXIT, NOISY, QUANTIZED, DraftSpec
from specdec_cli.settings import Settings, parse_size


def device_of(settings: Settings) -> str:
    """Where the target runs: a target on disk is computed on the CPU unless another device is named."""
    return "cpu" if settings.offload == DISK and settings.device == "auto" else settings.device


def with_quarter_resident(settings: Settings, report: Report) -> Settings:
    """The settings with a quarter of the target's layers in memory, where they do not say how many."""
    if settings.resident_layers is not None or settings.memory_limit is not None:
        return settings
    config = _config(settings.target, settings, report)[1]
    return replace(settings, resident_layers=config.get_text_config(decoder=True).num_hidden_layers // 4)


def offload_of(settings: Settings, draft: DraftSpec | None, tree: int, report: Report) -> Offload | None:
    """How these settings offload the target; None if they do not.

    Args:
        settings: of the run.
        draft: its draft, if it has one.
        tree: nodes of the largest tree that will be drafted.
        report: is told what is going on.

    Raises:
        InputError: the device does not fit, or the draft cannot be cut from an offloaded target.
    """
    if settings.offload == "none":
        return None
    device = resolve_device(device_of(settings))
    require_device(settings.offload, device)
    limit = None if settings.memory_limit is None else parse_size(settings.memory_limit)
    resident = settings.resident_layers
    if draft is not None and draft.kind == EARLY_EXIT and (resident or 0) < draft.layers:
        problem = f"The draft {draft.name} needs its layers in memory, and the target is offloaded."
        hint = f"Add --resident-layers {draft.layers} or more, or use --draft self:int4 or ngram."
        raise InputError(problem, hint)
    if draft is not None and draft.kind == NOISY:
        problem = f"The draft {draft.name} needs all weights in memory, and the target is offloaded."
        raise InputError(problem, "Use --draft self:int4 or ngram.")
    if draft is not None and draft.kind == QUANTIZED:
        require_cpu(draft.precision, device)
    work = _workload(settings, draft, tree, report)
    return Offload(settings.offload, work, Limits(limit, resident), settings.link_gbps)


def _workload(settings: Settings, draft: DraftSpec | None, tree: int, report: Report) -> Workload:
    work = Workload(settings.max_tokens, tree, PREFILL_CHUNK)
    if draft is None or draft.is_ngram:
        return work
    if draft.is_of_target:  # an early exit shares the weights, and its cache is a part of the target's
        config = _config(settings.target, settings, report)[1]
        return replace(work, draft_config=config, self_draft=draft.precision or None)
    return _beside(settings, draft, work, report)


def _beside(settings: Settings, draft: DraftSpec, work: Workload, report: Report) -> Workload:
    """With a draft that has weights of its own, which count where the target's are counted."""
    head, target_device = head_folder(draft.name), resolve_device(device_of(settings))
    if head is not None:  # it lies where the target does
        shape = head_config(head)
        config = layers_config(shape["shape"], shape["layers"])
        itemsize = resolve_dtype(settings.dtype, target_device).itemsize
        _, size = head_size(head, itemsize, on_cpu=target_device.type == "cpu")
    else:
        device = resolve_device(settings.draft_device or device_of(settings))
        if (device.type, device.index or 0) != (target_device.type, target_device.index or 0):
            return work
        folder, config = _config(draft.name, settings, report)
        size = weight_bytes(folder, resolve_dtype(settings.dtype, device))
    # On a CPU they are packed for the processor beside what lies in the file, which is mapped.
    copies = 2 if target_device.type == "cpu" else 1
    return replace(work, draft_bytes=copies * size, draft_config=config)


def _config(name: str, settings: Settings, report: Report) -> tuple[Path, Any]:
    found = resolve(name, revision=settings.revision if name == settings.target else None, report=report)
    return found.folder, read_config(found.folder, trust_remote_code=settings.trust_remote_code)
