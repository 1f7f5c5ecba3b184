"""The engine on the default target: beside transformers.generate, its own overhead, and what a commit costs.

Everything runs in one process, in turn, with the same number format and threads. `make bench-engine`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy import stats

from specdec_cli.benchmarking.machine import fingerprint
from specdec_cli.engine.stats import RunStats
from specdec_cli.models.forward.hf import HFForward
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.resources import data_folder
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings
from specdec_cli.tree import TokenTree

console = Console(width=110)
PLAIN = Settings(method="autoregressive", ignore_eos=True)
METHODS = {
    "autoregressive": PLAIN,
    "sps, gamma 4, first 2 layers": replace(PLAIN, method="sps", draft="layers:2"),
    "sps block, gamma 4, first 2 layers": replace(PLAIN, method="sps", verify="block", draft="layers:2"),
    "sps, gamma 4, n-grams": replace(PLAIN, method="sps", draft="ngram"),
    "specexec, tree of 64, first 2 layers": replace(
        PLAIN, method="specexec", draft="layers:2", max_budget=64, max_n_beams=16, max_branch_width=8
    ),
}


def main() -> None:
    """Run the three parts and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    session = Session.load(replace(PLAIN, dtype=options.dtype, max_tokens=options.tokens))
    machine = fingerprint()
    console.print(f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}, "
                  f"transformers {machine['transformers']}, {session.target.dtype}")  # fmt: skip
    prompts = [session.encode(prompt) for prompt in _prompts(options.rounds)]
    beside_transformers(session, prompts, options.tokens)
    overhead(session, prompts[:2], tokens=24)
    commit_cost(session)


def _prompts(count: int) -> list[str]:
    lines = (data_folder() / "prompts.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(lines[number % len(lines)])["prompt"] for number in range(count)]


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def beside_transformers(session: Session, prompts: Sequence[Sequence[int]], tokens: int) -> None:
    """Whole calls, prompt included, alternating, the order swapped from round to round."""
    model = session.target.model
    settings = replace(session.settings, max_tokens=tokens)

    def ours(prompt: Sequence[int]) -> None:
        list(session.steps(prompt, settings))

    def theirs(prompt: Sequence[int]) -> None:
        ids = torch.tensor([prompt])
        model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            min_new_tokens=tokens,
            max_new_tokens=tokens,
        )

    for warm_up in (ours, theirs):
        warm_up(prompts[0])
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number, prompt in enumerate(prompts):
        pair = [("ours", ours), ("theirs", theirs)]
        for name, run in pair if number % 2 else pair[::-1]:
            seconds[name].append(_timed(partial(run, prompt)))
    ratios = [theirs / ours for ours, theirs in zip(seconds["ours"], seconds["theirs"], strict=True)]
    interval = stats.bootstrap((np.array(ratios),), np.median, rng=0).confidence_interval
    table = Table(title=f"Plain decoding of {tokens} tokens, {len(prompts)} prompts, alternating")
    for heading in ("", "median tok/s", "speed-up over transformers (95%)"):
        table.add_column(heading)
    table.add_row("transformers.generate", f"{tokens / median(seconds['theirs']):.1f}", "1.00x")
    ratio = f"{median(ratios):.2f}x ({interval.low:.2f} to {interval.high:.2f})"
    table.add_row("specdec, autoregressive", f"{tokens / median(seconds['ours']):.1f}", ratio)
    console.print(table)


def overhead(session: Session, prompts: Sequence[Sequence[int]], tokens: int) -> None:
    """Share of decode time outside the models' forward passes, greedy and sampled."""
    table = Table(title="Time outside the forward passes, of decode time")
    for heading in ("method", "temperature 0", "temperature 1", "ms a step (T=1)"):
        table.add_column(heading)
    for name, settings in METHODS.items():
        row = []
        for temperature in (0.0, 1.0):
            run = replace(settings, temperature=temperature, max_tokens=tokens)
            list(session.steps(prompts[0], replace(run, max_tokens=8)))
            totals = RunStats.of(step for prompt in prompts for step in session.steps(prompt, run))
            row.append(f"{totals.overhead_seconds / totals.decode_seconds:.1%}")
        table.add_row(name, *row, f"{1e3 * totals.overhead_seconds / totals.passes:.1f}")
    console.print(table)


def commit_cost(session: Session, repeats: int = 30) -> None:
    """Milliseconds to commit five tree rows that have to move, on caches of several lengths."""
    table = Table(title="Committing five rows out of a tree")
    for heading in ("cached tokens", "ms (median)"):
        table.add_column(heading, justify="right")
    for length in (256, 1024, 4096):
        runner = Runner(HFForward(session.target.model), session.target.context)
        runner.begin([1000 + number % 1000 for number in range(length)])
        seconds = []
        for _ in range(repeats):
            runner.score(TokenTree((5, 5, 6, 7, 8, 9), (-1, -1, 1, 2, 3, 4)))
            seconds.append(_timed(partial(runner.commit, [1, 2, 3, 4, 5], [5, 6, 7, 8, 9, 3])))
        table.add_row(f"{length:,}", f"{1e3 * median(seconds):.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
