"""The fused pass as CUDA graphs: a pass's hundred small kernels started by one call.

A graph replays what was recorded, on the same tensors. So a pass is padded to one of a few sizes, its inputs
are copied into tensors that stay, and attention looks at the whole cache behind a mask. Rows of padding write
their keys and values to the cache's last row, which nothing else uses, and nobody looks at them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from specdec_cli.models.forward.base import Pass, causal
from specdec_cli.models.forward.fused import FusedForward
from specdec_cli.models.forward.sdpa_attention import SdpaAttention, SdpaInputs

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)  # larger passes, as of a prompt, run as they are
STRIDE = 1024  # rows that the cache grows by: every growth costs the graphs, which hold its address
WARM_UPS = 2
Record = Callable[[Callable[[], Tensor]], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Frame:
    """What stays in place for passes of one size.

    Attributes:
        tokens, positions, rows: (size,) of the rows that are read.
        mask: (1, 1, group * size, capacity), additive.
        features: (size, hidden) what comes out.
        replay: computes it again.
    """

    tokens: Tensor
    positions: Tensor
    rows: Tensor
    mask: Tensor
    features: list[Tensor]
    replay: Callable[[], None]


class CudaGraphForward(FusedForward):
    """Computes passes of a Llama-like model on a GPU; see `base.Forward`.

    Args:
        model: one that `fused_weights.fits`.
        record: turns a computation into its replay; another one than CUDA's serves tests.
    """

    def __init__(self, model: Any, record: Record | None = None) -> None:
        super().__init__(model)
        self._record = record or partial(recorded, device=self.device)
        self._frames: dict[int, Frame] = {}

    def _new_attention(self) -> SdpaAttention:
        weights = self._weights
        self._sdpa = SdpaAttention(
            weights.shape, len(weights.layers), self._kernels, weights.window, weights.embedding
        )
        return self._sdpa

    @torch.inference_mode()
    def reserve(self, rows: int) -> None:
        before = self._sdpa.capacity
        if rows < before:
            return
        super().reserve((rows // STRIDE + 1) * STRIDE)  # and a row for padding
        self._sdpa.cache[:, :, :, before:] = 0.0  # what is masked must still be a number
        self._frames = {}

    @torch.inference_mode()
    def run(self, step: Pass) -> Tensor:
        count = step.tokens.numel()
        size = next((each for each in SIZES if each >= count), None)
        if size is None:
            return super().run(step)
        if size not in self._frames:
            self._frames[size] = self._frame(size)
        frame = self._frames[size]
        self._fill(frame, step)
        frame.replay()
        self.features = frame.features[0][:count].clone()  # the next replay writes over it
        return self._weights.head(self.features[-step.keep :])

    def _frame(self, size: int) -> Frame:
        """Tensors for passes of a size, and the recording of one."""
        capacity, like, group = self._sdpa.capacity, self._sdpa.cache, self._sdpa.group
        tokens, positions, rows = (torch.zeros(size, dtype=torch.int64, device=self.device) for _ in range(3))
        rows.fill_(capacity - 1)
        mask = torch.zeros((1, 1, group * size, capacity), dtype=like.dtype, device=self.device)

        def compute() -> Tensor:
            rotation = self._cosines[positions], self._sines[positions], rows
            features[0] = self._read(self._embedded(tokens), rotation, inputs)
            return features[0]

        inputs = SdpaInputs(self._sdpa.chosen(size), capacity, mask)
        features = [self._weights.embedding[:0]]
        return Frame(tokens, positions, rows, mask, features, self._record(compute))

    def _fill(self, frame: Frame, step: Pass) -> None:
        """Copy a pass into its frame."""
        count, end = step.tokens.numel(), step.start + step.tokens.numel()
        capacity, group = self._sdpa.capacity, self._sdpa.group
        frame.tokens[:count] = step.tokens
        frame.positions[:count] = step.positions
        frame.rows[:count] = torch.arange(step.start, end, device=self.device)
        frame.rows[count:] = capacity - 1
        visible = causal(step.start, end, self.device) if step.visible is None else step.visible
        if self._weights.window is not None:
            visible = visible & (step.positions[:, None] - step.row_positions() < self._weights.window)
        seen = frame.mask.view(group, len(frame.tokens), capacity)
        seen.fill_(float("-inf"))
        seen[:, :count, :end].masked_fill_(visible, 0.0)
        seen[:, count:, -1] = 0.0  # padding looks at itself: a row that sees nothing would be no number


def recorded(compute: Callable[[], Tensor], device: torch.device) -> Callable[[], None]:
    """A computation as a CUDA graph: run a few times, so that all is allocated, then recorded.

    Other threads may call CUDA meanwhile, as one that streams layers does; that is no error of the recording.
    """
    with torch.cuda.device(device):  # streams and graphs are made on the current device
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                compute()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            compute()

    def replay() -> None:
        with torch.cuda.device(device):
            graph.replay()

    return replay
