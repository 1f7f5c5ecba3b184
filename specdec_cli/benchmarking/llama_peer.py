"""llama.cpp in the same run, through its Python package where that is installed: same prompts and ids.

Its weights are those of a .gguf file, which may be quantized otherwise than those that this engine runs; the
settings that are printed beside its figures say which file and how many threads.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from specdec_cli.benchmarking.peers import Peer, Run
from specdec_cli.engine.roles import Step
from specdec_cli.engine.stopping import Stopping
from specdec_cli.errors import InputError
from specdec_cli.models.hub.wheels import fetch
from specdec_cli.progress import Report, log
from specdec_cli.registry.models import REGISTRY
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings

PLAIN = "llama-cpp"
LOOKUP = "llama-cpp, prompt lookup"
LONGEST = 8192  # positions that its cache is made for
PACKAGE = "llama_cpp"


def require_llama_cpp(target: str) -> None:
    """Check before anything is loaded that there is such a peer for that target.

    Raises:
        InputError: the package is not installed, or the target is no .gguf file and none is known for it.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        hint = "pip install 'specdec-cli[llama-cpp]', which builds it: it needs a C++ compiler."
        raise InputError("--peer llama-cpp needs the package llama-cpp-python.", hint)
    if target not in REGISTRY and not target.lower().endswith(".gguf"):
        problem = f"--peer llama-cpp needs a .gguf file as the target, and {target} is none."
        raise InputError(problem, f"Give one with --target, or one of {', '.join(REGISTRY)}.")


def llama_cpp_peers(session: Session, settings: Settings, report: Report = log) -> dict[str, Peer]:
    """Its plain generation, and its prompt lookup, each with a model of its own loaded from the same file."""
    file = _gguf(settings.target, report)
    package = importlib.import_module(PACKAGE)
    speculative = importlib.import_module(f"{PACKAGE}.llama_speculative")
    lookup = {"max_ngram_size": settings.ngram_size, "num_pred_tokens": settings.gamma}
    common = {
        "n_ctx": min(session.target.context, LONGEST),
        "n_threads": torch.get_num_threads(),
        "n_threads_batch": torch.get_num_threads(),
        "n_gpu_layers": 0 if session.target.device.type == "cpu" else -1,
    }
    shown = {"file": file.name, "version": package.__version__, **common}
    found = {}
    for name, more in ((PLAIN, {}), (LOOKUP, lookup)):
        draft = {"draft_model": speculative.LlamaPromptLookupDecoding(**more)} if more else {}
        model = package.Llama(model_path=str(file), verbose=False, **common, **draft)
        found[name] = Peer(_run(model, session), shown | more)
    return found


def _gguf(target: str, report: Report) -> Path:
    entry = REGISTRY.get(target)
    return Path(os.path.expanduser(target)) if entry is None else fetch(entry, report=report)


def _run(model: Any, session: Session) -> Run:
    clock = _Passes(model.eval)
    model.eval = clock

    def run(prompt: Sequence[int], settings: Settings) -> list[Step]:
        model.reset()  # else it would keep what it read of a prompt that begins alike
        model.set_seed(settings.seed)
        stopping = Stopping(settings.max_tokens, session.stops(prompt, settings), session.decode)
        generated = model.generate(
            list(prompt),
            temp=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            min_p=settings.min_p,
            repeat_penalty=1.0,
        )
        clock.begin()
        emitted: list[int] = []
        reason = None
        for token in generated:
            emitted.append(int(token))
            clock.emitted(len(emitted))
            reason = stopping.cut(emitted[-1:])[1]
            if reason is not None:
                break
        generated.close()
        return clock.steps(emitted, reason == "stop")

    return run


class _Passes:
    """Stands in for the model's `eval`: notes when each pass began and ended and what came of it."""

    def __init__(self, evaluate: Callable[[Sequence[int]], None]) -> None:
        self._evaluate = evaluate
        self.begin()

    def begin(self) -> None:
        """A text begins."""
        self._begun = time.perf_counter()
        self._passes: list[list[float]] = []  # seconds, when its last token was there, tokens by then
        self._drafted: list[int] = []

    def __call__(self, tokens: Sequence[int]) -> None:
        given, begun = len(tokens), time.perf_counter()
        self._evaluate(tokens)
        now = time.perf_counter()
        self._passes.append([now - begun, now, 0])
        self._drafted.append(given - 1)

    def emitted(self, count: int) -> None:
        """So many tokens have been emitted."""
        self._passes[-1][1:] = [time.perf_counter(), count]

    def steps(self, emitted: Sequence[int], stopped: bool) -> list[Step]:
        """One step a pass that gave a token; the first reads the prompt too, which is all but a mean step."""
        passes = [each for each in self._passes if each[2]]
        ends = [self._begun, *(moment for _, moment, _ in passes)]
        whole = [end - begun for begun, end in pairwise(ends)]
        typical = sum(whole[1:]) / len(whole[1:]) if whole[1:] else 0.0
        found, done = [], 0
        for number, (seconds, _, count) in enumerate(passes):
            taken = tuple(emitted[done : int(count)])
            first = number == 0
            drafted = 0 if first else self._drafted[number]
            found.append(
                Step(
                    tokens=taken,
                    accepted=0 if first else len(taken) - 1,
                    drafted=drafted,
                    depth=drafted,
                    seconds=typical if first else whole[number],
                    draft_seconds=0.0,
                    target_seconds=typical if first else seconds,
                    prefill_seconds=max(whole[number] - typical, 0.0) if first else 0.0,
                    finish_reason=None,
                )
            )
            done = int(count)
        if found:
            found[-1] = replace(found[-1], finish_reason="stop" if stopped else "length")
        return found
