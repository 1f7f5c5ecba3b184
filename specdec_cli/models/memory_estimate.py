"""What models will take, estimated from their names, without fetching or loading anything."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from specdec_cli.models.eagle.files import head_config, head_folder, head_size
from specdec_cli.registry.drafts import NOISY, QUANTIZED, DraftSpec
from specdec_cli.registry.model_sizes import ModelSize, size_of
from specdec_cli.registry.models import REGISTRY

PROMPT = 1024  # tokens of a prompt that the cache is planned for
LOW_BITS = {"int8": 8.5, "int4": 5.0, "bnb-8bit": 8.5, "bnb-4bit": 5.0}  # scales included
GPTQ_BITS = 4.25


@dataclass(frozen=True, slots=True)
class Estimate:
    """One model of a run.

    Attributes:
        role: target or draft.
        name: as the settings have it.
        parameters: number of weights; None where nothing is known.
        weight_bytes: memory for them; 0 where they are another model's; None where nothing is known.
        cache_bytes: memory for keys and values; None where nothing is known.
        needs_hub: whether the model comes from a hub and is not on this disk.
        gated: whether the hub asks for an account that accepted the licence.
        guessed: whether the size is read off the name.
    """

    role: str
    name: str
    parameters: int | None
    weight_bytes: int | None
    cache_bytes: int | None
    needs_hub: bool
    gated: bool = False
    guessed: bool = False


def cache_itemsize(itemsize: int, on_cpu: bool) -> int:
    """Bytes of a number in the cache of a model whose weights have so many: on a CPU it is float32 at least.

    So `forward.attention` keeps it; where transformers' own module computes a model, it is less.
    """
    return max(itemsize, 4) if on_cpu else itemsize


def estimate(
    role: str, name: str, *, itemsize: int, cached: int, tokens: int, quantize: str = "none"
) -> Estimate:
    """What a model that has a name of its own takes.

    Args:
        role: target or draft.
        name: a registry name, a folder, a file or a hub id.
        itemsize: bytes of a weight.
        cached: bytes of a number in the cache; see `cache_itemsize`.
        tokens: that the cache will hold.
        quantize: "none" or a key of `LOW_BITS`.
    """
    path = Path(os.path.expanduser(name))
    local = name in REGISTRY or path.exists()
    size = size_of(name)
    if size is None:
        return Estimate(role, name, None, None, None, needs_hub=not local)
    return Estimate(
        role=role,
        name=name,
        parameters=size.parameters,
        weight_bytes=_weights(size, itemsize, quantize),
        cache_bytes=_cache(size, cached, tokens),
        needs_hub=not local,
        gated=size.gated and not local,
        guessed=size.guessed,
    )


def estimate_draft(
    draft: DraftSpec | None,
    target: Estimate,
    *,
    itemsize: int,
    cached: int,
    tokens: int,
    quantize: str = "none",
) -> Estimate | None:
    """What a draft takes: a model, or a part or copy of the target; None where it takes nothing."""
    if draft is None or draft.is_ngram:
        return None
    folder = head_folder(draft.name)
    if folder is not None:
        return _head(draft.name, folder, itemsize, cached * tokens)
    if draft.is_model:
        return estimate(
            "draft", draft.name, itemsize=itemsize, cached=cached, tokens=tokens, quantize=quantize
        )
    own = replace(target, role="draft", name=draft.name, needs_hub=False, gated=False)
    if draft.kind == NOISY:
        return own
    if draft.kind == QUANTIZED:
        return replace(own, weight_bytes=_low(target.parameters, draft.precision))
    size = size_of(target.name)
    if size is None or not size.layers or target.cache_bytes is None:
        return replace(own, parameters=None, weight_bytes=0 if quantize == "none" else None, cache_bytes=None)
    share = min(draft.layers, size.layers) / size.layers
    weights = 0 if quantize == "none" else _low(int(size.parameters * share), quantize)
    return replace(own, weight_bytes=weights, cache_bytes=int(target.cache_bytes * share))


def _head(name: str, folder: Path, itemsize: int, cached: int) -> Estimate:
    config = head_config(folder)
    shape, (parameters, weights) = config["shape"], head_size(folder, itemsize, on_cpu=True)
    row = 2 * config["layers"] * shape["num_key_value_heads"] * shape["head_dim"]
    return Estimate("draft", name, parameters, weights, row * cached, needs_hub=False)


def total_bytes(models: list[Estimate]) -> int | None:
    """Memory of all of them; None where one of them is not known."""
    known = [(each.weight_bytes, each.cache_bytes) for each in models]
    if any(weights is None for weights, _ in known):
        return None
    return sum((weights or 0) + (cache or 0) for weights, cache in known)


def _weights(size: ModelSize, itemsize: int, quantize: str) -> int:
    if quantize != "none":
        return int(size.parameters * LOW_BITS[quantize] / 8)
    return int(size.parameters * (GPTQ_BITS / 8 if size.bits == 4 else itemsize))


def _low(parameters: int | None, kind: str) -> int | None:
    return None if parameters is None or kind not in LOW_BITS else int(parameters * LOW_BITS[kind] / 8)


def _cache(size: ModelSize, itemsize: int, tokens: int) -> int | None:
    if not size.layers:
        return None
    return 2 * size.layers * size.key_heads * size.head_size * itemsize * tokens
