"""What tests of distillation share: small recipes, and watchers that say nothing or stop a run."""

from contextlib import nullcontext
from typing import Any

from specdec_cli.distillation.data_generation import write_shard
from specdec_cli.distillation.run import frame_of
from specdec_cli.models.forward.batch import new_batch_forward

SMALL: dict[str, Any] = {"tokens": 24 * 16, "texts": 24, "length": 16, "batch": 6, "epochs": 1, "unroll": 2}


class Silent:
    """Watches nothing."""

    def phase(self, name, total, done):
        return nullcontext()

    def advance(self, units):
        pass

    def measured(self, row):
        pass

    def say(self, text):
        pass


class Stop(Exception):
    """Somebody pulled the plug."""


class StopsAfter(Silent):
    """Pulls the plug after a number of units of work."""

    def __init__(self, units):
        self.left = units

    def advance(self, units):
        self.left -= units
        if self.left < 0:
            raise Stop


def weights_of(folder):
    return (folder / "model.safetensors").read_bytes()


def written(target, recipe, forward=None, number=0):
    return write_shard(
        forward or new_batch_forward(target.model, recipe.texts, recipe.length),
        frame_of(target),
        [[40, 41], [50]],
        whole=False,
        texts=recipe.texts,
        length=recipe.length,
        seed=f"{recipe.seed}/{number}",
        tick=lambda units: None,
    )
