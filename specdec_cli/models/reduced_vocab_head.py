"""An output layer over the few tokens a draft needs: what is left out is never proposed.

The head of a small model is much of its work. A draft may leave out what its target hardly says; the
verifier sees the distribution that was really proposed, so nothing is lost but a guess now and then.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from specdec_cli.errors import InputError
from specdec_cli.models.hf.safetensors_headers import read_header
from specdec_cli.models.hf.small_files import damaged
from specdec_cli.sampling.vocabulary import spread

COPY_AGAIN = "Copy it again, or distil another with `specdec distill`."
WHOLE_NUMBERS = ("I64", "I32", "U32", "I16", "U16")
REDUCED = "reduced_vocabulary.safetensors"  # beside the weights of a draft that transformers can load too


class ReducedHead(nn.Module):
    """Logits over a vocabulary of V tokens of which only R can come.

    Args:
        inner: hidden states to R logits; a linear layer, of full or lower precision.
        tokens: (R,) the ids of those logits, ascending.
        vocab_size: V.
    """

    def __init__(self, inner: Any, tokens: Tensor, vocab_size: int) -> None:
        super().__init__()
        self.inner = inner
        self.tokens = nn.Buffer(tokens.long())
        self.vocab_size = vocab_size

    def forward(self, x: Tensor) -> Tensor:
        """x (..., hidden) to logits (..., V), minus infinity for what cannot come."""
        return spread(self.inner(x), self.tokens, self.vocab_size, float("-inf"))


def head_vocab_size(head: nn.Module) -> int:
    """Number of logits V that a model's output layer gives."""
    if isinstance(head, ReducedHead):
        return head.vocab_size
    vocab_size: Any = head.out_features
    return int(vocab_size)


def reduce_vocabulary(model: Any, folder: Path) -> None:
    """Cut a model's output layer, in place, to the tokens that its folder names; nothing if it names none.

    Raises:
        InputError: the file that names them is damaged.
    """
    path = folder / REDUCED
    if not path.is_file():
        return
    head = model.get_output_embeddings()
    stored = read_header(path, COPY_AGAIN).tensors.get("tokens")
    if stored is None or stored.dtype not in WHOLE_NUMBERS:
        raise damaged(path, "it has no tokens", COPY_AGAIN)
    try:
        tokens = load_file(path)["tokens"].long()
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise InputError(f"{path} is damaged.", COPY_AGAIN) from error
    require_ascending(tokens, head.out_features, path)
    rows = head.weight.data[tokens]
    inner = nn.Linear(head.in_features, len(tokens), bias=False, device="meta")
    inner.weight = nn.Parameter(rows, requires_grad=False)
    model.set_output_embeddings(ReducedHead(inner, tokens, head.out_features))


def require_ascending(tokens: Tensor, vocab_size: int, path: Path) -> None:
    """Check the ids (R,) of a reduced vocabulary: each once, in order, so that a proposal is what was drawn.

    Args:
        tokens: as a file has them.
        vocab_size: V of the whole vocabulary.
        path: of that file.

    Raises:
        InputError: they are something else.
    """
    inside = tokens.dim() == 1 and bool(((tokens >= 0) & (tokens < vocab_size)).all())
    if not inside or not tokens.numel() or bool((tokens.diff() <= 0).any()):
        raise InputError(f"{path} is damaged: its tokens are not ids in order.", COPY_AGAIN)


def likely_tokens(counts: Tensor, size: int, always: frozenset[int]) -> Tensor:
    """The tokens of a reduced vocabulary: those that came most often.

    Args:
        counts: (V,) how often each came.
        size: how many to keep at most; tokens that never came are left out unless `always` names them.
        always: ids that are kept whatever they count.

    Returns:
        Ids (R,), ascending.
    """
    ranked = counts.clone()
    ranked[torch.tensor(sorted(always), dtype=torch.int64)] = int(counts.sum()) + 1
    order = torch.argsort(ranked, descending=True, stable=True)[:size]
    return order[ranked[order] > 0].sort().values
