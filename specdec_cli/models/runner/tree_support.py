"""Whether a model can be driven at all: its attention must take a mask, and its past must be droppable."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from specdec_cli.errors import MismatchError
from specdec_cli.models.forward.hf import FULL, SLIDING, HFForward
from specdec_cli.models.hf.architectures import architecture_of
from specdec_cli.models.hf.miniature import VOCABULARY, WINDOWS, miniature
from specdec_cli.models.hf.quiet import quiet
from specdec_cli.models.loader import LoadedModel
from specdec_cli.models.quantization.linear import Int4Linear, Int8Linear
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.tree import ROOT, TokenTree

OPENING = tuple(range(5, 17))  # a prompt longer than a small model's windows
WRITTEN, DEEP, ACCEPTED = 24, 5, 3  # tokens after it, of them in a tree, of those accepted
UNTRIED = "how far back its layers look cannot be tried out on a small model of its kind"
HINT = "Choose a model with ordinary attention in all layers, such as Llama, Qwen, Mistral, Gemma or Phi."


def require_droppable_past(name: str, config: Any) -> None:
    """Refuse an architecture of which it is known, before any weights are read, that it cannot be driven.

    Args:
        name: what the user called the model.
        config: transformers' configuration of it.

    Raises:
        MismatchError: with the reason.
    """
    _refuse(name, _obstacle_of_kind(config.get_text_config(), _class_of(config)))


def require_tree_support(loaded: LoadedModel) -> None:
    """Refuse a model whose past cannot be rolled back or whose attention ignores the mask.

    Raises:
        MismatchError: with the reason.
    """
    _refuse(loaded.name, _obstacle(loaded.model))


def _refuse(name: str, reason: str | None) -> None:
    if reason:
        raise MismatchError(f"{name} cannot be used: {reason}.", HINT)


def _class_of(config: Any) -> type[Any] | None:
    """transformers' class of such a model; None for one that brings its own code."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    own_code = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    if own_code:
        return None
    found = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    return found[0] if isinstance(found, tuple) else found


def _obstacle_of_kind(config: Any, kind: type[Any] | None) -> str | None:
    unusual = set(getattr(config, "layer_types", None) or ()) - {FULL, SLIDING}
    if unusual:
        return f"some of its layers are of a kind ({_words(unusual)}) that guesses cannot be removed from"
    if kind is None:
        return None
    if getattr(kind, "_is_stateful", False):
        return "its layers keep a running state, which rejected guesses cannot be removed from"
    if "position_ids" not in inspect.signature(kind.forward).parameters:
        return "its positions cannot be set, so the branches of a tree cannot stand side by side"
    return None


def _obstacle(model: Any) -> str | None:
    config = model.config.get_text_config()
    reason = _obstacle_of_kind(config, type(model))
    if reason:
        return reason
    if architecture_of(config).tree_exact:
        return None
    # Tried out as it is on a tree of three tokens, and as a small model of its kind past its windows.
    if not _scores_trees(model):
        return "it does not score the branches of a tree apart from each other"
    return _obstacle_further_on(model)


def _obstacle_further_on(model: Any) -> str | None:
    """What goes wrong in texts longer than windows, chunks and what rotary positions stay the same for.

    Models that read their text again past a length are left to tests: transformers' own Phi-4-multimodal
    forgets the text there, which is no law to follow.
    """
    if architecture_of(model.config.get_text_config(decoder=True)).rereads:
        return None
    try:
        with quiet():
            small = miniature(model)
            expected = _written(small)
    except Exception:  # whatever an unknown architecture says of sizes that it does not expect
        return UNTRIED if _has_window(model.config.get_text_config(decoder=True)) else None
    try:
        difference = max(_differences(small, *expected))
    except Exception:
        difference = math.inf
    rounding = torch.finfo(torch.float32).eps ** 0.5 * float(expected[1].abs().max())
    if difference <= rounding:
        return None
    return "it does not score the branches of a tree apart from each other in texts longer than its windows"


def _has_window(config: Any) -> bool:
    return any(getattr(config, name, None) for name in WINDOWS.split())


def _written(model: Any) -> tuple[list[int], Tensor]:
    """What the model writes by itself after `OPENING`, and the logits of each token: (n, V)."""
    ids = torch.tensor([OPENING])
    output = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=WRITTEN,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return output.sequences[0, len(OPENING) :].tolist(), torch.cat(output.logits)


def _differences(model: Any, tokens: list[int], logits: Tensor) -> Iterator[float]:
    """How far the logits of trees of these tokens and wrong ones are from those of plain decoding."""
    runner = Runner(HFForward(model), context=len(OPENING) + WRITTEN + 1)
    runner.begin(OPENING)
    for done in range(0, WRITTEN - DEEP, ACCEPTED + 1):
        ahead = tokens[done : done + DEEP]
        beside = [(token + 1) % VOCABULARY for token in ahead[:2]]
        parents = (ROOT, 0, ROOT, *range(2, DEEP + 1))
        rows = runner.score(TokenTree((*beside, *ahead), parents))
        rows = torch.cat((rows[:1], rows[3:]))
        yield float((rows - logits[done : done + DEEP + 1]).abs().max())
        runner.commit(range(2, 2 + ACCEPTED), tokens[done : done + ACCEPTED + 1])


def _words(kinds: set[str]) -> str:
    return ", ".join(sorted(kinds)).replace("_", " ")


def _scores_trees(model: Any) -> bool:
    """Whether a branch scored beside another, on top of cached text, is what it is when scored alone."""
    text, tree = [1, 2], TokenTree((3, 4, 5), (ROOT, ROOT, 1))
    try:
        runner = Runner(HFForward(model), context=len(text) + len(tree))
        runner.begin(text)
        beside = runner.score(tree)[-1].double()
        with torch.inference_mode():
            alone = model(input_ids=torch.tensor([[1, 2, 4, 5]], device=model.device), use_cache=False)
    except Exception:  # whatever an unknown architecture does with a mask that it does not expect
        return False
    expected = alone.logits[0, -1].double()
    rounding = torch.finfo(_coarsest(model)).eps ** 0.5 * expected.abs().max()
    return bool((beside - expected).abs().max() <= rounding)


def _coarsest(model: Any) -> torch.dtype:
    """The number format whose rounding the logits have: layers in 8 or 4 bits compute in one of their own."""
    formats: list[torch.dtype] = [model.dtype]
    for module in model.modules():
        if isinstance(module, Int8Linear):
            formats.append(torch.bfloat16)
        elif isinstance(module, Int4Linear):
            formats.append(module.grid.dtype)
    return max(formats, key=lambda each: torch.finfo(each).eps)
