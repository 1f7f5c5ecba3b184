"""Level exact for ensembles: every law, sampled in every way, beside the law written out from probabilities.

What an ensemble should say is worked out here a second time, as products of powers of probabilities instead
of sums of logits, so that a mistake in a combiner is seen and not repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from specdec_cli.audit.enumeration import Law, TargetLaw, distance, law_of, law_of_text
from specdec_cli.audit.toys import MisuseError, ToyLaw
from specdec_cli.engine.stopping import Stopping
from specdec_cli.ensemble.execution import Execution, run
from specdec_cli.ensemble.members import Ensemble, Member
from specdec_cli.registry.methods import METHODS
from specdec_cli.runtime.build import ensemble_of, execution_of, sampling_of
from specdec_cli.sampling.distribution import Sampling, distribution
from specdec_cli.sampling.randomness import Randomness
from specdec_cli.settings import Settings
from specdec_cli.settings.ensembles import alpha_of, combined_of, combiner_name, weights_of
from specdec_cli.tree import TokenTree

VOCAB_SIZES = {1: 3, 2: 3, 3: 2}  # by the number of models: three make many paths
PROMPT = (0, 1, 0)
LENGTH = 3
TOY = "toy"
Change = dict[str, object]
Damage = Callable[[Ensemble, Execution], tuple[Ensemble, Execution]]


def intact(ensemble: Ensemble, execution: Execution) -> tuple[Ensemble, Execution]:
    """The ensemble and its execution as they are."""
    return ensemble, execution


@dataclass
class ToyReader:
    """A model that reads on, played by a law whose logarithms are its logits. It checks how it is used."""

    law: TargetLaw
    context: int = 10**6
    forward_seconds: float = 0.0
    text: list[int] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)
    read: int = 0

    @property
    def free_positions(self) -> int:
        return self.context - len(self.text)

    def begin(self, tokens: Sequence[int]) -> None:
        self.text, self.nodes, self.read = list(tokens), [], len(tokens) - 1

    def score(self, tree: TokenTree) -> Tensor:
        if not tree.is_chain:
            raise MisuseError("only chains are drafted for toys that read on")
        self.nodes, self.read = [], min(self.read, len(self.text) - 1)
        return self.read_on(tree.tokens)

    def read_on(self, tokens: Sequence[int]) -> Tensor:
        pending = self.read < len(self.text)
        if pending and self.nodes:
            raise MisuseError("a node was read before the text that it follows")
        known = len(self.nodes)
        self.read, self.nodes = len(self.text), [*self.nodes, *tokens]
        first = known if pending else known + 1
        rows = range(first, len(self.nodes) + 1)
        return torch.stack([self.law([*self.text, *self.nodes[:row]]).log() for row in rows])

    def advance(self, tokens: Sequence[int]) -> None:
        stays = min(len(tokens), len(self.nodes))
        if self.nodes[:stays] != list(tokens[:stays]):
            raise MisuseError("a node that became text is not what was emitted")
        self.text += tokens
        self.read += stays
        self.nodes = self.nodes[stays:]

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        if list(path) != list(range(len(path))) or self.nodes[: len(path)] != list(tokens[: len(path)]):
            raise MisuseError("a committed node is not what was emitted")
        self.text += tokens
        self.read += len(path)
        self.nodes = []


def declared(settings: Settings, laws: Sequence[TargetLaw]) -> TargetLaw:
    """The law that settings declare for models with these laws, from the definition."""
    sampling = sampling_of(settings)

    def law(text: Sequence[int]) -> Tensor:
        return _combined(settings, [each(text) for each in laws], sampling)

    return law


def _combined(settings: Settings, plain: Sequence[Tensor], sampling: Sampling) -> Tensor:
    name = combiner_name(settings)
    if name == "weighted":
        sampled = plain if sampling.is_greedy else [distribution(each.log(), sampling) for each in plain]
        average = sum(weight * each for weight, each in zip(weights_of(settings), sampled, strict=True))
        assert isinstance(average, Tensor)
        return distribution(average.log(), sampling) if sampling.is_greedy else average
    powers = _powers(settings)
    if combined_of(settings) == "raw-logits" or sampling.is_greedy:
        return distribution(_product(_masked(settings, plain), powers).log(), sampling)
    unfiltered = Sampling(sampling.temperature)
    masked = _masked(settings, plain)
    sampled = [
        distribution(each.log(), sampling if power > 0 else unfiltered)
        for each, power in zip(masked, powers, strict=True)
    ]
    product = _product(sampled, powers)
    if not product.any():
        product = _product([distribution(each.log(), unfiltered) for each in masked], powers)
    return product / product.sum()


def _powers(settings: Settings) -> tuple[float, ...]:
    if combiner_name(settings) == "geometric":
        return weights_of(settings)
    alpha = alpha_of(settings)
    return (1.0, -alpha) if combiner_name(settings) == "contrastive" else (1.0, alpha, -alpha)


def _masked(settings: Settings, plain: Sequence[Tensor]) -> list[Tensor]:
    first, *others = plain
    keep = first >= settings.plausibility * first.max()
    return [torch.where(keep, first, 0.0), *others]


def _product(rows: Sequence[Tensor], powers: Sequence[float]) -> Tensor:
    return torch.stack([row**power for row, power in zip(rows, powers, strict=True)]).prod(0)


def ensemble_cases(method: str) -> Iterator[Settings]:
    """Settings that cover a method's laws, ways to sample them, numbers of models and proposal lengths."""
    plain = Settings(method=method, temperature=1.0)
    if METHODS[method].combine == "contrastive":
        half: Change = {"alpha": 0.5}
        of_logits = {"ensemble_target": "logits", "top_p": 0.8, "temperature": 0.7}
        yield from _of(plain, 2, half, {**half, "plausibility": 0.3}, {**half, **of_logits})
        yield from _of(plain, 3, {"ensemble_fn": "proxy"})
        return
    weights: Change = {"weights": ("0.7", "0.3")}
    yield from _of(plain, 1, {})
    yield from _of(plain, 2, weights, {"top_p": 0.8, "temperature": 0.7}, {"ensemble_fn": "geometric"},
                   {"ensemble_fn": "geometric", "ensemble_target": "logits", "top_p": 0.8})  # fmt: skip
    yield from _of(plain, 3, {"weights": ("0.5", "0.3", "0.2")}, {"temperature": 0.0})


