"""Kinds of odd flags, variables, prompts and presets."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import typer
from fuzzing import damage
from fuzzing.children import Run
from fuzzing.files import FILE_ENDS, MARK, SHORT
from fuzzing.inputs import DISTIL, Inputs
from fuzzing.kinds import CHECKED, DONE, INPUT, MISMATCH, ROOM, Kind

from specdec_cli.cli.app import app

FLAG_ENDS = frozenset({DONE, INPUT, MISMATCH, ROOM})
TARGET = ("--target", "target")
DRAFTED = (*TARGET, "--draft", "draft")
BASES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("generate",): (*DRAFTED, *SHORT),
    ("ensemble",): ("--models", "target,draft", "-p", "the cat", "-n", "4"),
    ("bench",): (*DRAFTED, "--dataset", "prompts.jsonl", "--n-tests", "1", "-n", "4"),
    ("offload-bench",): (*TARGET, "--dataset", "prompts.jsonl", "--n-tests", "1", "-n", "4"),
    ("report",): ("a.jsonl",),
    ("compare",): ("a.jsonl", "a.jsonl"),
    ("evaluate",): ("answers.jsonl",),
    ("inspect",): (*DRAFTED, *SHORT),
    ("replay",): ("trace.jsonl",),
    ("distill",): (*TARGET, "-o", "new", *DISTIL),
    ("audit",): (*DRAFTED, "--level", "greedy", "--methods", "sps", "--n-tests", "1", "-n", "4"),
    ("demo",): (*TARGET, "-p", "the cat", "-n", "4", "--rounds", "1"),
    ("models", "list"): (),
    ("models", "pull"): ("target",),
    ("models", "check"): ("target", "draft"),
    ("presets", "list"): (),
    ("presets", "show"): ("preset.yaml",),
    ("trees", "show"): ("2^3",),
    ("trees", "plan"): (*DRAFTED, "--n-tests", "1", "-n", "4", "--budget", "4"),
}
# What compiles takes a minute rightly, and what runs a data set's programs runs them.
LEFT_OUT = ("--compile", "--help", "--allow-code-execution", "--self-test", "--bound")
NEEDED = (
    "target",
    "draft",
    "prompts.jsonl",
    "a.jsonl",
    "trace.jsonl",
    "answers.jsonl",
    "preset.yaml",
    "head",
)
VALUES = (
    "nan", "inf", "-inf", "NaN", "-1", "0", "1", "2", "3", "-0.0", "0.5", "1.5", "1e-320", "1e-46", "1e308", "1e400",
    str(10**30), str(-(10**30)), str(2**31), str(2**63), str(2**64), "9" * 5000, "", " ", "\0", "a\0b", "x" * 5000,
    "~nobody/x", "~no-such-user/x", "~", "folder", "pipe", "/dev/full", "/dev/null/x", "/dev/zero", "ü漢字🙂", "\udcff", "\x1b[2J", "1,2",
    "1,", ",", ",,1", "0.5,nan", "1-3", "3-1", f"1-{10**9}", "1-2-3", "None", "true", "0x10", "１", "1_000", "../x/y",
    "-", "missing/file.json", "missing.jsonl", "target", "target,draft", "head", "head,head", "layers:1", "layers:99",
    "layers:-1", "layers:nan", "self:int4", "self:noise:nan", "self:noise:-1", f"self:noise:{10**30}", "ngram",
    "ngram+draft", "ngram+", "2^99", f"2^{10**9}", "4x2x2", f"{10**6}x{10**6}", "1x" * 5000 + "1", "[-1, 0, 99]",
    "[nan]", "[" * 5000, "cuda", "cpu:9", "float16", "bfloat16", "int4", "bnb-4bit", "disk", "1GiB", "1B", "nanGiB",
    "infGiB", "-1GiB", f"{10**30}GiB", "preset.yaml", "prompts.jsonl", "answers.jsonl", "a.jsonl", "trace.jsonl",
    "auto", "all", "sps", "specexec", "sps,sequoia", "autoregressive", "specem", "we", "cd", "block", "out.json",
    "out.jsonl", "out.png", "out.html", "out.jsonl.gz", "folder/x.json", "en", "exact", "transformers", "json", "csv",
)  # fmt: skip


def options() -> dict[tuple[str, ...], list[tuple[str, bool]]]:
    """The flags of every command, and whether each is a switch."""
    found: dict[tuple[str, ...], list[tuple[str, bool]]] = {}

    def walk(command: Any, path: tuple[str, ...]) -> None:
        if hasattr(command, "commands"):
            for name, each in command.commands.items():
                walk(each, (*path, name))
        elif path in BASES:
            flags = [(name, bool(each.is_flag)) for each in command.params if hasattr(each, "is_flag")
                     for name in (*each.opts, *each.secondary_opts) if name.startswith("--")]  # fmt: skip
            found[path] = [each for each in flags if each[0] not in LEFT_OUT]

    walk(typer.main.get_command(app), ())
    return found


def _surroundings(inputs: Inputs) -> None:
    inputs.bring(*NEEDED)
    Path("folder").mkdir()
    os.mkfifo("pipe")


def _flags(random: Random, inputs: Inputs, *, count: int) -> Run:
    _surroundings(inputs)
    known = options()
    command = random.choice(sorted(path for path in known if known[path]))
    flags = []
    for name, switch in random.choices(known[command], k=count):
        flags += [name] if switch else [f"{name}={random.choice(VALUES)}"]
    base = BASES[command]
    if random.random() < 0.1:
        base = tuple(
            random.choice(VALUES) if not each.startswith("-") and random.random() < 0.3 else each
            for each in base
        )
    return Run((*command, *base, *flags), stdin=b"the cat")


def _variables(random: Random, inputs: Inputs) -> Run:
    from specdec_cli.settings import Settings

    _surroundings(inputs)
    names = [f"SPECDEC_{name.upper()}" for name in Settings.__slots__ if name != "compile"]
    names += ["SPECDEC_CACHE", "SPECDEC_DEBUG", "SPECDEC_LOG", "SPECDEC_PRESET", "COLUMNS", "LINES", "TERM", "HOME", "TMPDIR", "LANG",
              "LC_ALL", "HF_HOME", "HF_ENDPOINT", "XDG_CACHE_HOME", "CI", "FORCE_COLOR", "PYTHONIOENCODING"]  # fmt: skip
    values = [value for value in VALUES if "\0" not in value]
    chosen = tuple((random.choice(names), random.choice(values)) for _ in range(random.choice((1, 1, 2))))
    chosen = tuple((name, "0" if name == "SPECDEC_DEBUG" else value) for name, value in chosen)
    command = random.choice(
        (("generate",), ("bench",), ("ensemble",), ("presets", "show"), ("trees", "plan"), ("report",))
    )
    return Run((*command, *BASES[command]), environment=chosen)


def _prompts(random: Random, inputs: Inputs) -> Run:
    _surroundings(inputs)
    texts = (
        "", " ", "\n", "\x00", "a\x00b", "\x1b[31mred", "x" * 100_000, "x" * 2_000_000, "the cat " * 50_000, "ü漢字🙂" * 9,
        "\udcff\udcfe", "\ud800", "<s></s>", "{{ 1 }}", "[bold]x[/bold]", "[/]", "[link=x", "\r\n\t", "\u202e\u200b", "-",
        "é" * 3, "%s%n{}", "\x7f\x80", "a" * 127, "a" * 126, "\ufeff", "</s>" * 40,
    )  # fmt: skip
    text = random.choice(texts)
    raw = random.choice((random.randbytes(200), text.encode(errors="surrogatepass"), b"\xff\xfe\x00", b""))
    command = random.choice(
        (("generate",), ("generate",), ("inspect",), ("ensemble",), ("audit",), ("demo",))
    )
    shape = random.choice(((), ("--chat",), ("--raw",), ("--json",))) if command[0] in ("generate",) else ()
    given = ("-p", "-") if random.random() < 0.4 and command != ("demo",) else (f"--prompt={text}",)
    also: tuple[str, ...] = ()
    also += (
        (f"--system={random.choice(texts)}",) if command == ("generate",) and random.random() < 0.2 else ()
    )
    also += (f"--stop={random.choice(texts)}",) if command == ("generate",) and random.random() < 0.2 else ()
    return Run((*command, *BASES[command], *given, *shape, *also), stdin=raw)


def _preset(random: Random, inputs: Inputs) -> Run:
    _surroundings(inputs)
    path = Path("preset.yaml")
    valid = dict(line.split(": ", 1) for line in path.read_text().splitlines())
    texts = (
        "a: &a [x]\n" + "".join(f"a{n}: &b{n} [*a, *a]\n" for n in range(40)), "stop: &a [*a]", "? [a]\n: b", "- a", "x",
        "temperature: !!python/object/apply:os.mkdir [" + MARK + "]", "!!binary x", "temperature: !!float nan", "{" * 5000,
        "trust_remote_code: true", "a: b: c", "\tx: 1", "temperature: 1\ntemperature: 2", "stop: [" + "x, " * 9000 + "]",
        "description: " + "x" * 100_000, "---\na: 1\n---\nb: 2", "temperature: 2020-01-01", "seed: 0o17", "1: 2",
        "null: 1", "<<: {temperature: 1}", "temperature: 1_0", "seed: 1:30", "preset: preset.yaml", "%YAML 9.9\n---\na: 1",
    )  # fmt: skip
    chance = random.random()
    if chance < 0.3:
        path.write_text(random.choice(texts))
    elif chance < 0.75:
        value: dict[str, Any] = {**valid, "stop": ["dog"], "temperature": 0.7, "max_tokens": 8, "seed": 3}
        path.write_bytes(json.dumps(damage.damaged_value(random, value)).encode())
    else:
        damage.damage_file(random, path, damage.spoilt_text)
    return Run(random.choice((("presets", "show", "preset.yaml"), ("presets", "show", "preset.yaml", "--json"),
        ("generate", "--preset", "preset.yaml", *BASES["generate",]), ("bench", "--preset", "preset.yaml", "--dry-run", *BASES["bench",]))))  # fmt: skip


FLAGS = (
    Kind("preset", 10, NEEDED, FLAG_ENDS, _preset),
    Kind("prompt", 7, NEEDED, FILE_ENDS, _prompts),
    Kind("variables", 7, NEEDED, FLAG_ENDS, _variables),
    Kind("flag", 28, NEEDED, FLAG_ENDS | {CHECKED}, partial(_flags, count=1)),
    Kind("flags in pairs", 12, NEEDED, FLAG_ENDS | {CHECKED}, partial(_flags, count=2)),
)
