"""Wherever a number enters a law (flags, heads, scales, traces), NaN and infinity are refused."""

import json
import math
from dataclasses import fields

import gptq_checkpoints
import pytest
import tiny_checkpoints as tiny
import torch
from safetensors.torch import load_file, save_file

from specdec_cli.errors import InputError
from specdec_cli.models.eagle.checkpoint import save_eagle_head, vocabulary_digest
from specdec_cli.models.eagle.files import MadeFor
from specdec_cli.models.eagle.head import head_shape, new_eagle_head
from specdec_cli.models.loader import load_model
from specdec_cli.settings import Settings, load_settings

NUMBERS = ("nan", "inf", "-inf")
TEXTS = ("target", "draft", "device", "draft_device", "revision", "stop", "system")
SAMPLED = (
    "--temperature",
    "1",
    "--max-tokens",
    "6",
    "--raw",
    "--dtype",
    "float32",
    "--ignore-eos",
    "-p",
    "the",
)


@pytest.fixture
def target(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
    tiny.folder(tmp_path / "target", words=tiny.ASCII, initializer_range=0.3, max_position_embeddings=1024)
    return tmp_path / "target"


def broken(path, name, number):
    """The same file with the first number of a tensor another one."""
    tensors = load_file(path)
    tensors[name].view(-1)[0] = number
    save_file(tensors, path, metadata={"format": "pt"})


def check_refused(outcome, code, *words):
    assert outcome.code == code, outcome.err
    assert outcome.out.strip() == ""
    for word in (*words, "Error: ", "Hint: "):
        assert word in outcome.err


@pytest.mark.parametrize("number", NUMBERS)
def test_no_setting_of_numbers_takes_what_is_none(number):
    for field in fields(Settings):
        if field.name not in TEXTS:
            with pytest.raises(InputError):
                load_settings(flags={field.name: number})


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "command",
    [
        "generate --target target --draft self:noise:{}",
        "ensemble --models target,self:noise:{} -p a",
        "ensemble --models target,layers:1 --weights 1,{} -p a",
        "ensemble --models target,layers:1 --weights {},{} -p a",
        "ensemble --algorithm cd --models target,layers:1 --alpha {} -p a",
        "ensemble --algorithm specem --models target,target --learning-rate {} -p a",
        "bench --target target --temperature 0,{}",
        "bench --target target --decay 0.5,{}",
        "distill --target target -o new --learning-rate {}",
        "compare a b --fail-below {}",
        "evaluate a --code-seconds {}",
        "offload-bench --target target --link-gbps {}",
        "generate --target target --memory-limit {}GiB --offload disk -p a",
    ],
)
def test_no_flag_takes_a_number_that_is_none(specdec, target, command, number):
    check_refused(specdec(*command.format(number, number).split()), 2)


@pytest.fixture
def head(target):
    loaded = load_model(str(target), device="cpu", dtype="float32")
    shape, model = head_shape(loaded.model.config), loaded.model
    torch.manual_seed(1)
    made = new_eagle_head(model.get_input_embeddings(), torch.arange(0, 90, 2), 1, shape, torch.float32)
    made_for = MadeFor("target", model.config.hidden_size, vocabulary_digest(loaded.tokenizer))
    folder = target.with_name("head")
    folder.mkdir()
    save_eagle_head(made, made_for, folder, "float16")
    return folder


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("method", ["sps", "specexec", "sequoia", "spechub"])
def test_a_head_of_broken_weights_drafts_nothing(specdec, target, head, method, number):
    weights = head / "model.safetensors"
    broken(weights, next(name for name in load_file(weights) if "down_proj" in name), number)
    options = ("--target", "target", "--draft", "head", "--method", method)
    check_refused(specdec("generate", *options, *SAMPLED), 2, "not finite")


@pytest.mark.parametrize("number", [math.nan, math.inf], ids=str)
@pytest.mark.parametrize("draft", ["self:int8", "self:int4", "self:noise:0.1", "layers:1"])
@pytest.mark.parametrize("method", ["sps", "specexec"])
def test_copies_of_a_broken_target_draft_nothing(specdec, target, draft, method, number):
    broken(target / "model.safetensors", "model.layers.0.mlp.down_proj.weight", number)
    check_refused(
        specdec("generate", "--target", "target", "--draft", draft, "--method", method, *SAMPLED), 1
    )


