"""`specdec generate` on tiny random models: what goes where, what the options do, how it ends."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoints as tiny
import torch
from program import Outcome, Program
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from specdec_cli.engine.completion import Completion
from specdec_cli.engine.roles import Step
from specdec_cli.engine.text import Piece
from specdec_cli.models import loader
from specdec_cli.models.hf.checkpoint import read_config
from specdec_cli.models.runner.target import ModelTarget
from specdec_cli.settings import Settings
from specdec_cli.tree import TokenTree

PROMPT = "the cat and the cat and the"
SHARP: dict[str, Any] = {"words": tiny.ASCII, "initializer_range": 0.5, "max_position_embeddings": 512}
METHODS = ("autoregressive", "ngram", "specexec", "sps")


def typed(given: bytes, errors: str = "strict") -> io.TextIOWrapper:
    """A standard input."""
    return io.TextIOWrapper(io.BytesIO(given), encoding="utf-8", errors=errors)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders: a target without and with a chat template, drafts of it, and a model of other words."""
    root = tmp_path_factory.mktemp("models")
    return {
        name: str(tiny.folder(root / name, **changes))
        for name, changes in {
            "target": {**SHARP, "template": None},
            "chat": SHARP,
            "draft": {**SHARP, "template": None, "noise": 0.02},
            "larger": {**SHARP, "template": None, "num_hidden_layers": 3},
            "bytes": {"initializer_range": 0.5},
            "long": {**SHARP, "template": None, "max_position_embeddings": 200_000},
        }.items()
    }


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, float32: None) -> None:
    """An empty cache."""
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def generate(specdec: Program, models: dict[str, str]) -> Program:
    """Runs `specdec generate -p PROMPT -m TARGET ARGUMENTS`; the names of models stand for their folders."""

    def run(*arguments: str) -> Outcome:
        given = [models.get(argument, argument) for argument in arguments]
        given += [] if "-p" in arguments else ["-p", PROMPT]
        given += [] if "-m" in arguments else ["-m", models["target"]]
        given += [] if {"-d", "--method"} & set(arguments) else ["-d", "layers:1"]
        given += [] if "-n" in arguments else ["-n", "24"]
        return specdec("generate", *given)

    return run


