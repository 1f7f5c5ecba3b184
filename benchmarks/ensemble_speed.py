"""Ensembles on the default target: each execution beside plain decoding of the same law, paired by prompt.

Averages of two and of three models and contrastive decoding, at temperature 0 and 1. The partners are copies
of the target: one with noise on its weights, one in 8 bits; the amateur is a copy in 4 bits. Every prompt is
decoded by every execution before the next one, in an order that turns by one. `make bench-ensemble`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from specdec_cli.benchmarking.machine import fingerprint
from specdec_cli.benchmarking.summary import Ratio, paired_ratio
from specdec_cli.engine.stats import RunStats
from specdec_cli.resources import shipped_prompts
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings

console = Console(width=120)
WARM_UP_TOKENS = 8
PLAIN = "plain"


@dataclass(frozen=True)
class Family:
    """One law, and what it is sampled by.

    Attributes:
        name: of the law and its models.
        settings: of the law; the execution is left open.
        chains: proposal lengths to try for sd and chef.
        published: speed-ups of the paper's program, for orientation: other models, a GPU.
    """

    name: str
    settings: Settings
    chains: Sequence[tuple[int, ...]]
    published: Mapping[float, str]


def families(noise: str, amateur: str, target: str) -> list[Family]:
    """The laws that are measured."""
    partners = (target, f"self:noise:{noise}", "self:int8")
    we = Settings(method="we", target=target, ignore_eos=True)
    two, three = "1.34-1.62x (T=1)", "1.27-1.85x (T=1)"
    cd = replace(we, method="cd", models=(target, amateur), plausibility=0.1)
    return [
        Family("WE, 2 models", replace(we, models=partners[:2]), [(1, 1)], {1.0: two}),
        Family("WE, 3 models", replace(we, models=partners), [(1, 1, 1)], {1.0: three}),
        Family("CD", cd, [(1, 1), (1, 3)], {0.0: "1.61-2.23x", 1.0: "1.18-1.65x"}),
    ]


def main() -> None:
    """Measure and print; with --output, write every run as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="smollm2-135m")
    parser.add_argument("--amateur", default="self:int4")
    parser.add_argument("--noise", default="0.02")
    parser.add_argument("--prompts", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.0, 1.0])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    machine = fingerprint()
    console.print(f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}")
    for family in families(options.noise, options.amateur, options.target):
        base = replace(family.settings, max_tokens=options.tokens, compile=options.compile)
        session = Session.load(base)
        prompts = [session.encode(prompt) for prompt in shipped_prompts()[: options.prompts]]
        for temperature in options.temperatures:
            runs = measure(session, contenders(family, replace(base, temperature=temperature)), prompts)
            show(family, temperature, runs)
            if options.output is not None:
                write(options.output, family, temperature, runs, machine)


def contenders(family: Family, base: Settings) -> dict[str, Settings]:
    """Every execution that the law can have at this temperature, plain decoding first."""
    found = {PLAIN: replace(base, exec="plain")}
    for gammas in family.chains:
        shown = ":".join(map(str, gammas))
        found[f"chef {shown}"] = replace(base, exec="chef", gammas=gammas)
    found["sd"] = replace(base, exec="sd", gammas=(max(map(max, family.chains)) + 1,))
    if base.method == "we" and base.temperature > 0:
        found["mixture"] = replace(base, exec="mixture")
    found["auto"] = replace(base, exec="auto")
    return found


def measure(
    session: Session, wanted: Mapping[str, Settings], prompts: Sequence[Sequence[int]]
) -> dict[str, list[RunStats]]:
    """The totals of each run, by contender and prompt."""
    runs: dict[str, list[RunStats]] = {name: [] for name in wanted}
    for settings in wanted.values():
        list(session.steps(prompts[0], replace(settings, max_tokens=WARM_UP_TOKENS)))
    names = list(wanted)
    for number, prompt in enumerate(prompts):
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            runs[name].append(RunStats.of(session.steps(prompt, wanted[name])))
    return runs


def ratio(own: Sequence[RunStats], plain: Sequence[RunStats]) -> Ratio:
    """Speed over plain decoding's, paired by prompt."""
    speeds = [[stats.tokens_per_second or 0.0 for stats in runs] for runs in (own, plain)]
    return paired_ratio(*speeds)


def total(runs: Sequence[RunStats]) -> RunStats:
    """All prompts as one."""
    found = RunStats()
    for stats in runs:
        found.tokens += stats.tokens
        found.decode_seconds += stats.decode_seconds
        before = found.shares or [type(share)() for share in stats.shares]
        found.shares = [old + new for old, new in zip(before, stats.shares, strict=True)]
    return found


def show(family: Family, temperature: float, runs: Mapping[str, list[RunStats]]) -> None:
    """One row an execution."""
    published = family.published.get(temperature)
    beside = f"; published for chef: {published}" if published else ""
    table = Table(title=f"{family.name}: {', '.join(family.settings.models)}; T={temperature:g}{beside}")
    for heading in (
        "execution",
        "tok/s",
        "speed-up over plain (95%)",
        "calls per token",
        "by model: accepted",
    ):
        table.add_column(heading)
    for name, made in runs.items():
        stats, found = total(made), ratio(made, runs[PLAIN])
        interval = f" ({found.low:.2f}-{found.high:.2f})" if found.low and found.high else ""
        rates = [f"{share.accepted / share.drafted:.0%}" if share.drafted else "-" for share in stats.shares]
        table.add_row(
            name,
            f"{stats.tokens_per_second:.1f}",
            "1.00x" if name == PLAIN else f"{found.value:.2f}x{interval}",
            f"{stats.calls_per_token:.2f}",
            " ".join(rates),
        )
    console.print(table)


def write(
    path: Path,
    family: Family,
    temperature: float,
    runs: Mapping[str, list[RunStats]],
    machine: Mapping[str, str | int],
) -> None:
    """Append a line for each run."""
    with path.open("a", encoding="utf-8") as file:
        for name, made in runs.items():
            for number, stats in enumerate(made):
                line = {
                    "law": family.name,
                    "models": family.settings.models,
                    "temperature": temperature,
                    "execution": name,
                    "prompt": number,
                    "tokens": stats.tokens,
                    "seconds": stats.decode_seconds,
                    "shares": [[share.calls, share.drafted, share.accepted] for share in stats.shares],
                    "machine": dict(machine),
                }
                file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
