"""The two kinds of draft that a target can teach: an EAGLE head, and a small model of its architecture."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from specdec_cli.errors import MismatchError
from specdec_cli.models.eagle.checkpoint import (
    read_weights,
    require_finite_weights,
    save_eagle_head,
    vocabulary_digest,
)
from specdec_cli.models.eagle.files import MadeFor
from specdec_cli.models.eagle.head import head_shape, new_eagle_head
from specdec_cli.models.hf.decoder_layers import decoder_layers
from specdec_cli.models.loader import LoadedModel
from specdec_cli.models.reduced_vocab_head import REDUCED, ReducedHead
from specdec_cli.models.self_drafts.early_exit import first_layers

SPREAD = 0.02


class Student(Protocol):
    """A draft in training.

    Attributes:
        module: everything that is trained, and what it shares with the target.
        output: hidden states to logits of its reduced vocabulary.
    """

    module: nn.Module
    output: ReducedHead

    def outputs(self, tokens: Tensor, features: Tensor, steps: int) -> list[Tensor]:
        """Hidden states (B, L, hidden) as the first, second, ... guess after the text before each row.

        Args:
            tokens: (B, L) ids.
            features: (B, L, hidden) the target's hidden states after them.
            steps: how many guesses deep, at most.
        """
        ...

    def save(self, folder: Path, store: str) -> None:
        """Write a folder that `--draft` takes; the student takes on the weights as they are stored.

        Args:
            folder: to write.
            store: "float16", or "int4" for a head.

        Raises:
            NotFiniteError: weights are too large for that.
        """
        ...


class HeadStudent:
    """An EAGLE head. Its output layer starts as the target's rows, its layers at random."""

    def __init__(self, target: LoadedModel, tokens: Tensor, layers: int) -> None:
        embedding = target.model.get_input_embeddings()
        shape = head_shape(target.model.config)
        rows = target.model.get_output_embeddings().weight[tokens.to(target.device)]
        head = new_eagle_head(_in_float32(embedding), tokens, layers, shape, torch.float32)
        hidden = rows.shape[1]
        with torch.no_grad():
            nn.init.normal_(head.fuse.weight, std=SPREAD)
            head.fuse.weight[:, hidden:] += torch.eye(hidden)  # at first it passes the hidden state on
            head.inner.get_output_embeddings().inner.weight.copy_(rows)
        self.module: nn.Module = head.to(target.device)
        self._head = head
        self.output: ReducedHead = head.inner.get_output_embeddings()
        self._made_for = MadeFor(target.name, embedding.embedding_dim, vocabulary_digest(target.tokenizer))

    def outputs(self, tokens: Tensor, features: Tensor, steps: int) -> list[Tensor]:
        return self._head.unrolled(tokens, features, steps)

    def save(self, folder: Path, store: str) -> None:
        save_eagle_head(self._head, self._made_for, folder, store)
        self._head.load_state_dict(read_weights(folder)[0], strict=False)


class LayersStudent:
    """A model of the target's architecture with few layers, which start as the target's own first and last.

    Its embedding and its output layer stay the target's, so that what it says beyond its reduced vocabulary
    makes sense too: transformers knows nothing of that vocabulary and uses the whole layer.
    """

    def __init__(self, target: LoadedModel, tokens: Tensor, layers: int) -> None:
        shared = target.model.get_output_embeddings()
        self._target = target
        self._full = copy.deepcopy(first_layers(target, layers).model).float().to(target.device)
        mine, theirs = decoder_layers(self._full), decoder_layers(target.model)
        mine[-1].load_state_dict(theirs[-1].state_dict())
        self._full.requires_grad_(True)
        for kept in (self._full.get_input_embeddings(), self._full.get_output_embeddings()):
            kept.requires_grad_(False)
        inner = nn.Linear(shared.in_features, len(tokens), bias=False)
        inner.weight.data = shared.weight.data[tokens.to(target.device)].float()
        inner.requires_grad_(False)
        self.output = ReducedHead(inner, tokens.to(target.device), shared.out_features)
        self.module: nn.Module = self._full

    def outputs(self, tokens: Tensor, features: Tensor, steps: int) -> list[Tensor]:
        """One step whatever is asked for: it reads no hidden states, so every row is a first guess."""
        return [self._full.get_decoder()(input_ids=tokens).last_hidden_state]

    def save(self, folder: Path, store: str) -> None:
        dtype = getattr(torch, store)
        stored = copy.deepcopy(self._full).to(dtype)
        stored.config.dtype = dtype
        require_finite_weights(stored.parameters())
        stored.save_pretrained(folder)
        self._full.load_state_dict(stored.state_dict())
        rows = self.output.inner.weight
        rows.data = rows.data.to(dtype).float()
        self._target.tokenizer.inner.save_pretrained(folder)
        save_file({"tokens": self.output.tokens.cpu()}, folder / REDUCED)


def new_student(kind: str, target: LoadedModel, tokens: Tensor, layers: int) -> Student:
    """A draft to be trained.

    Args:
        kind: "head" or "layers".
        target: its teacher.
        tokens: (R,) the ids that it shall propose, ascending.
        layers: how many.

    Raises:
        InputError: more layers than the target has.
    """
    if kind == "head":
        return HeadStudent(target, tokens, layers)
    return LayersStudent(target, tokens, layers)


@torch.inference_mode()
def require_plain_head(target: LoadedModel) -> None:
    """Check that logits are hidden states times the output layer's weights, with nothing done to them.

    Raises:
        MismatchError: they are not, as in models that cap or scale their logits.
    """
    head = target.model.get_output_embeddings()
    output = target.model(input_ids=torch.arange(4, device=target.device)[None], output_hidden_states=True)
    plain = output.hidden_states[-1] @ head.weight.T
    if not torch.allclose(plain.float(), output.logits.float(), atol=1e-2, rtol=1e-2):
        problem = f"{target.name} changes its logits after its output layer, which a draft cannot learn yet."
        raise MismatchError(problem, "Use another draft for it, such as ngram, layers:N or self:int4.")


def _in_float32(embedding: nn.Embedding) -> nn.Embedding:
    """The embedding itself, or a copy to train with: weights of 16 bits do not go with a head's of 32."""
    weight = embedding.weight
    if weight.dtype == torch.float32:
        return embedding
    rows, hidden = weight.shape
    return nn.Embedding(rows, hidden, _weight=weight.float())


def trained(module: nn.Module) -> Sequence[nn.Parameter]:
    """The weights that training changes."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]
