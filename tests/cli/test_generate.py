"""`specdec generate` on tiny random models: what goes where, what the options do, how it ends."""

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoints as tiny
import torch
from generating import PROMPT, record, refused, text_of
from program import Program
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from specdec_cli.settings import Settings

pytestmark = pytest.mark.usefixtures("own_cache")
METHODS = ("autoregressive", "ngram", "specexec", "sps")


def greedy(folder: str, prompt: str, count: int) -> list[int]:
    """What transformers' own greedy decoding says next."""
    tokens = AutoTokenizer.from_pretrained(folder)(prompt, return_tensors="pt")["input_ids"]
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    made = model.generate(
        tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=count, pad_token_id=0
    )
    return list(made[0, tokens.shape[1] :].tolist())


@pytest.mark.parametrize("method", METHODS)
def test_greedy_text_is_that_of_transformers(generate: Program, models: dict[str, str], method: str) -> None:
    expected = greedy(models["target"], PROMPT, 40)
    made = record(generate("--method", method, "-n", "40", "--json", *draft_of(method)))
    assert made["token_ids"] == expected


def draft_of(method: str) -> tuple[str, ...]:
    return ("-d", "draft") if method in ("specexec", "sps") else ()


def test_the_text_alone_is_on_stdout_and_the_figures_are_on_stderr(generate: Program) -> None:
    text = record(generate("--json"))["text"]
    outcome = generate()
    assert (outcome.code, outcome.out) == (0, f"{text}\n")
    assert outcome.err.startswith("24 tokens · ")
    assert outcome.err.count("\n") == 1


def test_a_tensor_that_the_target_has_no_place_for_is_named_once(
    generate: Program, models: dict[str, str], tmp_path: Path
) -> None:
    """Also where the draft is a part of the target, which says the same."""
    folder = tmp_path / "more"
    shutil.copytree(models["target"], folder)
    stored = load_file(folder / "model.safetensors") | {"v_head.weight": torch.ones(4)}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    outcome, plain = generate("-m", str(folder)), generate()
    assert (outcome.code, outcome.out) == (0, plain.out)
    assert outcome.err.count("leaves out: v_head.weight") == 1
    assert "v_head" not in generate("-m", str(folder), "--quiet").err


def test_quiet_leaves_nothing_on_stderr(generate: Program) -> None:
    assert generate("--quiet").err == ""
    assert generate("--quiet").out == generate().out


@pytest.mark.parametrize("name", ["target", "bytes"])
def test_json_alone_is_on_stdout_and_adds_up(generate: Program, models: dict[str, str], name: str) -> None:
    """The random bytes of the one are no UTF-8 as a rule."""
    method = ("--method", "specexec", "-d", "layers:1")
    made = record(generate("-m", name, *method, "-t", "0.8", "--ignore-eos", "--seed", "5", "--json"))
    tokenizer = AutoTokenizer.from_pretrained(models[name])
    assert made["text"] == tokenizer.decode(made["token_ids"], skip_special_tokens=True)
    assert made["prompt"] == PROMPT
    assert (made["finish_reason"], made["identical"]) == ("length", "bitwise")
    stats, lengths = made["stats"], made["accepted_lengths"]
    assert len(made["token_ids"]) == stats["tokens"] == 24 == sum(lengths) + len(lengths)
    assert (stats["target_passes"], stats["accepted"]) == (len(lengths), sum(lengths))
    assert stats["acceptance_rate"] == stats["accepted"] / stats["drafted"]
    assert stats["tokens_per_pass"] == 24 / len(lengths)
    assert stats["tokens_per_second"] == 24 / made["timings"]["decode_seconds"]
    parts = ("draft_seconds", "target_seconds", "overhead_seconds")
    assert sum(made["timings"][part] for part in parts) == pytest.approx(made["timings"]["decode_seconds"])
    assert set(made["settings"]) == {field.name for field in fields(Settings)}
    assert made["settings"]["draft"] == "layers:1"
    assert made["settings"]["temperature"] == 0.8
    assert made["machine"]["torch"] == torch.__version__


def test_a_perfect_draft_is_all_accepted_and_one_that_guesses_nothing_takes_a_pass_a_token(
    generate: Program,
) -> None:
    perfect = record(generate("--method", "sps", "-d", "target", "-k", "4", "-n", "25", "--json"))
    assert perfect["accepted_lengths"] == [4, 4, 4, 4, 4]
    plain = record(generate("--method", "autoregressive", "--json"))
    assert plain["accepted_lengths"] == [0] * 24
    assert plain["stats"]["acceptance_rate"] is None


@pytest.mark.parametrize("temperature", ["0", "1"])
def test_the_same_seed_gives_the_same_text_under_every_method_that_keeps_the_targets_draws(
    generate: Program, temperature: str
) -> None:
    """In float32 a row of a tree and a row alone differ in the last bits: two tokens that near would part."""
    options = ("-t", temperature, "--seed", "7", "-n", "60", "--ignore-eos", "--json")
    plain = record(generate("--method", "autoregressive", *options))
    for method in (
        ("--method", "ngram"),
        ("--method", "specexec", "-d", "draft"),
        ("--method", "specexec", "-d", "layers:1", "--max-budget", "3"),
        ("--method", "specexec", "-d", "ngram"),
    ):
        assert record(generate(*method, *options))["token_ids"] == plain["token_ids"], method
    other = record(generate("--method", "autoregressive", *options, "--seed", "8"))
    assert (other["token_ids"] == plain["token_ids"]) is (temperature == "0")


