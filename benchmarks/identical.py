"""Whether texts are the same with and without speculation, in each number format, on the default target.

    python benchmarks/identical.py --formats bfloat16,float32,int8,int4 --prompts 40 --tokens 96

Every method writes the shipped prompts' continuations, greedy and at temperature 0.8 with one seed, and each
is compared with plain decoding's, token for token. Results are kept in a file, line by line; a run with the
same file goes on from there. `make bench-identical`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from specdec_cli.benchmarking.machine import fingerprint
from specdec_cli.resources import data_folder
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings

console = Console(width=110)
PLAIN = Settings(method="autoregressive", ignore_eos=True, seed=1)
SPS = replace(PLAIN, method="sps")
SPECEXEC = replace(PLAIN, method="specexec")
METHODS = {
    0.0: {
        "sps": SPS,
        "specexec": SPECEXEC,
        "ngram": replace(PLAIN, method="ngram"),
        "spechub": replace(SPS, method="spechub"),
        "topk": replace(SPS, method="topk"),
    },
    0.8: {
        "specexec": SPECEXEC,
        "ngram": replace(PLAIN, method="ngram"),
    },
}
PRECISIONS = ("int8", "int4")
LOADED = ("dtype", "quantize", "compile")  # settings of the model, not of the method


def main() -> None:
    """Run what the file lacks, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--formats", default="bfloat16,float32,int8,int4")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--file", type=Path, default=Path("logs/identical.jsonl"))
    options = parser.parse_args()
    options.file.parent.mkdir(parents=True, exist_ok=True)
    known = _known(options.file)
    for name in options.formats.split(","):
        kinds = {"quantize": name} if name in PRECISIONS else {"dtype": name}
        settings = replace(PLAIN, **kinds, compile=options.compile, max_tokens=options.tokens)
        session = Session.load(replace(settings, threads=options.threads or None))
        for line in _run(session, settings, name, options, known):
            with options.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            known[_key(line)] = line
    machine = fingerprint()
    console.print(f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}")
    console.print(_table(list(known.values())))


def _known(file: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return {_key(line): line for line in map(json.loads, lines)}


def _key(line: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(
        line[name] for name in ("format", "compiled", "temperature", "method", "set-up", "prompt", "length")
    )


def _set_up() -> str:
    """What texts may differ by: they are compared on one machine only."""
    machine = fingerprint()
    return ", ".join(str(machine[name]) for name in ("processor", "threads", "torch", "specdec"))


def _run(
    session: Session,
    settings: Settings,
    name: str,
    options: argparse.Namespace,
    known: dict[tuple[Any, ...], dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """The texts that are not known yet, prompt by prompt, plain decoding's first."""
    texts = (data_folder() / "prompts.jsonl").read_text(encoding="utf-8").splitlines()[: options.prompts]
    for number, prompt in enumerate(session.encode(json.loads(text)["prompt"]) for text in texts):
        for temperature, methods in METHODS.items():
            for method, chosen in {"autoregressive": PLAIN, **methods}.items():
                line = {"format": name, "compiled": options.compile, "temperature": temperature}
                line |= {"method": method, "prompt": number, "length": options.tokens, "set-up": _set_up()}
                if _key(line) in known:
                    continue
                changes: dict[str, Any] = {each: getattr(settings, each) for each in LOADED}
                run = replace(chosen, **changes, temperature=temperature, max_tokens=options.tokens)
                begun = time.perf_counter()
                tokens = [token for step in session.steps(prompt, run) for token in step.tokens]
                yield line | {"seconds": round(time.perf_counter() - begun, 3), "tokens": tokens}


def _table(lines: list[dict[str, Any]]) -> Table:
    table = Table(title="Texts that differ from plain decoding's")
    for heading in ("format", "passes", "T", "method", "differ", "first difference at", "tok/s"):
        table.add_column(heading)
    plain = {_key(line): line["tokens"] for line in lines if line["method"] == "autoregressive"}
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for line in lines:
        groups.setdefault(_key(line)[:5], []).append(line)
    for (name, compiled, temperature, method, _), texts in groups.items():
        first = []
        for line in texts:
            expected = plain[_key(line | {"method": "autoregressive"})]
            pairs = zip(expected, line["tokens"], strict=True)
            first += [place for place, (right, found) in enumerate(pairs) if right != found][:1]
        speed = sum(len(line["tokens"]) for line in texts) / sum(line["seconds"] for line in texts)
        places = f"{min(first)} to {max(first)}" if first else "-"
        passes = "compiled" if compiled else "eager"
        differ = f"{len(first)} of {len(texts)}"
        table.add_row(name, passes, f"{temperature:g}", method, differ, places, f"{speed:.1f}")
    return table


if __name__ == "__main__":
    main()
