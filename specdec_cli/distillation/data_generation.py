"""The target writes text with itself, many texts in step; its hidden state at each token is kept."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from specdec_cli.distillation.chat_turns import Dialogue, Frame, Role
from specdec_cli.errors import SpecdecError
from specdec_cli.models.forward.batch import BatchForward
from specdec_cli.sampling.batch import draw_tokens

TEMPERATURES = (0.0, 0.4, 0.7, 1.0)  # of answers, one text after the other
ASKING = 0.8  # the temperature of user turns


@dataclass(frozen=True, slots=True)
class Shard:
    """B texts of L tokens each.

    Attributes:
        tokens: (B, L) ids, int32.
        roles: (B, L) who wrote them, uint8, by `Role`.
        features: (B, L, hidden) the target's last hidden state after each token, float16.
        normalisers: (B, L) logarithm of the sum of the exponentials of the target's logits there, float32.
    """

    tokens: Tensor
    roles: Tensor
    features: Tensor
    normalisers: Tensor


def write_shard(
    forward: BatchForward,
    frame: Frame,
    openings: Sequence[Sequence[int]],
    *,
    whole: bool,
    texts: int,
    length: int,
    seed: str,
    tick: Callable[[int], None],
) -> Shard:
    """Let the target write; the same seed writes the same shard.

    Args:
        forward: a fresh batched pass of the target.
        frame: its chat template.
        openings: see `Dialogue`.
        whole: see `Dialogue`.
        texts: B.
        length: L.
        seed: of all chance.
        tick: is told the tokens written since the last call.

    Raises:
        SpecdecError: a hidden state does not fit into float16.
    """
    chance = torch.Generator().manual_seed(random.Random(seed).getrandbits(62))
    dialogues = [Dialogue(frame, openings, whole, random.Random(f"{seed}/{text}")) for text in range(texts)]
    answering = [TEMPERATURES[text % len(TEMPERATURES)] for text in range(texts)]
    drawn = [0] * texts  # nothing was read yet; a frame begins with its own tokens, others with an opening
    steps: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for _ in range(length):
        chosen = [dialogue.next(token) for dialogue, token in zip(dialogues, drawn, strict=True)]
        tokens = torch.tensor([token for token, _ in chosen])
        roles = torch.tensor([role for _, role in chosen], dtype=torch.uint8)
        features, logits = forward.read(tokens)
        asking = [dialogue.role is Role.USER for dialogue in dialogues]
        turns = zip(asking, answering, strict=True)
        temperatures = torch.tensor([ASKING if is_asking else own for is_asking, own in turns])
        following, normalisers = draw_tokens(logits, temperatures.to(logits.device), chance)
        drawn = following.tolist()
        steps.append((tokens.int(), roles, features.half().cpu(), normalisers.cpu()))
        tick(texts)
    shard = Shard(*(torch.stack(column, 1) for column in zip(*steps, strict=True)))
    if not bool(shard.features.isfinite().all()):
        hint = "Distil another draft for it, or use one of its family."
        raise SpecdecError("The target's hidden states exceed what float16 holds.", hint)
    return shard
