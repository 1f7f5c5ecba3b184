"""A configuration against itself: how often does the 95% interval of the ratio hold 1.00?

Two names for one configuration are measured as any two are (`specdec_cli.benchmarking.run`): interleaved, in
an order that turns, paired by prompt. Each try is a benchmark of its own with its own log, so that a killed
run goes on where it was. `make bench-a-against-a`; the exit code is 1 if fewer than 19 of 20 (95%) hold it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from specdec_cli.benchmarking.machine import fingerprint
from specdec_cli.benchmarking.records import Log
from specdec_cli.benchmarking.run import Bench, Progress, measure
from specdec_cli.benchmarking.summary import Ratio, summarise
from specdec_cli.benchmarking.sweep import Configuration
from specdec_cli.evaluation.datasets import read_dataset
from specdec_cli.reporting.bench import ratio_text
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings, load_settings

console = Console(width=80)
ONE, OTHER = "one", "the same"
DUE = 0.95


def main() -> None:
    """Measure what is missing and print the tries."""
    options = _options()
    flags = {"method": options.method, "draft": options.draft, "max_tokens": options.max_tokens}
    settings = replace(load_settings(flags=flags).settings, compile=options.compile, ignore_eos=True)
    items = read_dataset("prompts", options.n_tests)
    names = [Configuration(ONE, settings, ONE), Configuration(OTHER, settings, ONE)]
    session = Session.load(settings, console.print)
    found: list[Ratio] = []
    for number in range(options.tries):
        log = Log(options.folder / f"{number + 1:02}.jsonl")
        measure(Bench(names, items), session, log, Progress())
        (ratio,) = (row.speedup for row in summarise(log.records, {ONE: ONE, OTHER: ONE}) if row.speedup)
        found.append(ratio)
        console.print(f"try {number + 1}: {ratio_text(ratio)} {'holds' if holds(ratio) else 'misses'} 1.00")
    held = report(found, settings)
    sys.exit(0 if held >= math.floor(DUE * len(found)) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--n-tests", type=int, default=12, help="prompts of a try, at least 2")
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--method", default="ngram")
    parser.add_argument("--draft")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("logs/a_against_a"))
    options = parser.parse_args()
    if options.n_tests < 2 or options.tries < 1:
        parser.error("one prompt gives no interval, and no try no share")
    return options


def holds(ratio: Ratio) -> bool:
    """Whether the interval holds 1.00; one without ends, of equal speeds throughout, does if it is 1."""
    if ratio.low is None or ratio.high is None:
        return ratio.value == 1.0
    return ratio.low <= 1.0 <= ratio.high


def report(found: list[Ratio], settings: Settings) -> int:
    """Print how many intervals hold 1.00, for readers and as JSON; their number."""
    held = sum(map(holds, found))
    table = Table(title=f"{settings.method} against itself")
    for heading in ("tries", "intervals with 1.00", "least ratio", "greatest ratio"):
        table.add_column(heading, justify="right")
    values = sorted(ratio.value for ratio in found)
    table.add_row(str(len(found)), str(held), f"{values[0]:.3f}", f"{values[-1]:.3f}")
    console.print(table)
    record = {"tries": len(found), "held": held, "ratios": values, "machine": fingerprint()}
    console.print(json.dumps(record), soft_wrap=True)
    return held


if __name__ == "__main__":
    main()
