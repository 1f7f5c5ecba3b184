"""Which damage each case is, by its number and the seed alone."""

from __future__ import annotations

import gc
import pkgutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from random import Random

import torch
import transformers
from fuzzing.children import Child, Ended, finish, start
from fuzzing.files import FILES
from fuzzing.flags import FLAGS
from fuzzing.inputs import Inputs
from fuzzing.kinds import Kind, faults

import specdec_cli

KINDS = (*FILES, *FLAGS)
OPTIONAL = ("llama_peer", "bnb", "bertscore", "plots")  # they import packages that may be missing
LAZY = ("AutoModelForCausalLM", "AutoTokenizer", "AutoConfig", "LlamaForCausalLM", "GenerationConfig")


@dataclass(frozen=True)
class Result:
    """What came of a case.

    Attributes:
        number: of the case.
        kind: of its damage.
        faults: what was wrong; empty if nothing.
        ended: how it ended.
        folder: what it was run in.
    """

    number: int
    kind: Kind
    faults: list[str]
    ended: Ended
    folder: Path


def kind_of(number: int, kinds: Sequence[Kind] = KINDS) -> Kind:
    """Kinds take turns as often as their shares say."""
    turns = [kind for kind in kinds for _ in range(kind.share)]
    Random(0).shuffle(turns)
    return turns[number % len(turns)]


def import_program() -> None:
    """Import what cases would, once: then the children of this process have it."""
    torch.set_num_threads(1)  # threads do not outlive a fork
    for module in pkgutil.walk_packages(specdec_cli.__path__, "specdec_cli."):
        if not module.name.endswith(("__main__", "_child", *OPTIONAL)):
            import_module(module.name)
    for name in LAZY:
        getattr(transformers, name)
    gc.collect()
    gc.freeze()


def run_cases(
    seed: int, numbers: Sequence[int], jobs: int, root: Path, kinds: Sequence[Kind] = KINDS
) -> Iterator[Result]:
    """Run cases side by side, each in a process of its own.

    Args:
        seed: of all damage.
        numbers: of the cases.
        jobs: how many run at a time.
        root: an empty folder.
        kinds: that take turns.
    """
    import_program()
    inputs = Inputs(root / "inputs")
    inputs.root.mkdir()
    for name in dict.fromkeys(need for number in numbers for need in kind_of(number, kinds).needs):
        inputs.make(name)
    waiting, running = list(reversed(numbers)), dict[int, Child]()
    while waiting or running:
        while waiting and len(running) < jobs:
            number = waiting.pop()
            random, kind = Random(f"{seed}:{number}"), kind_of(number, kinds)
            folder = root / f"case-{number}"
            running[number] = start(folder, partial(kind.prepare, random, inputs))
        for number, child in list(running.items()):
            ended = finish(child)
            if ended is not None:
                kind = kind_of(number, kinds)
                yield Result(number, kind, faults(kind, ended, child.folder), ended, child.folder)
                del running[number]
        time.sleep(0.002)
