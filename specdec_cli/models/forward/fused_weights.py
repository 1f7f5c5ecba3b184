"""The weights of a Llama-like model, fused and packed for `fused.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from specdec_cli.models.forward.hf import FULL, sliding_window
from specdec_cli.models.forward.kernels import Shape
from specdec_cli.models.forward.packed_linear import fused, fuses
from specdec_cli.models.hf.architectures import Architecture, architecture_of
from specdec_cli.models.quantization.matrices import Product
from specdec_cli.models.reduced_vocab_head import ReducedHead

FIXED_ROPES = ("default", "linear", "llama3", "yarn")  # the others change their angles with the length
FIRST_NORM, MIDDLE_NORM = "input_layernorm", "post_attention_layernorm"
HEAD_NORMS = ("self_attn.q_norm", "self_attn.k_norm")
_LAYERS: WeakKeyDictionary[nn.Module, LayerWeights] = WeakKeyDictionary()
_HEADS: WeakKeyDictionary[nn.Module, Product] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One decoder layer. Queries, keys and values come from one product, gate and up from another.

    Attributes:
        before_mlp: (hidden,) scale of the norm in the middle.
        query_norm, key_norm: (head size,) scales, where the model normalises heads.
        qkv, out, gate_up, down: the four products.
    """

    qkv: Product
    query_norm: Tensor
    key_norm: Tensor
    out: Product
    before_mlp: Tensor
    gate_up: Product
    down: Product


class LayerList(Protocol):
    """Layers from the first to the last; each is valid until the next one is asked for."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[LayerWeights]: ...


@dataclass(frozen=True, slots=True)
class FusedWeights:
    """The weights of a whole Llama-like model, as `fused.FusedForward` reads them.

    Attributes:
        shape: what its layers have in common.
        embedding: (V, hidden).
        embedding_scale: factor on what is looked up there.
        layers: from the first to the last.
        norms: (hidden,) scales of the norm before each layer, and of the last norm.
        head: hidden states to logits, of the tokens of `vocabulary`.
        vocabulary: (R,) the ids, ascending, that the head knows; None where it knows all.
        window: how many positions a row sees, its own included, in every layer; None for all.
    """

    shape: Shape
    embedding: Tensor
    embedding_scale: float
    layers: LayerList
    norms: tuple[Tensor, ...]
    head: Product
    vocabulary: Tensor | None
    window: int | None


def fused_weights(model: Any) -> FusedWeights:
    """Fuse and pack a model's weights; layers that another model borrowed before are not packed again."""
    decoder, architecture = model.model, architecture_of(model.config)
    layers = tuple(_layer(layer, architecture) for layer in decoder.layers)
    before = [norm_scale(layer.input_layernorm.weight, architecture) for layer in decoder.layers]
    return around_layers(model, layers, before, _head(_full_head(model.lm_head)))


def around_layers(model: Any, layers: LayerList, before: Sequence[Tensor], head: Product) -> FusedWeights:
    """The weights of a model whose layers, the norms before them and the head are given."""
    config, decoder = model.config, model.model
    architecture = architecture_of(config)
    return FusedWeights(
        shape=kernel_shape(model),
        embedding=decoder.embed_tokens.weight,
        embedding_scale=config.hidden_size**0.5 if architecture.embedding_scaled else 1.0,
        layers=layers,
        norms=(*before, norm_scale(decoder.norm.weight, architecture)),
        head=head,
        vocabulary=model.lm_head.tokens if isinstance(model.lm_head, ReducedHead) else None,
        window=sliding_window(config),
    )


def fits(model: Any) -> bool:
    """Whether the fused pass computes this model: of the family, and all of it on one device."""
    return (
        of_family(model)
        and len({parameter.device for parameter in model.parameters()}) == 1
        and not any("forward" in vars(module) for module in model.modules())  # streamed by hooks
    )


def of_family(model: Any) -> bool:
    """Whether a model is Llama-like, wherever its weights are: plain products, fixed rotary angles."""
    config = model.config
    return (
        architecture_of(config).fusable
        and set(getattr(config, "layer_types", None) or ()) <= {FULL}
        and (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default") in FIXED_ROPES
        and fuses((_full_head(model.lm_head),))
        and all(fuses(parts) for layer in model.model.layers for parts in layer_products(layer))
    )


def layer_products(layer: Any) -> tuple[tuple[nn.Module, ...], ...]:
    """The linear layers of a decoder layer in the order of use, together those that are computed together."""
    attention, mlp = layer.self_attn, layer.mlp
    return (
        (attention.q_proj, attention.k_proj, attention.v_proj),
        (attention.o_proj,),
        (mlp.gate_proj, mlp.up_proj),
        (mlp.down_proj,),
    )


def kernel_shape(model: Any) -> Shape:
    """What decides the kernels of a model that `fits`."""
    config, layer = model.config, model.model.layers[0]
    norm, architecture = layer.input_layernorm, architecture_of(config)
    eps = getattr(norm, architecture.norm_eps)
    return Shape(
        hidden=config.hidden_size,
        inner=config.intermediate_size,
        heads=config.num_attention_heads,
        key_heads=config.num_key_value_heads,
        head_size=layer.self_attn.head_dim,
        eps=float(f"{eps:.6g}"),  # GGUF holds 1e-5 as 9.999999747e-06: one number, one set of kernels
        normed_heads=hasattr(layer.self_attn, "q_norm"),
        activation=config.hidden_act,
        wide_scales=architecture.norm_offset and norm.weight.dtype.itemsize < 4,
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
    product: Product = (
        _once(_HEADS, head, lambda: fused((head,))) if isinstance(head, nn.Linear) else fused((head,))
    )
    return product


def _layer(layer: Any, architecture: Architecture) -> LayerWeights:
    weights: LayerWeights = _once(_LAYERS, layer, lambda: _fused(layer, architecture))
    return weights


def _fused(layer: Any, architecture: Architecture) -> LayerWeights:
    qkv, out, gate_up, down = (fused(parts) for parts in layer_products(layer))
    norms = {
        name: module.weight for name, module in layer.named_modules() if name in (MIDDLE_NORM, *HEAD_NORMS)
    }
    return layer_weights(norms, (qkv, out, gate_up, down), architecture)


def layer_weights(
    norms: Mapping[str, Tensor],
    products: tuple[Product, Product, Product, Product],
    architecture: Architecture,
) -> LayerWeights:
    """A layer from the weights of its norms, by their names in it, and its products in the order of use."""
    before_mlp = norm_scale(norms[MIDDLE_NORM], architecture)
    query_norm, key_norm = (
        norm_scale(norms[name], architecture) if name in norms else before_mlp for name in HEAD_NORMS
    )
    qkv, out, gate_up, down = products
    return LayerWeights(qkv, query_norm, key_norm, out, before_mlp, gate_up, down)


def norm_scale(weight: Tensor, architecture: Architecture) -> Tensor:
    """What a norm multiplies by, in float32 at least where the architecture scales before it rounds."""
    if not architecture.norm_offset:
        return weight
    wide = weight.float() if weight.dtype.itemsize < 4 else weight
    return wide + 1
