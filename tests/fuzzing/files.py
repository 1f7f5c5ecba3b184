"""Kinds of damaged files: what is damaged, and the command that meets it."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from fuzzing import damage
from fuzzing.children import Run
from fuzzing.inputs import DISTIL, Inputs
from fuzzing.kinds import DONE, INPUT, MISMATCH, ROOM, Kind

SHORT = ("-p", "the cat", "-n", "6", "--temperature", "0.8")
MODEL_ENDS = frozenset({DONE, INPUT, MISMATCH, ROOM})
FILE_ENDS = frozenset({DONE, INPUT})
MARK = "marked"  # a folder that exists if a file's code ran
AS_TARGET: tuple[tuple[str, ...], ...] = (
    ("generate", "--method", "autoregressive"),
    ("generate", "--method", "sps", "--draft", "layers:1"),
    ("generate", "--method", "sps", "--draft", "self:int8"),
    ("generate", "--method", "specexec", "--draft", "self:int4"),
    ("generate", "--method", "ngram", "--quantize", "int8"),
    ("generate", "--method", "autoregressive", "--offload", "disk", "--resident-layers", "1"),
    ("generate", "--method", "sequoia", "--draft", "layers:1", "--raw"),
    ("generate", "--method", "autoregressive", "--dry-run"),
    ("generate", "--method", "autoregressive", "--chat", "--system", "Be brief."),
)
Damage = Callable[[Random, bytes], bytes]


def _met(random: Random, name: str) -> Run:
    """A command that meets a model of that name: as target mostly, as draft or member else."""
    chance = random.random()
    if chance < 0.7:
        command, *flags = random.choice(AS_TARGET)
        return Run((command, "--target", name, *flags, *SHORT))
    if chance < 0.85:
        method = random.choice(("sps", "specexec", "spechub"))
        return Run(("generate", "--target", "target", "--draft", name, "--method", method, *SHORT))
    if chance < 0.93:
        algorithm = random.choice(("we", "cd", "we-chef", "specem"))
        length = ("--max-words", "4") if algorithm == "specem" else ("-n", "4")
        models = random.choice((f"target,{name}", f"{name},target"))
        return Run(("ensemble", "--algorithm", algorithm, "--models", models, "-p", "the cat", *length))
    return Run(("models", "check", *random.choice((("target", name), (name, "target")))))


def _in_folder(random: Random, inputs: Inputs, *, folder: str, pattern: str, how: Damage) -> Run:
    inputs.bring(folder, "target") if folder != "target" else inputs.bring("target", "draft")
    Path(folder).rename("damaged")
    if folder == "target":
        inputs.bring("target")
    path = random.choice(sorted(Path("damaged").glob(pattern)))
    damage.damage_file(random, path, how)
    return _met(random, "damaged")


def _template(random: Random, inputs: Inputs) -> Run:
    inputs.bring("target")
    loop = "{% for i in range(" + str(random.choice((10**3, 10**5, 10**9))) + ") %}"
    texts = (
        "{{ messages[0]['content'] * " + str(random.choice((10**4, 10**7, 10**10))) + " }}",
        loop + loop + "x{% endfor %}{% endfor %}",
        "{% set ns = namespace(t='xx') %}" + "{% for i in range(60) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}{{ ns.t }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.mkdir('" + MARK + "') }}",
        "{{ messages[5]['content'] }}", "{{ raise_exception('no') }}", "{{ messages | map('upper') }}", "",
        "{% for", "{{", "{{ nothing.at.all }}", "{{ 1 / 0 }}", "{{ 2 ** 10 ** 10 }}", "{{ 'x' | center(10**10) }}",
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "{% include 'x' %}", "{% raw %}", "(" * 10_000,
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "{{ '%1000000000d' | format(1) }}", "\x00", "{{ messages }}",
        "{{ messages | tojson(indent=10**9) }}", "{{ '{:>1000000000}'.format(1) }}", "{{ range(10**9) | list }}",
        "{{ messages[0]['content'] | e | wordwrap(1) | indent(10**8) }}", "{{ lipsum(n=10**6) }}",
    )  # fmt: skip
    text = random.choice(texts)
    if random.random() < 0.25:
        valid = (inputs.root / "target" / "chat_template.jinja").read_bytes()
        text = damage.damaged_bytes(random, valid).decode("latin-1")
    if random.random() < 0.5:
        Path("target/chat_template.jinja").write_text(text)
    else:
        Path("target/chat_template.jinja").unlink()
        config = json.loads(Path("target/tokenizer_config.json").read_text())
        listed = [{"name": "default", "template": text}]
        config["chat_template"] = random.choice((text, listed))
        Path("target/tokenizer_config.json").write_text(json.dumps(config))
    return Run(("generate", "--target", "target", "--method", "autoregressive", "--chat", *SHORT))


class _Marks:
    """Unpickled, it makes a folder: a sign that a file's code was run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.mkdir, (MARK,)


