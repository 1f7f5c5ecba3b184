"""A draft learns the target's distribution from what the target wrote.

The n-th step is decided by the recipe and n alone, and weights, optimiser and n are kept on disk together, so
a training that was stopped and gone on with ends where one without a stop does.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from specdec_cli.distillation.chat_turns import Role
from specdec_cli.distillation.checkpoint import Progress, read_checkpoint, require_state
from specdec_cli.distillation.corpus import HELD_OUT, KEPT, Corpus
from specdec_cli.distillation.data_generation import Shard
from specdec_cli.distillation.recipe import Recipe
from specdec_cli.distillation.students import Student, trained
from specdec_cli.errors import NotFiniteError
from specdec_cli.models.hub.disk import writing
from specdec_cli.sampling.divergence import cross_entropy, total_variation
from specdec_cli.storage.atomic import replacing

SAVE_SECONDS = 60.0
WARM_UP = 0.03  # of all steps
COOLEST = 0.05  # of the peak learning rate, at the end
DEEPER = 0.8  # weight of a guess against the one before it
CLIP = 1.0
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "kl": cross_entropy,
    "tv": total_variation,
    "mixed": lambda target, logits: cross_entropy(target, logits) / 2 + total_variation(target, logits),
}


@dataclass(frozen=True, slots=True)
class Batch:
    """Some texts as training reads them.

    Attributes:
        tokens: (B, L) ids.
        features: (B, L, hidden) the target's hidden states after them.
        normalisers: (B, L) of its logits there.
        learnt: (B, L) whether the token that follows was the target's own choice.
        answers: (B, L) whether it is part of an answer.
    """

    tokens: Tensor
    features: Tensor
    normalisers: Tensor
    learnt: Tensor
    answers: Tensor


class Training:
    """Trains a student by a recipe.

    Args:
        student: the draft.
        teacher: (R, hidden) the target's output layer for the student's tokens.
        recipe: how.
        corpus: on what.
        checkpoint: file that it is kept in, and gone on from if it is there.

    Raises:
        InputError: the checkpoint is damaged or of another recipe.
    """

    def __init__(
        self, student: Student, teacher: Tensor, recipe: Recipe, corpus: Corpus, checkpoint: Path
    ) -> None:
        self._student, self._teacher, self._recipe = student, teacher.float(), recipe
        self._corpus, self._checkpoint = corpus, checkpoint
        self._weights = trained(student.module)
        self._optimizer = torch.optim.AdamW(self._weights, lr=0.0, betas=(0.9, 0.95), weight_decay=0.0)
        self.progress = Progress()
        if checkpoint.exists():
            self._restore()

    def run(
        self, measure_every: int, measure: Callable[[], dict[str, float]], tick: Callable[[Progress], None]
    ) -> None:
        """Train to the end, measuring now and then; whatever stops it, at most a minute's work is lost."""
        saved = time.monotonic()
        while self.progress.step < self._recipe.steps:
            self._step()
            done = self.progress.step == self._recipe.steps
            if done or self.progress.step % measure_every == 0:
                self.progress.history.append(measure())
            tick(self.progress)
            if done or time.monotonic() - saved > SAVE_SECONDS:
                self.save()
                saved = time.monotonic()

    def save(self) -> None:
        """Keep weights, optimiser and progress, whole or not at all."""
        state = {
            "recipe": self._recipe.as_dict(),
            "weights": [weight.detach().cpu() for weight in self._weights],
            "optimizer": self._optimizer.state_dict(),
            "progress": vars(self.progress),
        }
        with (
            writing(f"The training's checkpoint {self._checkpoint}", KEPT),
            replacing(self._checkpoint) as part,
        ):
            torch.save(state, part)

    def _restore(self) -> None:
        state = read_checkpoint(self._checkpoint, self._recipe)
        require_state(state, self._weights, self._checkpoint)
        with torch.no_grad():
            for weight, stored in zip(self._weights, state.weights, strict=True):
                weight.copy_(stored)
        groups = self._optimizer.state_dict()["param_groups"]  # the recipe decides them, not the file
        self._optimizer.load_state_dict({"state": state.optimizer, "param_groups": groups})
        self.progress = state.progress

    def _step(self) -> None:
        step = self.progress.step
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.learning_rate * schedule(step, self._recipe.steps)
        loss = self._loss(self._batch(step))
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._weights, CLIP)
        self._optimizer.step()
        found = loss.item()
        if not all(bool(weight.isfinite().all()) for weight in self._weights) or not math.isfinite(found):
            problem = f"The training came apart at step {step + 1}: its loss or weights are not finite."
            raise NotFiniteError(problem, "Choose a lower --learning-rate; what was saved before is kept.")
        self.progress.loss = found if step == 0 else 0.98 * self.progress.loss + 0.02 * found
        self.progress.step += 1

    def _loss(self, batch: Batch) -> Tensor:
        """The mean over the rows that are learnt from, and over guesses, nearer ones counting more."""
        features = batch.features[batch.learnt]
        with torch.no_grad():
            target = (features @ self._teacher.T - batch.normalisers[batch.learnt][:, None]).exp()
        losses = [
            LOSSES[self._recipe.loss](target, self._student.output.inner(output[batch.learnt])).mean()
            for output in self._student.outputs(batch.tokens, batch.features, self._recipe.unroll)
        ]
        weights = [DEEPER**depth for depth in range(len(losses))]
        return torch.stack([w * loss for w, loss in zip(weights, losses, strict=True)]).sum() / sum(weights)

    def _batch(self, step: int) -> Batch:
        """The texts of a step: every epoch goes through all of them in an order of its own."""
        recipe = self._recipe
        every = [(shard, text) for shard in range(HELD_OUT, recipe.shards) for text in range(recipe.texts)]
        per_epoch = len(every) // recipe.batch
        random.Random(f"{recipe.seed}/{step // per_epoch}").shuffle(every)
        first = step % per_epoch * recipe.batch
        chosen = every[first : first + recipe.batch]
        parts = [batch_of(self._corpus.read(shard, slice(text, text + 1))) for shard, text in chosen]
        device = self._teacher.device
        columns = ([getattr(part, name) for part in parts] for name in Batch.__slots__)
        return Batch(*(torch.cat(column).to(device) for column in columns))


def batch_of(shard: Shard) -> Batch:
    """Texts as training reads them."""
    following = pad(shard.roles[:, 1:], (0, 1))  # what follows the last token is not known
    return Batch(
        shard.tokens.long(),
        shard.features.float(),
        shard.normalisers,
        following != Role.TEMPLATE,
        following == Role.ANSWER,
    )


def schedule(step: int, steps: int) -> float:
    """Share of the peak learning rate: up in a line, down in a cosine."""
    rising = max(1, round(WARM_UP * steps))
    falling = (1 + math.cos(math.pi * step / steps)) / 2
    return min(1.0, (step + 1) / rising) * (COOLEST + (1 - COOLEST) * falling)
