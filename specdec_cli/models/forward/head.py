"""The pass of a feature head: the lean pass, with hidden states beside the embeddings in its input."""

from __future__ import annotations

from torch import Tensor

from specdec_cli.models.feature_head import FeatureHead, side_by_side
from specdec_cli.models.forward.base import Pass
from specdec_cli.models.forward.lean import LeanForward
from specdec_cli.models.forward.linear import fused
from specdec_cli.models.forward.pieces import Pieces


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
