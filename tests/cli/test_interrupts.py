"""Ctrl-C while `specdec generate` loads, computes and shows: what is kept, and how it ends."""

import json
import signal
import subprocess
import sys
from typing import Any

import pytest
from generating import PROMPT, record, text_of
from program import Program

from specdec_cli.engine.completion import Completion
from specdec_cli.engine.roles import Step
from specdec_cli.engine.text import Piece
from specdec_cli.models import loader
from specdec_cli.models.hf.checkpoint import read_config
from specdec_cli.models.runner.target import ModelTarget
from specdec_cli.tree import TokenTree

pytestmark = pytest.mark.usefixtures("own_cache")
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