def _pickled(random: Random, inputs: Inputs) -> Run:
    name, *rest = random.choice(
        (("pickled", "pytorch_model.bin"), ("tree.pt",), ("distilled", "work/training.pt"))
    )
    inputs.bring("target", name)
    path = Path(name, *rest)
    found = path.read_bytes()
    path.write_bytes(pickle.dumps(_Marks()) if random.random() < 0.4 else damage.damaged_bytes(random, found))
    return _use(random, name)


def _use(random: Random, name: str) -> Run:
    if name == "distilled":
        return Run(("distill", "--target", "target", "-o", "distilled", *DISTIL, "--quiet"))
    if name.startswith("tree"):
        return random.choice((
            Run(("trees", "show", name)),
            Run(("generate", "--target", "target", "--draft", "layers:1", "--method", "sequoia", "--tree", name, *SHORT)),
        ))  # fmt: skip
    return Run(("generate", "--target", name, "--method", "autoregressive", *SHORT))


def _gguf(random: Random, inputs: Inputs) -> Run:
    inputs.bring("model.gguf")
    path = Path("model.gguf")
    data = bytearray(path.read_bytes())
    chance = random.random()
    if chance < 0.3:  # a count, a version, a length of the header
        place = random.choice((4, 8, 16, 24))
        size = 4 if place == 4 else 8
        data[place : place + size] = (random.choice(damage.COUNTS) % 2 ** (8 * size)).to_bytes(size, "little")
    elif chance < 0.7:  # the type or the value of a key
        keys = [found.end() for found in re.finditer(rb"(llama|general|tokenizer)\.[a-z_.]+", data[:8000])]
        place = random.choice(keys) + random.choice((0, 4, 4, 8))
        size = random.choice((4, 8))
        data[place : place + size] = (random.choice(damage.COUNTS) % 2 ** (8 * size)).to_bytes(size, "little")
    elif chance < 0.8:  # the name, dimensions or type of a tensor
        names = [found.start() for found in re.finditer(rb"blk\.|output|token_embd", data[:12000])]
        place = random.choice(names) + random.randrange(60)
        data[place : place + 8] = random.choice(damage.COUNTS).to_bytes(8, "little")
    else:
        data = bytearray(damage.damaged_bytes(random, bytes(data), random.choice((None, 6000))))
    path.write_bytes(data)
    return Run((*random.choice(AS_TARGET[:3] + AS_TARGET[7:8]), "--target", "model.gguf", *SHORT))


def _split(random: Random, inputs: Inputs) -> Run:
    inputs.bring("split")
    parts = sorted(Path("split").iterdir())
    part, chance = random.choice(parts), random.random()
    if chance < 0.2:
        part.unlink()
    elif chance < 0.4:
        part.write_bytes(parts[0].read_bytes())
    elif chance < 0.5:
        part.rename(part.with_name(part.name.replace("of-00002", "of-00003")))
    else:
        damage.damage_file(random, part, partial(damage.damaged_bytes, head=random.choice((None, 200))))
    return Run(("generate", "--target", str(parts[0]), "--method", "autoregressive", *SHORT))


def _head(random: Random, inputs: Inputs) -> Run:
    inputs.bring("target", "head")
    name, how = random.choice(
        (("config.json", damage.damaged_json), ("model.safetensors", damage.damaged_safetensors))
    )
    damage.damage_file(random, Path("head", name), how)
    method = random.choice(("sps", "specexec", "sequoia"))
    return Run(("generate", "--target", "target", "--draft", "head", "--method", method, *SHORT))


def _distilled(random: Random, inputs: Inputs) -> Run:
    inputs.bring("target", "distilled")
    path = random.choice(sorted(each for each in Path("distilled/work").rglob("*") if each.is_file()))
    kinds: dict[str, Damage] = {".json": damage.damaged_json, ".safetensors": damage.damaged_safetensors}
    damage.damage_file(random, path, kinds.get(path.suffix, damage.damaged_bytes))
    return _use(random, "distilled")


def _tree(random: Random, inputs: Inputs) -> Run:
    inputs.bring("target", "tree.json", "tree.pt")
    name = random.choice(("tree.json", "tree.json", "tree.pt"))
    damage.damage_file(
        random, Path(name), damage.damaged_json if name == "tree.json" else damage.damaged_bytes
    )
    return _use(random, name)


def _log(random: Random, inputs: Inputs) -> Run:
    inputs.bring("a.jsonl")
    Path("b.jsonl").write_bytes(Path("a.jsonl").read_bytes())
    damage.damage_file(random, Path("a.jsonl"), damage.damaged_lines)
    shown = ("report", "a.jsonl", "--format", random.choice(("table", "markdown", "csv", "json")))
    return Run(random.choice((shown, (*shown, "--detail"), ("compare", "a.jsonl", "b.jsonl"),
                              ("compare", "b.jsonl", "a.jsonl", "--json"))))  # fmt: skip