def record(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome.err
    made: dict[str, Any] = json.loads(outcome.out)
    return made


def text_of(outcome: Outcome) -> str:
    assert outcome.code == 0, outcome.err
    assert outcome.out.endswith("\n")
    return outcome.out[:-1]


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
    assert made["finish_reason"] == "length"
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


def test_the_prompt_is_read_from_standard_input(generate: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", typed(PROMPT.encode()))
    assert record(generate("-p", "-", "--json"))["prompt"] == PROMPT
    monkeypatch.setattr("sys.stdin", typed(PROMPT.encode()))
    assert generate("-p", "-").out == generate().out


def test_a_byte_order_mark_is_no_part_of_the_prompt(
    generate: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", typed(PROMPT.encode("utf-8-sig")))
    assert record(generate("-p", "-", "--json"))["prompt"] == PROMPT
    assert record(generate("-p", f"\ufeff{PROMPT}", "--json"))["prompt"] == PROMPT
    monkeypatch.setattr("sys.stdin", typed(b"\xef\xbb\xbf\n"))
    assert refused(generate("-p", "-"), 2) == "The prompt is empty."


def test_line_ends_of_standard_input_are_line_feeds(
    generate: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", typed(b"one\r\ntwo\rthree\n"))
    assert record(generate("-p", "-", "--json"))["prompt"] == "one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("encoding", "problem"),
    [
        ("utf-16", "The prompt is UTF-16 text."),
        ("utf-16-be", "The prompt has NUL characters, as UTF-16 text has."),
        ("utf-16-le", "The prompt has NUL characters, as UTF-16 text has."),
    ],
)
def test_a_prompt_in_utf_16_is_refused(
    generate: Program, monkeypatch: pytest.MonkeyPatch, encoding: str, problem: str
) -> None:
    monkeypatch.setattr("sys.stdin", typed(PROMPT.encode(encoding)))
    assert refused(generate("-p", "-"), 2) == problem


def test_an_empty_standard_input_is_no_prompt(generate: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", typed(b" \n"))
    assert refused(generate("-p", "-"), 2) == "The prompt is empty."


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


def test_a_template_that_is_not_there_is_a_usage_error(generate: Program) -> None:
    assert "no chat template" in refused(generate("--chat"), 2)
    assert "needs a chat template" in refused(generate("--system", "be brief"), 2)


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


def refused(outcome: Outcome, code: int) -> str:
    """The problem, of an outcome that is one line of problem and one of hint, and nothing on stdout."""
    assert (outcome.code, outcome.out) == (code, ""), outcome.err
    problem, hint = outcome.err.splitlines()
    assert problem.startswith("Error: ")
    assert hint.startswith("Hint:  ")
    return problem.removeprefix("Error: ")


@pytest.mark.parametrize(
    ("arguments", "code", "about"),
    [
        (["-m", "./nowhere"], 2, "nowhere"),
        (["-m", "nobody/nothing"], 1, "no model hub can be reached"),
        (["-m", "smollm2-135n"], 1, "smollm2-135n"),
        (["-d", "./nowhere"], 2, "nowhere"),
        (["-d", "bytes"], 3, "cannot draft for"),
        (["-p", "cat " * 200], 2, "800 tokens"),
        (["-p", "cat " * 123], 2, "exceed the context of 512"),
        (["-p", ""], 2, "The prompt is empty."),
        (["-p", " \n\t"], 2, "The prompt is empty."),
        (["--temperature=-1"], 2, "--temperature must be a number of at least 0"),
        (["-t", "nan"], 2, "--temperature"),
        (["--max-budget", "0"], 2, "--max-budget must be a whole number of at least 1"),
        (["-n", "0"], 2, "--max-tokens"),
        (["--top-p", "0"], 2, "--top-p"),
        (["--stop", ""], 2, "--stop"),
        (["--threads", "0"], 2, "--threads"),
        (["--threads", "1025"], 2, "--threads"),
        (["--max-n-beams", "9" * 30], 2, "--max-n-beams"),
        (["--device", "cuda:99"], 2, "cuda:99 is not in this machine"),
        (["--device", "gpu"], 2, "gpu is not a device"),
        (["--dtype", "float15"], 2, "--dtype"),
        (["--preset", "nosuch"], 2, "no preset 'nosuch'"),
        (["--method", "specexec", "-d", "draft", "--verify", "block"], 2, "--verify block"),
        (["--method", "ngram", "-d", "layers:1"], 2, "--draft layers:1"),
        (["--method", "specexec"], 2, "needs a draft"),
    ],
)
def test_what_cannot_be_done_is_refused_in_two_lines(
    generate: Program, arguments: list[str], code: int, about: str
) -> None:
    assert about in refused(generate(*arguments), code)


def test_a_preset_with_a_misspelt_key_is_refused(generate: Program, tmp_path: Path) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text("temprature: 0.5\n")
    outcome = generate("--preset", str(preset))
    assert "there is no setting 'temprature'" in refused(outcome, 2)
    assert "Did you mean temperature?" in outcome.err


def test_a_prompt_that_is_not_utf8_is_refused(generate: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    given = b"caf\xe9"
    assert refused(generate("-p", os.fsdecode(given)), 2) == "The prompt is not UTF-8 text."
    for how in ("strict", "surrogateescape"):
        monkeypatch.setattr("sys.stdin", typed(given, how))
        assert refused(generate("-p", "-"), 2) == "The prompt is not UTF-8 text."


def test_a_closed_standard_input_is_refused(generate: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert refused(generate("-p", "-"), 2) == "Standard input is closed."
    assert generate().code == 0


@pytest.mark.parametrize("temperature", ["1e-20", "1e-40", "1e-300"])
def test_a_temperature_near_zero_is_greedy(generate: Program, temperature: str) -> None:
    assert generate("-t", temperature).out == generate().out


def test_no_prompt_is_refused(specdec: Program) -> None:
    assert refused(specdec("generate"), 2) == "There is no prompt."


def test_a_variable_out_of_range_is_refused(generate: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECDEC_TEMPERATURE", "abc")
    assert refused(generate(), 2).startswith("SPECDEC_TEMPERATURE must be a number")


@pytest.mark.parametrize("prompt", ["[bold]x[/bold] [/]", "語 😀 é", ":smile: \\[a]", "{{ a }}"])
def test_no_prompt_is_read_as_markup(generate: Program, prompt: str) -> None:
    for arguments in (["-m", "chat"], ["-m", "target"]):
        made = record(generate("-p", prompt, *arguments, "-d", "layers:1", "--json"))
        assert made["prompt"] == prompt


LONG = ["--method", "autoregressive", "--ignore-eos", "--raw", "-p", PROMPT]


def test_an_interrupt_keeps_what_was_generated(generate: Program, models: dict[str, str]) -> None:
    command = [sys.executable, "-m", "specdec_cli", "generate", "-m", models["long"], *LONG]
    with subprocess.Popen(
        [*command, "-n", "150000", "--stream"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        out = run.stdout.read(1)
        run.send_signal(signal.SIGINT)
        # Not communicate(), which would skip what read(1) has taken from the pipe beyond its letter.
        out += run.stdout.read()
        err = run.stderr.read()
    assert run.returncode == 130
    assert out.endswith("\n")
    (figures,) = err.splitlines()
    count = int(figures.split()[0])
    assert 0 < count < 150000
    assert out[:-1] == text_of(generate("-m", "long", *LONG, "-n", str(count), "--no-stream"))


def interrupt_at_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Make a Ctrl-C come while the target computes step `number`."""
    score, passes = ModelTarget.score, []

    def scoring(target: ModelTarget, tree: TokenTree) -> Any:
        passes.append(tree)
        if len(passes) == number:
            signal.raise_signal(signal.SIGINT)
        return score(target, tree)

    monkeypatch.setattr(ModelTarget, "score", scoring)


def test_an_interrupt_while_a_step_is_shown_waits_until_it_is_whole(
    generate: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = record(generate("-m", "bytes", *LONG, "--json"))
    add = Completion.add

    def adding(completion: Completion, step: Step) -> list[Piece]:
        signal.raise_signal(signal.SIGINT)
        return add(completion, step)

    monkeypatch.setattr(Completion, "add", adding)
    outcome = generate("-m", "bytes", *LONG, "--json")
    assert outcome.code == 130
    assert json.loads(outcome.out)["token_ids"] == whole["token_ids"][:1]


def test_an_interrupt_leaves_whole_json(generate: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = record(generate("-m", "bytes", *LONG, "--json"))
    interrupt_at_step(monkeypatch, 6)
    outcome = generate("-m", "bytes", *LONG, "--json")
    made = json.loads(outcome.out)
    assert outcome.code == 130
    assert made["finish_reason"] == "interrupted"
    assert made["token_ids"] == whole["token_ids"][:5]
    assert made["stats"]["tokens"] == 5
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("arguments", [[], ["--stream"], ["--json"]])
def test_an_interrupt_before_the_first_step_is_an_empty_text(
    generate: Program, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    interrupt_at_step(monkeypatch, 1)
    outcome = generate(*arguments)
    assert outcome.code == 130
    assert (json.loads(outcome.out)["text"] if "--json" in arguments else outcome.out.strip()) == ""
    assert outcome.err == "0 tokens\n"


def test_an_interrupt_while_loading_ends_in_130_and_says_nothing(
    generate: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "read_config", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    for arguments in ([], ["--json"]):
        outcome = generate(*arguments)
        assert (outcome.code, outcome.out, outcome.err) == (130, "", "")


@pytest.mark.parametrize("turned_into", [None, RuntimeError])
def test_an_interrupt_that_a_library_swallows_is_not_lost(
    generate: Program, monkeypatch: pytest.MonkeyPatch, turned_into: type[Exception] | None
) -> None:
    read = read_config

    def swallowing(*given: Any, **options: Any) -> Any:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            if turned_into is not None:
                raise turned_into from None
        return read(*given, **options)

    monkeypatch.setattr(loader, "read_config", swallowing)
    outcome = generate()
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "")
    monkeypatch.setattr(loader, "read_config", read)
    assert generate().code == 0
