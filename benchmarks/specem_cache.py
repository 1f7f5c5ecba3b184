"""What keeping each model's cache between SpecEM's rounds is worth: rounds per second, paired, interleaved.

Both sides answer the same prompts with the same models in one process; the order turns from prompt to prompt.
`make bench-specem`; the second model needs `specdec models pull gemma3-270m --accept-terms` once.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from statistics import median

from rich.console import Console
from rich.table import Table

from specdec_cli.benchmarking.machine import fingerprint
from specdec_cli.benchmarking.summary import paired_ratio
from specdec_cli.evaluation.datasets import Item, read_dataset
from specdec_cli.runtime.specem import load_ensemble
from specdec_cli.settings import Settings
from specdec_cli.specem.rounds import Round, SpecEM

console = Console(width=110)
SIDES = ("cache", "no cache")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="smollm2-135m,gemma3-270m")
    parser.add_argument(
        "--categories",
        default="writing,summarization,long",
        help="of the shipped prompts, from short to long",
    )
    parser.add_argument("--prompts", type=int, default=3, help="of each category")
    parser.add_argument("--max-words", type=int, default=30)
    parser.add_argument("--window-size", type=int, default=10)
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    settings = Settings(
        models=tuple(options.models.split(",")),
        method="autoregressive",
        max_words=options.max_words,
        window_size=options.window_size,
        dtype=options.dtype,
        threads=options.threads,
    )
    ensemble = load_ensemble(settings, console.print)
    rules = ensemble.rules
    ensemble.rules = replace(rules, max_words=1)  # the first passes pack weights and allocate
    for side in SIDES:
        answer(ensemble, side, "Hello.")
    ensemble.rules = rules
    console.print(f"{machine_line()}; {options.models}")
    for category in options.categories.split(","):
        items = [item for item in read_dataset() if item.category == category][: options.prompts]
        measured = measure(ensemble, items)
        lengths = [len(ensemble.drafters[0].asking.opening(item.prompt)) for item in items]
        report(measured, f"{category}: prompts of {min(lengths)} to {max(lengths)} tokens")


def measure(ensemble: SpecEM, items: list[Item]) -> dict[str, list[list[Round]]]:
    """The rounds of each side's answers, in turn."""
    measured: dict[str, list[list[Round]]] = {side: [] for side in SIDES}
    for number, item in enumerate(items):
        for side in SIDES if number % 2 else SIDES[::-1]:
            measured[side].append(answer(ensemble, side, item.prompt))
        speeds = ", ".join(f"{side} {speed(measured[side][-1]):.3f}" for side in SIDES)
        console.print(f"{item.id}: {len(measured['cache'][-1])} rounds; rounds/s: {speeds}")
    return measured


def answer(ensemble: SpecEM, side: str, prompt: str) -> list[Round]:
    """The rounds of an answer, on the same weights for both sides, from empty caches."""
    for member in ensemble.drafters:
        member.forget(reuse=side == "cache")
    return list(ensemble.answer(prompt))


def machine_line() -> str:
    """The processor and its threads."""
    machine = fingerprint()
    return f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}"


def speed(rounds: list[Round]) -> float:
    """Rounds per second."""
    return len(rounds) / sum(each.seconds for each in rounds)


def report(measured: dict[str, list[list[Round]]], title: str) -> None:
    """Print medians, the paired ratio with its interval, and whether the texts agree."""
    ratio = paired_ratio(*([speed(rounds) for rounds in measured[side]] for side in SIDES))
    interval = "" if ratio.low is None else f" ({ratio.low:.2f}-{ratio.high:.2f})"
    texts = {side: ["".join(each.text for each in rounds) for rounds in measured[side]] for side in SIDES}
    same = sum(one == other for one, other in zip(*texts.values(), strict=True))
    table = Table(title=title)
    for heading in ("", "rounds", "rounds/s (median)", "draft s", "verify s", "ratio (95%)"):
        table.add_column(heading, justify="right")
    for side in SIDES[::-1]:
        rounds = [each for answer in measured[side] for each in answer]
        table.add_row(
            side,
            str(len(rounds)),
            f"{median(map(speed, measured[side])):.3f}",
            f"{sum(each.draft_seconds for each in rounds):.1f}",
            f"{sum(each.verify_seconds for each in rounds):.1f}",
            f"{ratio.value:.2f}x{interval}" if side == "cache" else "1.00x",
        )
    console.print(table)
    console.print(f"The same text: {same} of {len(texts['cache'])}.")


if __name__ == "__main__":
    main()
