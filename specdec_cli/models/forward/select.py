"""Which pass computes a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from specdec_cli.errors import SpecdecError
from specdec_cli.models.forward.base import Forward
from specdec_cli.models.forward.compiled import compile_kernels, load_kernels
from specdec_cli.models.forward.cuda_graph import CudaGraphForward
from specdec_cli.models.forward.fused import FusedForward
from specdec_cli.models.forward.fused_weights import fits, kernel_shape, of_family
from specdec_cli.models.forward.hf import HFForward
from specdec_cli.models.forward.streamed import streamed_forward
from specdec_cli.models.offload.stream import LayerStream
from specdec_cli.progress import Report

NOT_COMPILED = "only models of the Llama family, on a CPU or a CUDA device, are compiled"


def new_forward(model: Any, stream: LayerStream | None = None) -> Forward:
    """The fastest pass that computes the model, with its own cache; `stream` brings its layers, if given."""
    if stream is not None:
        return streamed_forward(model, stream)
    return FusedForward(model) if fits(model) else HFForward(model)


def can_compile(model: Any, stream: LayerStream | None = None) -> bool:
    """Whether `compiled_forward` takes the model: the fused pass computes it, on a CPU or a CUDA device.

    Layers that are streamed change their address, so such a model is compiled on the CPU only.
    """
    if stream is not None:
        return model.device.type == "cpu" and of_family(model)
    return model.device.type in ("cpu", "cuda") and fits(model)


def compiled_forward(model: Any, report: Report, stream: LayerStream | None = None) -> Forward:
    """The fused pass with compiled kernels, or as CUDA graphs, for a model that `can_compile`.

    Args:
        model: to compute.
        report: is told what takes time.
        stream: brings its layers, if given.

    Raises:
        SpecdecError: no compiler, or it fails.
        ResourceError: the disk is full.
    """
    if model.device.type == "cuda":
        return CudaGraphForward(model)
    kernels = load_kernels(compile_forward(model, report, stream), kernel_shape(model), model.dtype)
    return FusedForward(model, kernels) if stream is None else streamed_forward(model, stream, kernels)


def compile_forward(model: Any, report: Report, stream: LayerStream | None = None) -> Path:
    """Compile what `compiled_forward` will load, unless that was done before: the folder that it lies in.

    Raises:
        SpecdecError: the model is not on the CPU, or not one that `can_compile`; no compiler, or it fails.
        ResourceError: the disk is full.
    """
    if model.device.type != "cpu" or not can_compile(model, stream):
        hint = "Without --compile every model runs through its own module."
        problem = f"A {model.config.model_type} model on {model.device} cannot be compiled: {NOT_COMPILED}."
        raise SpecdecError(problem, hint)
    return compile_kernels(kernel_shape(model), model.dtype, report)
