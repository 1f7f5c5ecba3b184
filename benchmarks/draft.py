"""What a draft is worth on prompts it never saw: first choice, best four, cost of a pass, and where steps go.

    python benchmarks/draft.py --draft NAME [--draft ANOTHER] FILE.jsonl ...

The target answers each prompt greedily; at every token of its answer the draft is asked what comes next, with
the target's text before it. Without files, the shipped prompts are used. A file is a data set as `specdec
bench` takes them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from specdec_cli.benchmarking.acceptance import measure_costs
from specdec_cli.benchmarking.machine import fingerprint
from specdec_cli.drafting.base import Drafter
from specdec_cli.drafting.vocabulary import DraftVocabulary
from specdec_cli.evaluation.datasets import read_dataset
from specdec_cli.runtime.session import Session
from specdec_cli.sampling.divergence import agreement
from specdec_cli.sampling.randomness import Randomness
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import parse_draft
from specdec_cli.tree import TokenTree

console = Console(width=120)
CHAINS = (1, 2, 3, 4)
ROUNDS = 5


@dataclass(frozen=True)
class Found:
    """Shares of one prompt's positions: the target's choice is the draft's first, is among its best four."""

    first: float
    best_four: float


def main() -> None:
    """Measure each draft on each data set, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", default=["prompts"])
    parser.add_argument("--draft", action="append", required=True)
    parser.add_argument("--n-tests", type=int, default=20)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--draft-quantize", default="none")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    base = Settings(
        method="sps",
        draft=options.draft[0],
        draft_quantize=options.draft_quantize,
        max_tokens=options.max_tokens,
        compile=options.compile,
    )
    session = Session.load(base, console.print)
    console.print(
        f"{fingerprint()['processor']}, {options.n_tests} prompts a set, {options.max_tokens} tokens each"
    )
    agreed = Table(title="The target's choice, teacher-forced on its own greedy answers (95% interval)")
    for heading in ("data set", "draft", "positions", "is the first choice", "is among the best four"):
        agreed.add_column(heading)
    for name in options.files:
        prompts = [item.prompt for item in read_dataset(name, options.n_tests)]
        answers = [_answer(session, base, prompt) for prompt in prompts]
        for draft in options.draft:
            found = [_ask(session, draft, *answer) for answer in answers]
            positions = sum(len(tokens) for _, tokens in answers)
            first, four = ([getattr(each, field) for each in found] for field in ("first", "best_four"))
            agreed.add_row(Path(name).stem, draft, f"{positions:,}", _interval(first), _interval(four))
    console.print(agreed)
    costs = Table(
        title="Cost of a draft pass; in chains: with all that the drafter does, with all of the step's loop"
    )
    for heading in (
        "draft",
        "its pass",
        "target's pass",
        "share",
        *(f"chain of {gamma}" for gamma in CHAINS),
    ):
        costs.add_column(heading)
    for draft in options.draft:
        costs.add_row(draft, *_costs(session, replace(base, draft=draft)))
    console.print(costs)


def _answer(session: Session, base: Settings, prompt: str) -> tuple[list[int], list[int]]:
    tokens = session.encode(prompt)
    greedy = replace(base, method="autoregressive", temperature=0.0)
    return tokens, [token for step in session.steps(tokens, greedy) for token in step.tokens]


def _ask(session: Session, draft: str, prompt: list[int], answer: list[int]) -> Found:
    target = session.logits(prompt, answer)
    said = session.logits(prompt, answer, draft=parse_draft(draft))
    said = DraftVocabulary(None, target.shape[-1]).wide(said)
    return Found(*(float(agreement(target, said, count).float().mean()) for count in (1, 4)))


def _costs(session: Session, settings: Settings) -> tuple[str, ...]:
    """Of the bare passes, and of all that is done beside the target's pass, by draft pass; medians."""
    bare: list[tuple[float, float]] = []
    shares: dict[int, list[list[float]]] = {gamma: [] for gamma in CHAINS}
    for _ in range(ROUNDS):
        costs = measure_costs(session, settings, [1], lambda _: None)
        bare.append((costs.draft_seconds, costs.pass_seconds[1]))
        for gamma in CHAINS:
            chain = replace(settings, gamma=gamma, temperature=0.0, max_tokens=48, ignore_eos=True)
            shares[gamma].append([each / costs.pass_seconds[1] for each in _beside(session, chain)])
    draft, target = (median(each) for each in zip(*bare, strict=True))
    share = median(mine / theirs for mine, theirs in bare)
    by_chain = ([median(each) for each in zip(*shares[gamma], strict=True)] for gamma in CHAINS)
    return (
        f"{1e3 * draft:.2f} ms",
        f"{1e3 * target:.2f} ms",
        f"{share:.1%}",
        *(f"{drafter:.1%}, {loop:.1%}" for drafter, loop in by_chain),
    )


def _beside(session: Session, settings: Settings) -> tuple[float, float]:
    """Seconds by draft pass: in the drafter, and in the whole step but for the target's pass."""
    roles = session.roles(settings)
    clocked = Clocked(roles.drafter)
    prompt = session.encode("Describe a harbour town.")
    steps = list(session.steps(prompt, settings, replace(roles, drafter=clocked)))
    whole = [
        (seconds, step.seconds - step.target_seconds)
        for seconds, step in zip(clocked.seconds, steps, strict=True)
        if step.drafted == settings.gamma and step.draft_seconds and step.finish_reason is None
    ]
    if len(whole) < 2:
        raise SystemExit(
            f"Too few steps drafted {settings.gamma} tokens by a model: name the model without ngram+."
        )
    drafter, loop = (median(each) for each in zip(*whole[1:], strict=True))
    return drafter / settings.gamma, loop / settings.gamma


class Clocked:
    """A drafter whose time is taken, step by step."""

    def __init__(self, drafter: Drafter) -> None:
        self._drafter = drafter
        self.seconds: list[float] = []

    @property
    def forward_seconds(self) -> float:
        return self._drafter.forward_seconds

    def begin(self, prompt: Sequence[int]) -> None:
        self._drafter.begin(prompt)

    def propose(self, position: int, depth: int, randomness: Randomness) -> TokenTree:
        begun = perf_counter()
        tree = self._drafter.propose(position, depth, randomness)
        self.seconds.append(perf_counter() - begun)
        return tree

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        begun = perf_counter()
        self._drafter.commit(path, tokens)
        self.seconds[-1] += perf_counter() - begun


def _interval(shares: Sequence[float]) -> str:
    """Mean over prompts, with a bootstrap interval."""
    if len(set(shares)) == 1:
        return f"{shares[0]:.3f}"
    found = stats.bootstrap([np.array(shares)], np.mean, rng=0).confidence_interval
    return f"{np.mean(shares):.3f} ({found.low:.3f} to {found.high:.3f})"


if __name__ == "__main__":
    main()