@pytest.mark.parametrize("verify", ["token", "block"])
def test_sps_with_each_rule_is_repeatable_and_accepts(generate: Program, verify: str) -> None:
    options = ("--method", "sps", "-d", "draft", "--verify", verify, "-t", "1", "--ignore-eos", "--json")
    first, again = record(generate(*options)), record(generate(*options))
    assert first["token_ids"] == again["token_ids"]
    assert first["stats"]["accepted"] > 0
    assert max(first["accepted_lengths"]) <= 4
    assert record(generate(*options, "--seed", "1"))["token_ids"] != first["token_ids"]


@pytest.mark.parametrize("method", ["specexec", "sps"])
def test_streamed_text_is_the_text(generate: Program, method: str) -> None:
    options = ("--method", method, "-d", "draft", "-t", "1", "--stop", "zz")
    assert text_of(generate(*options, "--stream")) == text_of(generate(*options, "--no-stream"))


def test_a_chat_model_is_asked_in_its_template_unless_told_otherwise(generate: Program) -> None:
    def said(*arguments: str) -> list[int]:
        return list(record(generate("--json", "-d", "layers:1", "--ignore-eos", *arguments))["token_ids"])

    asked = said("-m", "chat")
    raw = said("-m", "chat", "--raw")
    # The template of tiny_checkpoints is "user:...|assistant:", and the two models have the same weights.
    assert asked == said("-m", "target", "-p", f"user:{PROMPT}|assistant:")
    assert raw == said("-m", "target")
    assert asked != raw
    assert said("-m", "chat", "--chat") == asked
    instructed = said("-m", "chat", "--system", "be brief")
    assert instructed == said("-m", "target", "-p", f"system:be brief|user:{PROMPT}|assistant:")


def test_text_ends_before_the_stop_string(generate: Program) -> None:
    whole = text_of(generate("--ignore-eos"))
    for stop in (whole[5], whole[7:10], whole[-2:]):
        for stream in ("--stream", "--no-stream"):
            assert text_of(generate("--ignore-eos", "--stop", stop, stream)) == whole.partition(stop)[0]
    made = record(generate("--ignore-eos", "--stop", "no such", "--stop", whole[7:10], "--json"))
    assert made["text"] == whole.partition(whole[7:10])[0]
    assert made["finish_reason"] == "stop"
    assert made["settings"]["stop"] == ["no such", whole[7:10]]
    assert len(made["token_ids"]) - len(made["text"]) == 3  # one token a letter: those of the stop string


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_max_tokens_is_exact(generate: Program, method: str, count: int) -> None:
    made = record(
        generate("--method", method, *draft_of(method), "-n", str(count), "--ignore-eos", "--json", "-t", "1")
    )
    assert len(made["token_ids"]) == count
    assert made["finish_reason"] == "length"
    assert sum(made["accepted_lengths"]) + len(made["accepted_lengths"]) == count


def test_the_end_of_text_token_ends_it_unless_ignored(generate: Program, models: dict[str, str]) -> None:
    options = ("--method", "specexec", "-d", "layers:1", "-t", "3", "-n", "250", "--seed", "3", "--json")
    whole = record(generate(*options, "--ignore-eos"))
    assert tiny.SPECIAL.index("</s>") in whole["token_ids"]
    end = whole["token_ids"].index(tiny.SPECIAL.index("</s>"))
    cut = record(generate(*options))
    assert cut["token_ids"] == whole["token_ids"][: end + 1]
    assert cut["finish_reason"] == "stop"
    assert "</s>" not in cut["text"]


def test_the_layers_of_the_target_draft_for_it(generate: Program) -> None:
    assert generate("-d", "layers:1", "--method", "sps").out == generate().out
    assert "has 2 layers" in refused(generate("-d", "layers:2"), 2)
    for name in ("layers:0", "layers:x", "layers:", "layers:-1"):
        assert "does not say how many layers" in refused(generate("-d", name), 2)


def test_accepted_tokens_are_not_marked_where_stdout_is_no_terminal(generate: Program) -> None:
    assert generate("--show-accepted").out == generate().out
    assert generate("--show-accepted", "--stream").out == generate().out


def test_a_draft_no_smaller_than_the_target_is_a_warning(generate: Program) -> None:
    outcome = generate("-d", "larger")
    assert outcome.code == 0
    assert outcome.out == generate().out
    (warning, _) = outcome.err.splitlines()
    assert warning.startswith("Warning: The draft ")
    assert "were they swapped?" in warning


@pytest.mark.parametrize("temperature", ["1e-20", "1e-40", "1e-300"])
def test_a_temperature_near_zero_is_greedy(generate: Program, temperature: str) -> None:
    assert generate("-t", temperature).out == generate().out
