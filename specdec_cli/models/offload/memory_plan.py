"""What an offloaded run will take of the memory, and how many layers can stay, before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from specdec_cli.errors import ResourceError
from specdec_cli.models.hardware import free_memory
from specdec_cli.models.hf.checkpoint import logit_vocab_size
from specdec_cli.models.offload.layout import Layout
from specdec_cli.models.offload.skeleton import Skeleton
from specdec_cli.models.offload.stream import staging_bytes
from specdec_cli.models.quantization.quantize import bytes_in
from specdec_cli.models.quantization.shapes import low_bytes

SLOTS = 3  # one that computes, one that is ready, one that is on its way
SHARE = 0.9  # of the free memory, where no limit is given
PROMPT = 512  # rows of a prompt that the caches are planned for
SCORED = 100  # rows whose scores are held at once, with room to grow
ACTIVATIONS = 4  # rows of the hidden size that a pass holds at once beside the layers' inner ones
LOGITS = 3  # times that a tree's logits are held: raw, as a distribution, and in between


@dataclass(frozen=True, slots=True)
class Workload:
    """What is to be run on an offloaded target.

    Attributes:
        tokens: longest answer.
        tree: nodes of the largest tree.
        prefill_chunk: tokens of a prompt that are read in one pass.
        draft_bytes: of the weights of a draft model of its own.
        draft_config: of that model, or of the target's for a draft made from it; None without a model.
        self_draft: "int8" or "int4" for a quantized copy of the target as its draft.
    """

    tokens: int
    tree: int
    prefill_chunk: int
    draft_bytes: int = 0
    draft_config: Any = None
    self_draft: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the user allows.

    Attributes:
        memory: bytes in all; None for most of what is free.
        resident: layers that stay; None for as many as fit.
    """

    memory: int | None = None
    resident: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Bytes by purpose.

    Attributes:
        parts: what takes memory, by name, in bytes.
        resident: layers that stay.
        layers: in all.
        slots: buffers to stream through; 0 where nothing is streamed.
        limit: bytes that the run may take.
        pass_bytes: streamed in every pass.
        weights: bytes of all the target's weights.
    """

    parts: dict[str, int]
    resident: int
    layers: int
    slots: int
    limit: int
    pass_bytes: int
    weights: int

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(self.parts.values())


def make_plan(skeleton: Skeleton, work: Workload, limits: Limits, device: torch.device) -> Plan:
    """The plan with as many resident layers as the limits allow.

    Raises:
        ResourceError: not even the least, or not the number asked for, fits.
    """
    limit = limits.memory if limits.memory is not None else _usual_limit(device)
    total = len(skeleton.layouts)
    wanted = total if limits.resident is None else min(limits.resident, total)
    plans = (_plan(skeleton, work, count, limit, device) for count in range(wanted, -1, -1))
    if limits.resident is None:
        found = next((plan for plan in plans if plan.total <= limit), None)
        if found is not None:
            return found
    least = _plan(skeleton, work, wanted if limits.resident is not None else 0, limit, device)
    if least.total <= limit:
        return least
    raise _refusal(least, work)


def _plan(skeleton: Skeleton, work: Workload, resident: int, limit: int, device: torch.device) -> Plan:
    layouts, dtype = list(skeleton.layouts.values()), skeleton.dtype
    streamed = layouts[resident:]
    slots = min(SLOTS, max(2, len(streamed))) if streamed else 0
    config = skeleton.model.config
    rows = PROMPT + work.tokens + work.tree
    # As `forward.attention` keeps them; where transformers' own module computes a model, they take less.
    cached = torch.promote_types(dtype, torch.float32) if device.type == "cpu" else dtype
    parts = {
        "program": program_bytes() if device.type == "cpu" else 0,
        "embedding, head, norms": skeleton.rest_bytes(),
        f"layers that stay ({resident} of {len(layouts)})": sum(
            each.bytes_as(dtype) for each in layouts[:resident]
        ),
        f"buffers ({slots})": slots * _largest(streamed) + _staging(streamed, dtype),
        "draft": _draft_bytes(skeleton, work),
        "caches": rows * (row_bytes(config, cached) + _draft_row_bytes(work, cached)),
        "workspace": _workspace(config, work, dtype) + _score_bytes(config, rows, device),
    }
    return Plan(
        parts=parts,
        resident=resident,
        layers=len(layouts),
        slots=slots,
        limit=limit,
        pass_bytes=sum(each.read_bytes for each in streamed),
        weights=skeleton.rest_bytes() + sum(each.bytes_as(dtype) for each in layouts),
    )


def _largest(streamed: list[Layout]) -> int:
    return max((each.size for each in streamed), default=0)


def _staging(streamed: list[Layout], dtype: torch.dtype) -> int:
    converted = [each for each in streamed if not each.is_plain(dtype)]
    return max((staging_bytes(each, dtype) + each.merging_bytes for each in converted), default=0)


def _draft_bytes(skeleton: Skeleton, work: Workload) -> int:
    if work.self_draft is None:
        return work.draft_bytes
    kind = work.self_draft
    head = skeleton.model.get_output_embeddings().weight.shape
    return bytes_in(kind, skeleton.layers, skeleton.dtype) + low_bytes("int8", head)


def _draft_row_bytes(work: Workload, dtype: torch.dtype) -> int:
    return 0 if work.draft_config is None else row_bytes(work.draft_config, dtype)


def row_bytes(config: Any, dtype: torch.dtype) -> int:
    """Bytes of one token's keys and values in all layers, which may differ in their heads."""
    text = config.get_text_config(decoder=True)
    if getattr(text, "per_layer_attributes", None):  # asking each layer takes time, so only where they differ
        return sum(map(_row_numbers, text.per_layer_config)) * dtype.itemsize
    return int(text.num_hidden_layers * _row_numbers(text) * dtype.itemsize)


