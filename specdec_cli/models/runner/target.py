"""A language model in the role of target: its logits become distributions through the one sampling."""

from __future__ import annotations

from collections.abc import Sequence

from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.sampling.distribution import Distributions, Sampling
from specdec_cli.tree import TokenTree


class ModelTarget:
    """Scores trees with a runner; see `engine.roles.Target`."""

    def __init__(self, runner: Runner, sampling: Sampling) -> None:
        self._runner = runner
        self._sampling = sampling

    @property
    def forward_seconds(self) -> float:
        return self._runner.forward_seconds

    @property
    def reach(self) -> int:
        return self._runner.reach

    def begin(self, prompt: Sequence[int]) -> None:
        self._runner.begin(prompt)

    def score(self, tree: TokenTree) -> Distributions:
        return Distributions(self._runner.score(tree), self._sampling)

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        self._runner.commit(path, tokens)