def _trace(random: Random, inputs: Inputs) -> Run:
    inputs.bring("trace.jsonl")
    content, name = Path("trace.jsonl").read_bytes(), random.choice(("trace.jsonl", "trace.jsonl.gz"))
    if name.endswith(".gz"):
        Path(name).write_bytes(damage.damaged_gzip(random, content, damage.damaged_lines))
    else:
        damage.damage_file(random, Path(name), damage.damaged_lines)
    return Run(("replay", name, *random.choice(((), ("--methods", "sps,specinfer"), ("--json",)))))


def _results(random: Random, inputs: Inputs) -> Run:
    name = random.choice(("answers.json", "answers.jsonl"))
    inputs.bring(name)
    damage.damage_file(
        random, Path(name), damage.damaged_json if name.endswith("json") else damage.damaged_lines
    )
    metrics = random.choice(("bleu,rouge,exact", "gsm8k", "mmlu", "exact"))
    compare = ("--compare", name) if random.random() < 0.2 else ()
    return Run(
        ("evaluate", name, "--metrics", metrics, "--lang", random.choice(("auto", "en", "zh")), *compare)
    )


def _data_set(random: Random, inputs: Inputs) -> Run:
    name = random.choice(("prompts.json", "prompts.jsonl", "prompts.csv", "prompts.jsonl.gz"))
    inputs.bring("target", name.removesuffix(".gz"))
    if name.endswith(".gz"):
        content = Path("prompts.jsonl").read_bytes()
        Path(name).write_bytes(damage.damaged_gzip(random, content, damage.damaged_lines))
    else:
        hows: dict[str, Damage] = {"prompts.json": damage.damaged_json, "prompts.jsonl": damage.damaged_lines}
        damage.damage_file(random, Path(name), hows.get(name, damage.spoilt_text))
    many = (
        "generate",
        "--input",
        name,
        "--output",
        "new.jsonl",
        "--method",
        "autoregressive",
        "--n-tests",
        "2",
    )
    measured = ("bench", "--dataset", name, "--zero", "--n-tests", "2", "--dry-run")
    return Run((*random.choice((many, many, measured)), "--target", "target", "-n", "4"))


FILES = (
    Kind("config.json", 14, ("target", "draft"), MODEL_ENDS,
         partial(_in_folder, folder="target", pattern="config.json", how=damage.damaged_json)),
    Kind("safetensors", 10, ("target", "draft"), MODEL_ENDS,
         partial(_in_folder, folder="target", pattern="*.safetensors", how=damage.damaged_safetensors)),
    Kind("tokenizer", 12, ("target", "draft"), MODEL_ENDS,
         partial(_in_folder, folder="target", pattern="tokenizer*.json", how=damage.damaged_json)),
    Kind("generation_config.json", 4, ("target", "draft"), MODEL_ENDS,
         partial(_in_folder, folder="target", pattern="generation_config.json", how=damage.damaged_json)),
    Kind("index.json and shards", 5, ("target", "sharded"), MODEL_ENDS,
         partial(_in_folder, folder="sharded", pattern="*.index.json", how=damage.damaged_json)),
    Kind("GPTQ", 7, ("target", "gptq"), MODEL_ENDS,
         partial(_in_folder, folder="gptq", pattern="*.safetensors", how=damage.damaged_safetensors)),
    Kind("GPTQ settings", 3, ("target", "gptq"), MODEL_ENDS,
         partial(_in_folder, folder="gptq", pattern="config.json", how=damage.damaged_json)),
    Kind("chat template", 7, ("target",), FILE_ENDS, _template),
    Kind("pickles", 4, ("target", "pickled", "tree.pt", "distilled"), FILE_ENDS, _pickled),
    Kind("GGUF", 14, ("model.gguf",), MODEL_ENDS, _gguf),
    Kind("GGUF parts", 4, ("split",), MODEL_ENDS, _split),
    Kind("EAGLE head", 7, ("target", "head"), MODEL_ENDS, _head),
    Kind("distillation", 4, ("target", "distilled"), MODEL_ENDS, _distilled),
    Kind("tree", 7, ("target", "tree.json", "tree.pt"), FILE_ENDS, _tree),
    Kind("log", 8, ("a.jsonl",), FILE_ENDS, _log),
    Kind("trace", 7, ("trace.jsonl",), FILE_ENDS, _trace),
    Kind("answers", 7, ("answers.json", "answers.jsonl"), FILE_ENDS, _results),
    Kind("data set", 8, ("target", "prompts.json", "prompts.jsonl", "prompts.csv"), FILE_ENDS, _data_set),
)  # fmt: skip
