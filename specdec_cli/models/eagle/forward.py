"""The pass of an EAGLE head: the fused pass, with hidden states beside the embeddings in its input."""

from __future__ import annotations

from torch import Tensor

from specdec_cli.models.eagle.head import EagleHead, side_by_side
from specdec_cli.models.forward.base import Pass
from specdec_cli.models.forward.compiled import load_kernels
from specdec_cli.models.forward.fused import FusedForward
from specdec_cli.models.forward.fused_weights import kernel_shape
from specdec_cli.models.forward.kernels import Kernels
from specdec_cli.models.forward.packed_linear import fused
from specdec_cli.models.forward.select import compile_forward
from specdec_cli.progress import Report


class EagleForward(FusedForward):
    """Computes passes of an EAGLE head; see `base.Forward`. Every pass needs `Pass.features`.

    Args:
        head: the draft.
        kernels: compiled kernels for the shape of its layers, if there are any.
    """

    def __init__(self, head: EagleHead, kernels: Kernels | None = None) -> None:
        super().__init__(head.inner, kernels)
        self._fuse = fused((head.fuse,))

    def _inputs(self, step: Pass) -> Tensor:
        assert step.features is not None, "an EAGLE head reads hidden states"
        return self._fuse(side_by_side(self._weights.embedding[step.tokens], step.features))


def eagle_forward(head: EagleHead, compiled: bool, report: Report) -> EagleForward:
    """The pass of an EAGLE head, with compiled kernels if that is asked for and can be had.

    Raises:
        SpecdecError: no compiler, or it fails.
        ResourceError: the disk is full.
    """
    if compiled and head.inner.device.type == "cpu":
        folder = compile_forward(head.inner, report)
        return EagleForward(head, load_kernels(folder, kernel_shape(head.inner), head.inner.dtype))
    return EagleForward(head)
