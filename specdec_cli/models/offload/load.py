"""An offloaded model, opened: planned, checked, its layers on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from specdec_cli.errors import InputError
from specdec_cli.models.offload.disk import DiskTransport
from specdec_cli.models.offload.memory_plan import Limits, Plan, Workload, make_plan
from specdec_cli.models.offload.pinned import PinnedTransport
from specdec_cli.models.offload.skeleton import Skeleton
from specdec_cli.models.offload.stream import LayerStream, Source
from specdec_cli.models.offload.throttle import Link
from specdec_cli.progress import Report

DISK, CPU = "disk", "cpu"


@dataclass(frozen=True, slots=True)
class Offload:
    """How a model is offloaded.

    Attributes:
        to: "disk", computed on the CPU, or "cpu", streamed from RAM to a GPU.
        work: what is to be run.
        limits: what the user allows.
        link_gbps: a slower link to imitate, in gigabytes per second.
    """

    to: str
    work: Workload
    limits: Limits
    link_gbps: float | None = None


def require_device(to: str, device: torch.device) -> None:
    """Check that layers can be streamed from there to the device.

    Raises:
        InputError: they cannot.
    """
    if to == DISK and device.type != "cpu":
        hint = "Choose --device cpu, or --offload cpu to stream from RAM to the GPU."
        raise InputError(f"--offload disk computes on the CPU, not on {device}.", hint)
    if to == CPU and device.type != "cuda":
        hint = "Use --offload disk to keep layers out of memory on this machine."
        raise InputError("--offload cpu streams from RAM to a GPU, and the target runs on the CPU.", hint)


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """An offloaded model whose memory is planned, and of whose weights nothing was read.

    Attributes:
        skeleton: the model without weights.
        plan: what is to be in memory.
        offload: how it is offloaded.
        dtype: number format of its weights.
        device: where it is computed.
    """

    skeleton: Skeleton
    plan: Plan
    offload: Offload
    dtype: torch.dtype
    device: torch.device


def plan_offloaded(
    folder: Path,
    config: Any,
    dtype: torch.dtype,
    device: torch.device,
    offload: Offload,
    trust_remote_code: bool,
) -> PlannedModel:
    """Plan an offloaded model's memory from the headers of its files.

    Raises:
        InputError: the checkpoint is of a kind that layers cannot be read from, or the device does not fit.
        ResourceError: not enough memory.
        SpecdecError: the checkpoint is damaged or incomplete.
    """
    require_device(offload.to, device)
    skeleton = Skeleton(folder, config, dtype, trust_remote_code)
    plan = make_plan(skeleton, offload.work, offload.limits, device)
    return PlannedModel(skeleton, plan, offload, dtype, device)


def open_planned(planned: PlannedModel, report: Report) -> tuple[Any, LayerStream, Plan, tuple[str, ...]]:
    """The model, which borrows its layers' weights, the stream that it borrows them from, the plan, and the
    names of stored tensors that the model has no place for.

    Raises:
        SpecdecError: the checkpoint is damaged or incomplete.
    """
    skeleton, plan, device = planned.skeleton, planned.plan, planned.device
    report(f"Loading {plan.resident} of {plan.layers} layers")
    skeleton.load_rest(device)
    link = Link(planned.offload.link_gbps)
    source: Source
    if planned.offload.to == DISK:
        source = DiskTransport(skeleton.layouts, link)
    else:
        source = PinnedTransport(skeleton.layouts, device, link)
    stream = LayerStream(skeleton.layouts, source, planned.dtype, plan.resident, plan.slots)
    skeleton.attach(stream)
    return skeleton.model, stream, plan, skeleton.unused
