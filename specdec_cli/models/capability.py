"""Whether a model can be driven at all: its attention must take a mask, and its past must be droppable."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from specdec_cli.errors import MismatchError
from specdec_cli.models.forward.module import FULL, SLIDING, ModuleForward
from specdec_cli.models.loader import LoadedModel
from specdec_cli.models.runner import Runner
from specdec_cli.tree import ROOT, TokenTree

# Shown by tests to score trees exactly; any other architecture is tried out on a tree of three tokens.
PROVEN = frozenset({"gemma", "gemma2", "gemma3_text", "gpt2", "llama", "mistral", "phi3", "qwen2", "qwen3"})
HINT = "Choose a model with ordinary attention in all layers, such as Llama, Qwen, Mistral, Gemma or Phi."


def require_tree_support(loaded: LoadedModel) -> None:
    """Refuse a model whose past cannot be rolled back or whose attention ignores the mask.

    Raises:
        MismatchError: with the reason.
    """
    reason = _obstacle(loaded.model)
    if reason:
        raise MismatchError(f"{loaded.name} cannot be used: {reason}.", HINT)


def _obstacle(model: Any) -> str | None:
    config = model.config.get_text_config()
    unusual = set(getattr(config, "layer_types", None) or ()) - {FULL, SLIDING}
    if unusual:
        return f"some of its layers are of a kind ({_words(unusual)}) that guesses cannot be removed from"
    if getattr(model, "_is_stateful", False):
        return "its layers keep a running state, which rejected guesses cannot be removed from"
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return "its positions cannot be set, so the branches of a tree cannot stand side by side"
    if config.model_type in PROVEN:
        return None
    return None if _scores_trees(model) else "it does not score the branches of a tree apart from each other"


def _words(kinds: set[str]) -> str:
    return ", ".join(sorted(kinds)).replace("_", " ")


def _scores_trees(model: Any) -> bool:
    """Whether a branch scored beside another, on top of cached text, is what it is when scored alone."""
    text, tree = [1, 2], TokenTree((3, 4, 5), (ROOT, ROOT, 1))
    try:
        runner = Runner(ModuleForward(model), context=len(text) + len(tree))
        runner.begin(text)
        beside = runner.score(tree)[-1].double()
        with torch.inference_mode():
            alone = model(input_ids=torch.tensor([[1, 2, 4, 5]], device=model.device), use_cache=False)
    except Exception:  # whatever an unknown architecture does with a mask that it does not expect
        return False
    expected = alone.logits[0, -1].double()
    rounding = torch.finfo(model.dtype).eps ** 0.5 * expected.abs().max()
    return bool((beside - expected).abs().max() <= rounding)