@pytest.mark.parametrize("number", [math.nan, math.inf], ids=str)
@pytest.mark.parametrize("quantize", ["int8", "int4"])
def test_a_broken_draft_is_not_rounded(specdec, target, quantize, number):
    draft = tiny.folder(target.with_name("draft"), words=tiny.ASCII, initializer_range=0.3)
    broken(draft / "model.safetensors", "model.layers.1.mlp.down_proj.weight", number)
    options = ("--target", "target", "--draft", "draft", "--draft-quantize", quantize, "--method", "sps")
    check_refused(specdec("generate", *options, *SAMPLED), 1)


@pytest.mark.parametrize("number", [math.nan, math.inf], ids=str)
@pytest.mark.parametrize("role", ["target", "draft", "member"])
def test_gptq_scales_that_are_no_numbers_are_refused_in_every_role(specdec, target, tmp_path, role, number):
    packed, _ = gptq_checkpoints.checkpoint(tmp_path / "gptq", words=tiny.ASCII)
    broken(packed / "model.safetensors", "model.layers.0.mlp.down_proj.scales", number)
    options = {
        "target": ("generate", "--target", str(packed), "--method", "autoregressive"),
        "draft": ("generate", "--target", "target", "--draft", str(packed), "--method", "sps"),
        "member": ("ensemble", "--algorithm", "we", "--models", f"target,{packed}"),
    }
    check_refused(specdec(*options[role], *SAMPLED), 2, "no finite numbers")


@pytest.mark.parametrize("weights", ["0.5,0.5", "1,0", "0,1"])
@pytest.mark.parametrize("function", ["weighted", "geometric"])
@pytest.mark.parametrize("execution", ["plain", "sd", "chef"])
def test_a_broken_member_of_any_weight_is_not_averaged(specdec, target, weights, function, execution):
    other = tiny.folder(target.with_name("other"), words=tiny.ASCII, initializer_range=0.3)
    broken(other / "model.safetensors", "model.norm.weight", math.nan)
    options = ("--models", "target,other", "--ensemble-fn", function, "--weights", weights)
    outcome = specdec("ensemble", "--algorithm", "we", "--exec", execution, *options, *SAMPLED)
    check_refused(outcome, 1, "other in float32 gave logits that are not finite")


@pytest.mark.parametrize("text", ["[-1, NaN]", "[-1, Infinity]", '{"parents": [-1, 1e999]}'])
def test_a_tree_of_no_numbers_is_refused(specdec, tmp_path, text):
    (tmp_path / "tree.json").write_text(text)
    check_refused(specdec("trees", "show", str(tmp_path / "tree.json")), 2)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_trace_of_no_numbers_is_not_replayed(specdec, target, tmp_path, number):
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "the cat"}\n')
    options = ("--dataset", "prompts.jsonl", "--n-tests", "1", "--methods", "sps", "--draft", "layers:1")
    sampled = ("--temperature", "1", "-n", "4", "--dtype", "float32", "--trace", "trace.jsonl")
    assert specdec("bench", "--target", "target", *options, *sampled).code == 0
    assert specdec("replay", "trace.jsonl", "--json").code == 0
    lines = (tmp_path / "trace.jsonl").read_text().splitlines()
    place = next(place for place in range(1, len(lines)) if _first_float(json.loads(lines[place])))
    change = json.loads(lines[place])
    path = _first_float(change)
    holder = change
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = float(number.lower().replace("infinity", "inf"))
    lines[place] = json.dumps(change)
    (tmp_path / "trace.jsonl").write_text("\n".join(lines) + "\n")
    check_refused(specdec("replay", "trace.jsonl", "--json"), 2, "line")


def _first_float(value, path=()):
    if isinstance(value, float):
        return path
    rows = enumerate(value) if isinstance(value, list) else ()
    entries = value.items() if isinstance(value, dict) else rows
    return next(filter(None, (_first_float(each, (*path, key)) for key, each in entries)), None)
