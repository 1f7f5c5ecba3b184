"""The forward pass on the default target: each way to compute it, the machine's limit, plain decoding.

Everything runs in one process, in turn, with the same threads. `make bench-forward`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy import stats

from specdec_cli.benchmarking.machine import fingerprint
from specdec_cli.models.forward.base import Forward
from specdec_cli.models.forward.hf import HFForward
from specdec_cli.models.forward.select import can_compile, compiled_forward, new_forward
from specdec_cli.models.loader import LoadedModel
from specdec_cli.models.quantization.linear import KINDS, Int4Linear, Int8Linear
from specdec_cli.models.quantization.quantize import low_precision_copy
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.models.self_drafts.early_exit import first_layers
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings
from specdec_cli.tree import TokenTree

console = Console(width=120)
SIZES = (1, 2, 4, 8, 16, 32, 64)
CACHED = 256
PLAIN = Settings(method="autoregressive", ignore_eos=True)


def main() -> None:
    """Run the parts and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    session = Session.load(replace(PLAIN, dtype=options.dtype, max_tokens=options.tokens))
    loaded, machine = session.target, fingerprint()
    console.print(f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}, "
                  f"transformers {machine['transformers']}, {loaded.dtype}")  # fmt: skip
    models = {
        "transformers' module": (loaded.model, HFForward(loaded.model)),
        "fused": (loaded.model, new_forward(loaded.model)),
        "fused, --compile": (loaded.model, compiled_forward(loaded.model, console.print)),
    }
    for kind in KINDS:
        low = low_precision_copy(loaded.model, kind)
        models[f"{kind}, --compile"] = low, compiled_forward(low, console.print)
    for count in (1, 2):
        draft = low_precision_copy(first_layers(loaded, count).model, "int8")
        models[f"layers:{count}, int8, --compile"] = draft, compiled_forward(draft, console.print)
    bandwidth = _bandwidth()
    console.print(f"Reading memory: {bandwidth / 1e9:.1f} GB/s")
    times = pass_times({name: forward for name, (_, forward) in models.items()}, options.rounds)
    show_passes(times)
    show_bytes(times, {name: weight_bytes(model) for name, (model, _) in models.items()}, bandwidth)
    decoding(loaded, options.rounds, options.tokens)


def _bandwidth(size: int = 1 << 28) -> float:
    """Bytes a second that all threads together read from memory, the best of several times."""
    numbers = torch.ones(size // 4)
    return size / min(_timed(numbers.sum) for _ in range(10))


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def weight_bytes(model: Any) -> int:
    """Bytes of weights that one pass reads: all but the embedding, of which it reads a row a token."""
    embedding = model.get_input_embeddings().weight
    head = model.get_output_embeddings()
    low = [each for each in model.modules() if isinstance(each, Int8Linear | Int4Linear)]
    held = [weight for weight in model.get_decoder().parameters() if weight is not embedding]
    held += [] if head in low else [head.weight]
    held += [buffer for each in low for buffer in each.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in held)


def pass_times(forwards: Mapping[str, Forward], rounds: int) -> dict[str, dict[int, list[float]]]:
    """Seconds of scoring trees of several sizes on a cached text, each forward in turn."""
    runners = {name: Runner(forward, 8192) for name, forward in forwards.items()}
    for runner in runners.values():
        runner.begin([1000 + number for number in range(CACHED + 1)])
    times: dict[str, dict[int, list[float]]] = {name: {size: [] for size in SIZES} for name in runners}
    for size in SIZES:
        tree = TokenTree(tuple(range(2000, 1999 + size)), tuple((node - 1) // 2 for node in range(size - 1)))
        for number in range(rounds + 1):
            for name, runner in runners.items():
                seconds = _timed(partial(runner.score, tree))
                if number:  # the first round warms up
                    times[name][size].append(seconds)
    return times


def show_passes(times: Mapping[str, Mapping[int, Sequence[float]]]) -> None:
    """Milliseconds of a pass, medians."""
    table = Table(title=f"ms for n tokens at once, {CACHED} cached (median)")
    for heading in ("", *(str(size) for size in SIZES), "8 / 1", "16 / 1"):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for name, by_size in times.items():
        ms = {size: 1e3 * median(seconds) for size, seconds in by_size.items()}
        ratios = (f"{ms[8] / ms[1]:.2f}", f"{ms[16] / ms[1]:.2f}")
        table.add_row(name, *(f"{value:.1f}" for value in ms.values()), *ratios)
    console.print(table)


def show_bytes(
    times: Mapping[str, Mapping[int, Sequence[float]]], sizes: Mapping[str, int], bandwidth: float
) -> None:
    """How near each comes to reading its weights at the memory's speed, for one token."""
    table = Table(title="One token: weights read, and the memory's limit")
    for heading in ("", "MB", "GB/s", "of the memory's", "limit, ms", "of a fused target pass"):
        table.add_column(heading, justify="left" if heading == "" else "right")
    whole = median(times["fused, --compile"][1])
    for name, size in sizes.items():
        seconds = median(times[name][1])
        speed = size / seconds
        row = f"{size / 1e6:.0f}", f"{speed / 1e9:.1f}", f"{speed / bandwidth:.0%}"
        table.add_row(name, *row, f"{1e3 * size / bandwidth:.1f}", f"{seconds / whole:.0%}")
    console.print(table)


def decoding(loaded: LoadedModel, rounds: int, tokens: int) -> None:
    """Plain decoding, whole calls with the prompt included, alternating with transformers.generate."""
    prompt = loaded.tokenizer.encode_chat([{"role": "user", "content": "Write about a lighthouse keeper."}])
    sessions = {"specdec": Session(PLAIN, loaded)}
    if can_compile(loaded.model):
        sessions["specdec --compile"] = Session(replace(PLAIN, compile=True), loaded)
    runs: dict[str, Callable[[], object]] = {
        "transformers.generate": lambda: _generate(loaded, prompt, tokens)
    }
    for name, session in sessions.items():
        settings = replace(session.settings, max_tokens=tokens)
        runs[name] = partial(_decode, session, prompt, settings)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        order = list(runs.items()) if number % 2 else list(runs.items())[::-1]
        for name, run in order:
            elapsed = _timed(run)
            if number:
                seconds[name].append(elapsed)
    table = Table(title=f"Plain decoding of {tokens} tokens, {rounds} rounds, alternating")
    for heading in ("", "median tok/s", "speed-up (95%)"):
        table.add_column(heading)
    theirs = np.array(seconds["transformers.generate"])
    for name, taken in seconds.items():
        ratios = theirs / np.array(taken)
        span = "" if name == "transformers.generate" else _interval(ratios)
        table.add_row(name, f"{tokens / median(taken):.1f}", f"{np.median(ratios):.2f}x{span}")
    console.print(table)


def _decode(session: Session, prompt: list[int], settings: Settings) -> None:
    for _ in session.steps(prompt, settings):
        pass


def _generate(loaded: LoadedModel, prompt: list[int], tokens: int) -> None:
    ids = torch.tensor([prompt])
    loaded.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        min_new_tokens=tokens,
        max_new_tokens=tokens,
    )


def _interval(ratios: np.ndarray) -> str:
    low, high = stats.bootstrap((ratios,), np.median, rng=0).confidence_interval
    return f" ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
