"""The preallocated key-value cache: rows are written in place and only accepted rows ever move."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

GROWTH = 1.5


class CacheLayer(CacheLayerMixin):
    """One layer's keys and values, each (1, heads, capacity, head size); the owner says where to write."""

    is_croppable = False
    is_sliding = False  # rows outside a window are hidden by the mask, never dropped

    def __init__(self, owner: KeyValueCache) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._owner = owner
        self._buffers: tuple[Tensor, Tensor] | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        capacity = self._owner.capacity
        self._buffers = _buffer(key_states, capacity), _buffer(value_states, capacity)
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if self._buffers is None:
            self.lazy_initialization(key_states, value_states)
        assert self._buffers is not None
        keys, values = self._buffers
        start = self._owner.start
        end = start + key_states.shape[-2]
        keys[:, :, start:end] = key_states
        values[:, :, start:end] = value_states
        return keys[:, :, :end], values[:, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._owner.start + query_length, 0

    def get_seq_length(self) -> int:
        return self._owner.start

    def get_max_length(self) -> int:
        return -1

    def resize(self, capacity: int, used: int) -> None:
        """Move the first `used` rows to buffers of another capacity."""
        if self._buffers is not None:
            keys, values = self._buffers
            self._buffers = _resized(keys, capacity, used), _resized(values, capacity, used)

    def move(self, rows: Tensor, to: int) -> None:
        """Copy rows (n,) to `to`, `to + 1`, ..."""
        for buffer in self._buffers or ():
            buffer[:, :, to : to + rows.numel()] = buffer.index_select(2, rows.to(buffer.device))


class KeyValueCache(Cache):
    """Keys and values of every layer, with one cursor for all.

    Attributes:
        capacity: rows that the buffers hold.
        start: row at which the next pass writes.
    """

    def __init__(self, layers: int) -> None:
        self.capacity = 0
        self.start = 0
        self._own = [CacheLayer(self) for _ in range(layers)]
        super().__init__(layers=[*self._own])

    def reserve(self, rows: int) -> None:
        """Make room for `rows` rows, keeping all that were written."""
        if rows <= self.capacity:
            return
        used, self.capacity = self.capacity, max(rows, int(self.capacity * GROWTH))
        for layer in self._own:
            layer.resize(self.capacity, used)

    def move(self, rows: Tensor, to: int) -> None:
        """Copy rows (n,), in ascending order and none before `to`, to `to`, `to + 1`, ... in every layer."""
        for layer in self._own:
            layer.move(rows, to)


def _buffer(like: Tensor, capacity: int) -> Tensor:
    return like.new_empty((*like.shape[:2], capacity, like.shape[3]))


def _resized(buffer: Tensor, capacity: int, used: int) -> Tensor:
    larger = _buffer(buffer, capacity)
    larger[:, :, :used] = buffer[:, :, :used]
    return larger
