"""The weights of a Llama-like model, fused and packed for `lean.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from specdec_cli.models.forward.linear import Product, fused, fuses
from specdec_cli.models.forward.module import FULL, sliding_window
from specdec_cli.models.forward.pieces import Shape
from specdec_cli.models.reduced_head import ReducedHead

# Architectures whose decoder is: norm, attention, add, norm, gated product, add; shown equal by tests.
LEAN = frozenset({"gemma", "llama", "mistral", "qwen2", "qwen3"})
FIXED_ROPES = ("default", "linear", "llama3", "yarn")  # the others change their angles with the length
_LAYERS: WeakKeyDictionary[nn.Module, LayerWeights] = WeakKeyDictionary()
_HEADS: WeakKeyDictionary[nn.Module, Product] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One decoder layer. Queries, keys and values come from one product, gate and up from another.

    Attributes:
        before_attention, before_mlp: (hidden,) scales of the two norms.
        query_norm, key_norm: (head size,) scales, where the model normalises heads.
        qkv, out, gate_up, down: the four products.
    """

    before_attention: Tensor
    qkv: Product
    query_norm: Tensor
    key_norm: Tensor
    out: Product
    before_mlp: Tensor
    gate_up: Product
    down: Product


@dataclass(frozen=True, slots=True)
class LeanWeights:
    """A whole model.

    Attributes:
        shape: what its layers have in common.
        embedding: (V, hidden).
        embedding_scale: factor on what is looked up there.
        layers: from the first to the last.
        norm: (hidden,) scale of the last norm.
        head: hidden states to logits.
        window: width of sliding-window attention in every layer, if any.
    """

    shape: Shape
    embedding: Tensor
    embedding_scale: float
    layers: tuple[LayerWeights, ...]
    norm: Tensor
    head: Product
    window: int | None


def lean_weights(model: Any) -> LeanWeights:
    """Fuse and pack a model's weights; layers that another model borrowed before are not packed again."""
    config, decoder = model.config, model.model
    kind = config.model_type
    return LeanWeights(
        shape=lean_shape(model),
        embedding=decoder.embed_tokens.weight,
        embedding_scale=config.hidden_size**0.5 if kind == "gemma" else 1.0,
        layers=tuple(_layer(layer, kind) for layer in decoder.layers),
        norm=_scale(decoder.norm, kind),
        head=_head(model.lm_head),
        window=sliding_window(config),
    )


def fits(model: Any) -> bool:
    """Whether the lean forward computes this model: architecture, plain weights, fixed rotary positions."""
    config = model.config
    return (
        config.model_type in LEAN
        and set(getattr(config, "layer_types", None) or ()) <= {FULL}
        and (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default") in FIXED_ROPES
        and len({parameter.device for parameter in model.parameters()}) == 1
        and fuses((_full_head(model.lm_head),))
        and all(fuses(parts) for layer in model.model.layers for parts in _layer_products(layer))
        and not any("forward" in vars(module) for module in model.modules())  # streamed by hooks
    )


def _layer_products(layer: Any) -> tuple[tuple[nn.Module, ...], ...]:
    """The linear layers of a decoder layer in the order of use, together those that are computed together."""
    attention, mlp = layer.self_attn, layer.mlp
    return (
        (attention.q_proj, attention.k_proj, attention.v_proj),
        (attention.o_proj,),
        (mlp.gate_proj, mlp.up_proj),
        (mlp.down_proj,),
    )


def lean_shape(model: Any) -> Shape:
    """What decides the pieces of a model that `fits`."""
    config, layer = model.config, model.model.layers[0]
    norm = layer.input_layernorm
    return Shape(
        hidden=config.hidden_size,
        inner=config.intermediate_size,
        heads=config.num_attention_heads,
        key_heads=config.num_key_value_heads,
        head_size=layer.self_attn.head_dim,
        eps=norm.eps if config.model_type == "gemma" else norm.variance_epsilon,
        normed_heads=hasattr(layer.self_attn, "q_norm"),
        activation=config.hidden_act,
        wide_scales=config.model_type == "gemma" and norm.weight.dtype.itemsize < 4,
    )


def _once(known: WeakKeyDictionary[nn.Module, Any], module: nn.Module, make: Callable[[], Any]) -> Any:
    if module not in known:
        known[module] = make()
    return known[module]


def _full_head(head: nn.Module) -> nn.Module:
    """The product inside an output layer that leaves tokens out."""
    return head.inner if isinstance(head, ReducedHead) else head


def _head(head: nn.Module) -> Product:
    """Packed once for all that share it; one of lower precision is ready, and must be no key to itself."""
    if isinstance(head, ReducedHead):
        inner = _head(head.inner)
        return lambda x: head.widened(inner(x))
    product: Product = (
        _once(_HEADS, head, lambda: fused((head,))) if isinstance(head, nn.Linear) else fused((head,))
    )
    return product


def _layer(layer: Any, kind: str) -> LayerWeights:
    weights: LayerWeights = _once(_LAYERS, layer, lambda: _fused(layer, kind))
    return weights


def _fused(layer: Any, kind: str) -> LayerWeights:
    attention = layer.self_attn
    before_attention = _scale(layer.input_layernorm, kind)
    normed_heads = hasattr(attention, "q_norm")
    qkv, out, gate_up, down = (fused(parts) for parts in _layer_products(layer))
    return LayerWeights(
        before_attention=before_attention,
        qkv=qkv,
        query_norm=_scale(attention.q_norm, kind) if normed_heads else before_attention,
        key_norm=_scale(attention.k_norm, kind) if normed_heads else before_attention,
        out=out,
        before_mlp=_scale(layer.post_attention_layernorm, kind),
        gate_up=gate_up,
        down=down,
    )


def _scale(norm: Any, kind: str) -> Tensor:
    if kind != "gemma":
        return cast(Tensor, norm.weight)
    wide = norm.weight.float() if norm.weight.dtype.itemsize < 4 else norm.weight
    return cast(Tensor, wide + 1)  # Gemma stores what exceeds 1, and scales before it rounds
