"""Multi-draft methods on equal trees: tokens per pass, and the share of what their guesses allow.

Every method decodes the same prompts. Rows are written as they come, and a second run goes on where the first
one stopped. `make bench-multi-draft`; `--prompts FILE` takes a JSON-lines file with `prompt` or `turns`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from specdec_cli.audit.acceptance_bound import AcceptanceCounter
from specdec_cli.benchmarking.machine import fingerprint
from specdec_cli.engine.observation import observed
from specdec_cli.resources import shipped_prompts
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings

console = Console(width=120)
METHODS: dict[str, dict[str, object]] = {
    "RRS": {"method": "specinfer"},
    "K-SEQ": {"method": "kseq"},
    "RRSw": {"method": "rrsw"},
    "RRSw, traversal": {"method": "rrsw", "verify": "traversal"},
    "SpecHub": {"method": "spechub"},
    "SpecHub, traversal": {"method": "spechub", "verify": "traversal"},
    "SpecHub above 0.5, else RRSw": {"method": "spechub", "hub_above": 0.5},
    "top k": {"method": "topk"},
    "SpecExec": {"method": "specexec"},
    "SpecExec, coupled": {"method": "specexec", "coupled": True},
}
TREES = {"2^5": {"max_budget": 30, "max_beam_len": 4}, "3^3": {"max_budget": 12, "max_beam_len": 2}}
TEMPERATURES = (0.6, 1.0)


def main() -> None:
    """Measure what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draft", default="layers:28")
    parser.add_argument("--prompts", type=Path)
    parser.add_argument("--n-tests", type=int, default=10)
    parser.add_argument("--max-tokens", type=int, default=40)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("logs/multi_draft.jsonl"))
    options = parser.parse_args()
    prompts = list(_prompts(options.prompts))[: options.n_tests]
    base = Settings(
        draft=options.draft, max_tokens=options.max_tokens, ignore_eos=True, compile=options.compile
    )
    session = Session.load(base, console.print)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    rows = _known(options.output)
    for number, prompt in enumerate(prompts):
        for temperature in TEMPERATURES:
            for tree in TREES:
                for method in METHODS:
                    key = f"{number}|{temperature}|{tree}|{method}"
                    if key not in rows:
                        rows[key] = _measure(session, base, prompt, temperature, tree, method)
                        with options.output.open("a", encoding="utf-8") as file:
                            file.write(json.dumps({"key": key, **rows[key]}) + "\n")
    machine = fingerprint()
    console.print(f"{machine['processor']}, draft {options.draft}, {len(prompts)} prompts, "
                  f"{options.max_tokens} tokens each")  # fmt: skip
    for temperature in TEMPERATURES:
        for tree in TREES:
            console.print(_table(rows, len(prompts), temperature, tree))


def _prompts(path: Path | None) -> Iterator[str]:
    if path is None:
        yield from shipped_prompts()
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        yield record["turns"][0] if "turns" in record else record["prompt"]


def _known(path: Path) -> dict[str, dict[str, float]]:
    if not path.is_file():
        return {}
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {record.pop("key"): record for record in records}


def _measure(
    session: Session, base: Settings, prompt: str, temperature: float, tree: str, method: str
) -> dict[str, float]:
    choice = dict(METHODS[method])
    shape = TREES[tree] if choice["method"] == "specexec" else {"tree": tree}
    settings = replace(base, temperature=temperature, **shape, **choice)  # type: ignore[arg-type]
    counter = AcceptanceCounter()
    tokens = passes = 0
    decode = partial(session.steps, session.encode(prompt), settings)
    for step, view in observed(session.roles(settings), decode):
        counter.add(view)
        tokens += len(step.tokens)
        passes += 1
    return {
        "tokens": tokens,
        "passes": passes,
        "levels": counter.levels,
        "accepted": counter.accepted,
        "possible": counter.possible or 0.0,
    }


def _table(rows: dict[str, dict[str, float]], prompts: int, temperature: float, tree: str) -> Table:
    table = Table(title=f"Temperature {temperature}, tree {tree}")
    for heading in ("method", "tokens per pass (95%)", "over RRS (95%)", "accepted", "bound", "share"):
        table.add_column(heading)
    cells = {
        method: [rows[f"{number}|{temperature}|{tree}|{method}"] for number in range(prompts)]
        for method in METHODS
    }
    reference = cells["RRS"]
    for method, found in cells.items():
        levels, accepted, possible = (
            sum(each[name] for each in found) for name in ("levels", "accepted", "possible")
        )
        own = _interval(found, found)
        gain = "-" if method == "RRS" else _interval(found, reference, difference=True)
        # Coupled guesses have seen the target's noise; a traversal looks below a level before it judges it.
        bound = ("-", "-")
        if "coupled" not in method and "traversal" not in method:
            bound = f"{possible / levels:.1%}", f"{accepted / possible:.0%}"
        table.add_row(method, own, gain, f"{accepted / levels:.1%}", *bound)
    return table


def _interval(
    found: list[dict[str, float]], other: list[dict[str, float]], *, difference: bool = False
) -> str:
    """Tokens per pass of all prompts, or how far above another method; a bootstrap by prompts."""
    columns = [
        np.array([each[name] for each in rows]) for rows in (found, other) for name in ("tokens", "passes")
    ]

    def statistic(*columns: np.ndarray, axis: int = -1) -> Any:
        tokens, passes, tokens_0, passes_0 = columns
        own = tokens.sum(axis) / passes.sum(axis)
        return own - tokens_0.sum(axis) / passes_0.sum(axis) if difference else own

    interval = stats.bootstrap(columns, statistic, paired=True, rng=0, method="basic").confidence_interval
    sign = "+" if difference else ""
    return f"{statistic(*columns):{sign}.2f} ({interval.low:{sign}.2f} to {interval.high:{sign}.2f})"


if __name__ == "__main__":
    main()
