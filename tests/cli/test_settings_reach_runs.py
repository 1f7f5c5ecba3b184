"""Every setting that a command takes reaches what the command loads or does."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, NoReturn

import pytest
import typer
from program import Program

from specdec_cli.cli.app import app
from specdec_cli.cli.setting_options import taken_by
from specdec_cli.errors import InputError
from specdec_cli.settings import Settings


class Sample(NamedTuple):
    """A value of a setting as it is written and as it is read, and what must stand beside it."""

    written: str | None  # None for a switch
    read: Any
    beside: tuple[str, ...] = ()


OFFLOADED = ("--offload", "disk")
CONTRAST = ("--method", "cd", "--models", "a,b")
AVERAGE = ("--method", "we", "--models", "a,b")
CHAIN = ("--method", "sps")
SAMPLES = {
    "target": Sample("gemma3-270m", "gemma3-270m"),  # whose draft is known
    "draft": Sample("layers:2", "layers:2"),
    "device": Sample("cpu", "cpu"),
    "draft_device": Sample("cpu", "cpu"),
    "dtype": Sample("float16", "float16"),
    "quantize": Sample("int8", "int8"),
    "draft_quantize": Sample("int4", "int4"),
    "offload": Sample("cpu", "cpu"),
    "resident_layers": Sample("2", 2, OFFLOADED),
    "memory_limit": Sample("2GiB", "2GiB", OFFLOADED),
    "link_gbps": Sample("1.5", 1.5, OFFLOADED),
    "compile": Sample(None, True),
    "revision": Sample("v2", "v2"),
    "trust_remote_code": Sample(None, True),
    "threads": Sample("3", 3),
    "temperature": Sample("0.7", 0.7),
    "top_p": Sample("0.9", 0.9),
    "top_k": Sample("5", 5),
    "min_p": Sample("0.1", 0.1),
    "seed": Sample("7", 7),
    "max_tokens": Sample("9", 9),
    "stop": Sample("end", ("end",)),
    "ignore_eos": Sample(None, True),
    "chat": Sample(None, True),
    "system": Sample("Be brief.", "Be brief."),
    "method": Sample("sps", "sps"),
    "verify": Sample("block", "block", CHAIN),
    "gamma": Sample("6", 6, CHAIN),
    "tree": Sample("2x2", "2x2", ("--method", "rrsw")),
    "hub_above": Sample("0.5", 0.5, ("--method", "spechub")),
    "max_budget": Sample("9", 9),
    "max_n_beams": Sample("3", 3),
    "max_beam_len": Sample("5", 5),
    "max_branch_width": Sample("2", 2),
    "min_log_prob": Sample("-3.5", -3.5),
    "decay": Sample("0.5", 0.5),
    "coupled": Sample(None, True, ("--temperature", "1")),
    "ngram_size": Sample("5", 5),
    "models": Sample("a,b", ("a", "b"), ("--method", "we")),
    "amateur": Sample("small", "small", ("--method", "cd")),
    "ensemble_fn": Sample("geometric", "geometric", AVERAGE),
    "ensemble_target": Sample("logits", "logits", (*AVERAGE, "--ensemble-fn", "geometric")),
    "weights": Sample("0.7,0.3", ("0.7", "0.3"), AVERAGE),
    "alpha": Sample("0.3", 0.3, CONTRAST),
    "plausibility": Sample("0.2", 0.2, CONTRAST),
    "exec": Sample("chef", "chef", AVERAGE),
}
SEGMENTS = ("--algorithm", "specem")
OF_ENSEMBLES = {
    "verify_models": Sample("c", ("c",), SEGMENTS),
    "window_size": Sample("5", 5, SEGMENTS),
    "max_words": Sample("50", 50, SEGMENTS),
    "fast_decoder": Sample(None, True, SEGMENTS),
    "self_vote": Sample(None, True, SEGMENTS),
    "feedback": Sample("no-feedback", False, SEGMENTS),
    "learning_rate": Sample("0.5", 0.5, SEGMENTS),
    "scoring": Sample("logit", "logit", SEGMENTS),
    "target": Sample("a", "a", ("--amateur", "b")),
    "amateur": Sample("b", "b", ("--algorithm", "cd")),
    "alpha": Sample("0.3", 0.3, ("--algorithm", "cd")),
    "plausibility": Sample("0.2", 0.2, ("--algorithm", "cd")),
    "models": Sample("a,c", ("a", "c")),
    "gamma": Sample("6", 6, (*SEGMENTS, *CHAIN)),
    "draft": Sample("layers:2", "layers:2", (*SEGMENTS, *CHAIN)),
}
DRAFTING = ("method", "verify", "tree", "hub_above", "max_budget", "max_n_beams", "max_beam_len",
            "max_branch_width", "min_log_prob", "decay", "coupled", "ngram_size")  # fmt: skip
BASES: dict[str, tuple[str, ...]] = {
    "generate": ("-p", "x"),
    "ensemble": ("-p", "x"),
    "bench": ("--n-tests", "1"),
    "offload-bench": ("--n-tests", "1", "--resident-layers", "1"),
    "inspect": ("-p", "x"),
    "distill": ("-o", "new"),
    "audit": ("--level", "greedy"),
    "demo": (),
    "trees plan": ("--n-tests", "1"),
}


def taken(command: str) -> tuple[str, ...]:
    found: Any = typer.main.get_command(app)
    for name in command.split():
        found = found.commands[name]
    return taken_by(found.callback).options  # type: ignore[union-attr]


def sample_of(command: str, setting: str) -> Sample:
    """The sample that suits the command, with what its method needs beside."""
    if command != "ensemble":
        return SAMPLES[setting]
    found = OF_ENSEMBLES.get(setting) or SAMPLES[setting]
    models = () if setting in ("models", "target") else ("--models", "a,b")
    beside = tuple(each for each in found.beside if each not in models)
    drafting: tuple[str, ...] = SEGMENTS if setting in DRAFTING else ()
    if drafting and "--method" not in beside and setting != "method":
        drafting = (*drafting, "--method", "specexec", "--draft", "layers:1")
    return found._replace(beside=(*beside, *models, *drafting))


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Settings]:
    """The settings that a command came to its work with, plain decoding first; it goes no further."""
    from specdec_cli.audit import run as audit
    from specdec_cli.benchmarking import run as measuring
    from specdec_cli.benchmarking import streaming
    from specdec_cli.runtime.session import Session

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
    found: list[Settings] = []

    def stop(*settings: Settings) -> NoReturn:
        found.extend(settings)
        raise InputError("This is far enough.", "Look at the settings.")

    monkeypatch.setattr(Session, "load", lambda settings, report: stop(settings))
    monkeypatch.setattr(audit, "run", lambda plan, report: stop(plan.settings))
    monkeypatch.setattr(measuring, "Bench", lambda wanted, *_: stop(*(each.settings for each in wanted)))
    monkeypatch.setattr(streaming, "load_for", lambda wanted, _: stop(*(each.settings for each in wanted)))
    return found


@pytest.mark.parametrize(
    ("command", "setting"),
    [pytest.param(each, name, id=f"{each}-{name}") for each in BASES for name in taken(each)],
)
def test_a_setting_that_is_given_is_what_is_loaded(
    specdec: Program, loaded: list[Settings], command: str, setting: str
) -> None:
    sample = sample_of(command, setting)
    flag = f"--{setting.replace('_', '-')}"
    written = [flag] if sample.written is None else [f"{flag}={sample.written}"]
    written = ["--no-feedback"] if setting == "feedback" else written
    outcome = specdec(*command.split(), *BASES[command], *sample.beside, *written)
    assert (outcome.code, "This is far enough." in outcome.err) == (2, True), outcome.err
    assert getattr(loaded[-1], setting) == sample.read != getattr(Settings(), setting)


@pytest.mark.parametrize("setting", taken("replay"))
def test_a_setting_that_is_given_is_what_is_replayed(
    specdec: Program, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    from specdec_cli.benchmarking import replays
    from specdec_cli.tracing import file

    found: dict[str, Settings] = {}

    def compared(trace: object, wanted: Callable[[Settings], dict[str, Settings]], *_: object) -> list[Any]:
        found.update(wanted(Settings(draft=draft, temperature=0.5, seed=3)))
        return []

    monkeypatch.setattr(file, "read_trace", lambda path: SimpleNamespace(top=1))
    monkeypatch.setattr(replays, "compare_on", compared)
    sample = SAMPLES[setting]
    method = sample.beside[1] if sample.beside else "specexec"
    draft = "ngram" if setting == "ngram_size" else "layers:1"
    flag = f"--{setting.replace('_', '-')}={sample.written}"
    assert specdec("replay", "trace.jsonl", "--methods", method, flag, "--json").code == 0
    [settings] = found.values()
    assert getattr(settings, setting) == sample.read
    assert (settings.temperature, settings.seed) == (0.5, 3)  # of the trace
