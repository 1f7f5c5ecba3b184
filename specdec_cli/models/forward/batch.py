"""Many texts of one length at once, a token each a pass: how a target writes training text for a draft.

All texts stand at the same position, so nothing is padded and nothing is masked.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from specdec_cli.models.forward.fused_weights import LayerWeights, fits, fused_weights
from specdec_cli.models.forward.kernels import eager_kernels, normed
from specdec_cli.models.reduced_vocab_head import head_vocab_size
from specdec_cli.sampling.vocabulary import spread


class BatchForward(Protocol):
    """Reads the next token of every text."""

    def read(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B,) to the last hidden states (B, hidden), as the head sees them, and logits (B, V)."""
        ...


def new_batch_forward(model: Any, texts: int, length: int) -> BatchForward:
    """The fastest batched pass that computes the model, with room for `texts` texts of `length` tokens."""
    return FusedBatch(model, texts, length) if fits(model) else HFBatch(model)


class FusedBatch:
    """The pass of a Llama-like model without its module tree; see `fused.FusedForward`."""

    def __init__(self, model: Any, texts: int, length: int) -> None:
        self._weights = weights = fused_weights(model)
        self._kernels = eager_kernels(weights.shape)
        shape, like = weights.shape, weights.embedding
        self._group = shape.heads // shape.key_heads
        self._keys = like.new_empty((len(weights.layers), texts, shape.key_heads, length, shape.head_size))
        self._values = torch.empty_like(self._keys)
        self._fresh = like.new_empty((2 * shape.key_heads, texts, shape.head_size))
        self._rows = torch.arange(texts, device=like.device)
        heads = torch.arange(shape.heads, device=like.device)[:, None]
        self._chosen = (self._rows * (shape.heads + 2 * shape.key_heads) + heads).flatten()
        positions = torch.arange(length, device=like.device)
        cosines, sines = model.model.rotary_emb(like[:1, None], positions[None])
        low, high = sines.chunk(2, -1)
        self._cosines, self._sines = cosines[0, :, None, None], torch.cat((-low, high), -1)[0, :, None, None]
        self._vocab_size = head_vocab_size(model.lm_head)
        self._read = 0

    @torch.inference_mode()
    def read(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As `BatchForward.read`."""
        weights, kernels = self._weights, self._kernels
        x = weights.embedding[tokens.to(weights.embedding.device)]
        if weights.embedding_scale != 1:
            x = x * x.new_tensor(weights.embedding_scale)
        ready = normed(x, weights.norms[0], weights.shape.eps)
        for index, (layer, norm) in enumerate(zip(weights.layers, weights.norms[1:], strict=True)):
            x, ready = kernels.add_norm(x, self._attend(index, layer, ready), layer.before_mlp)
            x, ready = kernels.add_norm(x, layer.down(kernels.gate(layer.gate_up(ready))), norm)
        self._read += 1
        return ready, spread(weights.head(ready), weights.vocabulary, self._vocab_size, float("-inf"))

    def _attend(self, index: int, layer: LayerWeights, ready: Tensor) -> Tensor:
        texts, position = ready.shape[0], self._read
        queries = self._kernels.rotate(
            layer.qkv(ready),
            self._cosines[position].expand(texts, -1, -1),
            self._sines[position].expand(texts, -1, -1),
            self._rows,
            self._fresh,
            layer.query_norm,
            layer.key_norm,
            self._chosen,
        )
        keys, values = self._keys[index], self._values[index]
        fresh_keys, fresh_values = self._fresh.transpose(0, 1).chunk(2, 1)
        keys[:, :, position], values[:, :, position] = fresh_keys, fresh_values
        # Query heads that share a key head become rows of one attention, so keys are never repeated.
        queries = queries.view(keys.shape[1], self._group, texts, -1).permute(2, 0, 1, 3)
        window = self._weights.window
        first = 0 if window is None else max(position + 1 - window, 0)
        seen = slice(first, position + 1)
        mixed = scaled_dot_product_attention(queries, keys[:, :, seen], values[:, :, seen])
        return layer.out(mixed.reshape(texts, -1))


class HFBatch:
    """The pass through transformers' own module, for every other architecture."""

    def __init__(self, model: Any) -> None:
        from transformers import DynamicCache

        self._model = model
        self._cache = DynamicCache(config=model.config)

    @torch.inference_mode()
    def read(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """As `BatchForward.read`."""
        output = self._model(
            input_ids=tokens[:, None].to(self._model.device),
            past_key_values=self._cache,
            use_cache=True,
            output_hidden_states=True,
        )
        return output.hidden_states[-1][:, -1], output.logits[:, -1]