def _row_numbers(layer: Any) -> int:
    """How many numbers of keys and values a layer keeps of a token; none where it has no attention."""
    queries = getattr(layer, "num_attention_heads", None)
    if queries is None:
        return 0
    if getattr(layer, "qk_nope_head_dim", None):  # made of a latent vector, and kept as made
        return int(queries * (layer.qk_nope_head_dim + layer.qk_rope_head_dim + layer.v_head_dim))
    heads = getattr(layer, "num_key_value_heads", None) or queries
    return int(2 * heads * (getattr(layer, "head_dim", None) or layer.hidden_size // queries))


def _workspace(config: Any, work: Workload, dtype: torch.dtype) -> int:
    """What a pass over a chunk of the prompt holds at once, or one over a tree with its logits."""
    text = config.get_text_config(decoder=True)
    inner = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    widest = max(inner) if isinstance(inner, list | tuple) else int(inner)
    numbers = ACTIVATIONS * text.hidden_size + 3 * widest
    tree = (work.tree + 1) * (LOGITS * 4 * logit_vocab_size(config) + numbers * dtype.itemsize)
    return int(max(work.prefill_chunk * numbers * dtype.itemsize, tree))


def _score_bytes(config: Any, rows: int, device: torch.device) -> int:
    """What `forward.attention` computes the scores of some rows in, on a CPU."""
    heads = getattr(config.get_text_config(decoder=True), "num_attention_heads", None) or 0
    return heads * SCORED * rows * 4 if device.type == "cpu" else 0


def program_bytes() -> int:
    """What this process takes already: the interpreter and the libraries; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


def _usual_limit(device: torch.device) -> int:
    free = free_memory(device)
    used = program_bytes() if device.type == "cpu" else 0
    return used + int(SHARE * free) if free is not None else 1 << 62


def _refusal(plan: Plan, work: Workload) -> ResourceError:
    parts = ", ".join(f"{name} {size / 2**20:,.0f}" for name, size in plan.parts.items() if size)
    problem = (
        f"The offloaded run needs {plan.total / 2**20:,.0f} MiB and may take {plan.limit / 2**20:,.0f}: "
        f"{parts} (MiB)."
    )
    ways = [f"--memory-limit {-(-plan.total // 2**20)}MiB where there is that much"]
    ways += [f"--resident-layers below {plan.resident}"] if plan.resident else []
    ways += ["--draft ngram"] if work.draft_config is not None else []
    ways += ["a smaller --max-budget or --tree"] if work.tree > 64 else []
    return ResourceError(problem, f"Use {', '.join(ways)}.")