def _of(plain: Settings, count: int, *changes: Change) -> Iterator[Settings]:
    """Each change under each execution that the method and the law allow, with several proposal lengths."""
    for change in changes:
        settings = replace(plain, models=(TOY,) * count, **change)  # type: ignore[arg-type]
        for execution, gammas in _executions(settings, count):
            yield replace(settings, exec=execution, gammas=gammas)
            if execution == "sd" and count == 2:
                yield replace(settings, exec=execution, gammas=gammas, verify="block")


def _executions(settings: Settings, count: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    fixed = settings.method.partition("-")[2]
    unequal = (((1,), (2,)), ((1, 1), (2, 1), (1, 2)), ((1, 1, 1), (2, 1, 1), (1, 2, 3)))[count - 1]
    if fixed in ("", "plain"):
        yield "plain", ()
        if combiner_name(settings) == "weighted" and settings.temperature > 0:
            yield "mixture", ()
    for kind in ("sd", "chef"):
        if fixed == kind:
            yield from ((kind, gammas) for gammas in unequal)


def ensemble_law(settings: Settings, laws: Sequence[TargetLaw], damage: Damage = intact) -> tuple[Law, int]:
    """The law of a text out of an ensemble's loop by walking every path of chance, and how many there are."""
    paths = 0

    def program(randomness: Randomness) -> tuple[int, ...]:
        nonlocal paths
        paths += 1
        readers = [ToyReader(law) for law in laws]
        members = [Member(each, TOY, 1.0, VOCAB_SIZES[len(laws)], each.context) for each in readers]
        sizes = [member.size for member in members]
        whole = damage(ensemble_of(settings, members), execution_of(settings, sizes))
        return tuple(
            token
            for step in run(*whole, prompt=PROMPT, randomness=randomness, stopping=Stopping(LENGTH))
            for token in step.tokens
        )

    return law_of(program), paths


def ensemble_distance(settings: Settings, seed: int, damage: Damage = intact) -> tuple[float, int]:
    """How far an ensemble of toys is from the law that it declares, and the paths that were walked."""
    count = len(settings.models)
    laws = [ToyLaw(VOCAB_SIZES[count], 3 * seed + number) for number in range(count)]
    emitted, paths = ensemble_law(settings, laws, damage)
    return distance(emitted, law_of_text(declared(settings, laws), PROMPT, LENGTH)), paths
