"""The pass of a feature head: the lean pass, with hidden states beside the embeddings in its input."""

from __future__ import annotations

from torch import Tensor

from specdec_cli.models.eagle.head import FeatureHead, side_by_side
from specdec_cli.models.forward.base import Pass
from specdec_cli.models.forward.compiled import load_pieces
from specdec_cli.models.forward.fused import LeanForward
from specdec_cli.models.forward.fused_weights import lean_shape
from specdec_cli.models.forward.kernels import Pieces
from specdec_cli.models.forward.packed_linear import fused
from specdec_cli.models.forward.select import compile_forward
from specdec_cli.progress import Report


class HeadForward(LeanForward):
    """Computes passes of a feature head; see `base.Forward`. Every pass needs `Pass.features`.

    Args:
        head: the draft.
        pieces: compiled pieces for the shape of its layers, if there are any.
    """

    def __init__(self, head: FeatureHead, pieces: Pieces | None = None) -> None:
        super().__init__(head.inner, pieces)
        self._fuse = fused((head.fuse,))

    def _inputs(self, step: Pass) -> Tensor:
        assert step.features is not None, "a feature head reads hidden states"
        return self._fuse(side_by_side(self._weights.embedding[step.tokens], step.features))


def head_forward(head: FeatureHead, compiled: bool, report: Report) -> HeadForward:
    """The pass of a feature head, with compiled pieces if that is asked for and can be had.

    Raises:
        SpecdecError: no compiler, or it fails.
        ResourceError: the disk is full.
    """
    if compiled and head.inner.device.type == "cpu":
        folder = compile_forward(head.inner, report)
        return HeadForward(head, load_pieces(folder, lean_shape(head.inner), head.inner.dtype))
    return HeadForward(head)
