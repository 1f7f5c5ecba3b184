"""The EAGLE head: a draft that reads the target's hidden states, a decoder layer or two over them.

Li et al. (2024), EAGLE, https://arxiv.org/abs/2401.15077: row t joins the embedding of token t with the
target's last hidden state after token t - 1, and predicts what follows token t. Below the first guess the
target has no hidden state yet, and the head's own output of the row above stands in for it; training unrolls
that, as in EAGLE-3 (Li et al. 2025, https://arxiv.org/abs/2503.01840). The embedding is the target's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, rms_norm, scaled_dot_product_attention

from specdec_cli.models.forward.kernels import normed
from specdec_cli.models.reduced_vocab_head import ReducedHead

EPS = 1e-5  # as in most models of the family, so that compiled kernels fit both


class EagleHead(nn.Module):
    """An EAGLE head; `inner` is a Llama-like model of its layers, so that the fused pass can compute it.

    Args:
        inner: transformers' model, whose embedding is the target's and whose output layer is reduced.
        dtype: of `fuse`; the embedding may have another one.

    Attributes:
        fuse: (embedding, hidden state) side by side to the first layer's input.
    """

    def __init__(self, inner: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner = inner
        hidden = inner.config.hidden_size
        self.fuse = nn.Linear(2 * hidden, hidden, bias=False, dtype=dtype)

    def joined(self, tokens: Tensor, features: Tensor) -> Tensor:
        """What the first layer reads, from ids (...) and hidden states (..., hidden) before them."""
        embedded = self.inner.get_input_embeddings().weight[tokens]
        return self.fuse(side_by_side(embedded, features))  # type: ignore[no-any-return]

    def unrolled(self, tokens: Tensor, features: Tensor, steps: int) -> list[Tensor]:
        """Outputs of every row as the first, second, ... guess after the text before it, for training.

        Args:
            tokens: (B, L) ids.
            features: (B, L, hidden) the target's hidden states after them.
            steps: how many guesses deep.

        Returns:
            For each step the outputs (B, L, hidden), from which the output layer makes logits. At step k row
            t saw true hidden states up to token t - k, and its own outputs of the earlier steps from there.
        """
        seen: list[list[tuple[Tensor, Tensor]]] = [[] for _ in self.inner.model.layers]
        rotation = self._rotation(tokens.shape[1])
        outputs: list[Tensor] = []
        for _ in range(steps):
            before = outputs[-1] if outputs else features
            x = self.joined(tokens, pad(before[:, :-1], (0, 0, 1, 0)))
            for layer, memory in zip(self.inner.model.layers, seen, strict=True):
                ready = normed(x, layer.input_layernorm.weight, EPS)
                x = x + _attended(layer.self_attn, ready, rotation, memory)
                x = x + layer.mlp(normed(x, layer.post_attention_layernorm.weight, EPS))
            outputs.append(normed(x, self.inner.model.norm.weight, EPS))
        return outputs

    def _rotation(self, length: int) -> tuple[Tensor, Tensor]:
        like = self.fuse.weight[:1, None]
        cosines, sines = self.inner.model.rotary_emb(like, torch.arange(length, device=like.device)[None])
        return cosines[:, None], sines[:, None]


def new_eagle_head(
    embedding: nn.Embedding, tokens: Tensor, layers: int, shape: Mapping[str, Any], dtype: torch.dtype
) -> EagleHead:
    """A head with random layers.

    Args:
        embedding: the target's.
        tokens: (R,) ids that it can propose.
        layers: how many.
        shape: of them: `hidden_size`, `intermediate_size`, `num_attention_heads`, `num_key_value_heads`,
            `head_dim`, and `max_position_embeddings`.
        dtype: of the weights.
    """
    from transformers import LlamaForCausalLM

    config = layers_config(shape, layers, vocab_size=len(tokens))
    inner: Any = LlamaForCausalLM(config)
    inner = inner.to(dtype)
    inner.set_input_embeddings(embedding)
    inner.set_output_embeddings(ReducedHead(inner.lm_head, tokens, embedding.num_embeddings))
    head = EagleHead(inner, dtype)
    embedding.requires_grad_(False)
    return head


def layers_config(shape: Mapping[str, Any], layers: int, **more: Any) -> Any:
    """transformers' configuration of a head's layers; for `shape` see `new_eagle_head`."""
    from transformers import LlamaConfig

    return LlamaConfig(
        **shape,
        **more,
        num_hidden_layers=layers,
        rms_norm_eps=EPS,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
    )


def side_by_side(embedded: Tensor, features: Tensor) -> Tensor:
    """What `fuse` reads: (..., hidden) twice to (..., 2 * hidden)."""
    # Each scaled to a root mean square of 1: embeddings and hidden states differ widely in size.
    both = torch.stack((embedded, features.to(embedded)), -2)
    return rms_norm(both, both.shape[-1:], eps=EPS).flatten(-2)


def _attended(
    attention: Any, x: Tensor, rotation: tuple[Tensor, Tensor], memory: list[tuple[Tensor, Tensor]]
) -> Tensor:
    """Attention of one unrolled step; its keys and values join those of the earlier steps in `memory`."""
    texts, length, _ = x.shape
    queries, keys, values = (
        product(x).view(texts, length, -1, attention.head_dim).transpose(1, 2)
        for product in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    memory.append((_rotated(keys, rotation), values))
    mixed = scaled_dot_product_attention(
        _rotated(queries, rotation),
        torch.cat([keys for keys, _ in memory], 2),
        torch.cat([values for _, values in memory], 2),
        _unrolled_mask(length, len(memory), x.device),
        enable_gqa=True,
    )
    return attention.o_proj(mixed.transpose(1, 2).reshape(texts, length, -1))  # type: ignore[no-any-return]


def _unrolled_mask(length: int, steps: int, device: torch.device) -> Tensor:
    """What a row of the last of these steps sees of the rows of all steps: (L, steps * L).

    Its ancestors: of step 1 the rows up to `steps - 1` before it, of each later step one, last itself.
    """
    rows = torch.arange(length, device=device)
    behind = rows[:, None] - rows
    parts = [behind >= steps - 1, *(behind == steps - 1 - step for step in range(1, steps))]
    return torch.cat(parts, 1)


def _rotated(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * rotation[0] + torch.cat((-second, first), -1) * rotation[1]


def head_shape(config: Any) -> dict[str, Any]:
    """The shape of a head's layers for a target of this configuration: that of the target's own."""
    text = config.get_text_config(decoder=True)
    heads = text.num_attention_heads
    size = getattr(text, "head_dim", None) or text.hidden_size // heads
    return {
        "hidden_size": text.hidden_size,
        "intermediate_size": getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        "num_attention_heads": heads,
        "num_key_value_heads": getattr(text, "num_key_value_heads", None) or heads,
        "head_dim": size,
        "max_position_embeddings": text.max_position_embeddings,
    }


def stored_weights(head: EagleHead) -> dict[str, Tensor]:
    """What a head's file holds: everything but the embedding."""
    embedding = {id(weight) for weight in head.inner.get_input_embeddings().parameters()}
    return {
        name: weight
        for name, weight in head.state_dict(keep_vars=True).items()
        if id(weight) not in embedding
    }
