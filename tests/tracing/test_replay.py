"""A replay finds the recorded trees and figures again, without the models."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from dying import full_after

from specdec_cli.benchmarking.replays import compare_on
from specdec_cli.errors import InputError, ResourceError
from specdec_cli.registry.methods import METHODS
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings
from specdec_cli.settings.single import AUTO
from specdec_cli.tracing.file import Trace, TracedRun, TraceFile, read_trace
from specdec_cli.tracing.record import recorded, require_traceable
from specdec_cli.tracing.replay import replay, replay_recorded

PROMPT = "the cat and the dog and the cat and the"
ALL = 10_000  # nothing is truncated
CASES = [
    (name, verify) for name, method in METHODS.items() for verify in method.verify if not method.is_ensemble
][1:]


def write(session: Session, path: Path, settings: Settings, top: int) -> Trace:
    with TraceFile(path, top) as file:
        prompt = tuple(session.encode(PROMPT))
        list(recorded(session, TracedRun(settings.method, "a", "", settings, prompt), file))
    return read_trace(path)


def of(settings: Settings, method: str, verify: str = "token") -> Settings:
    settings = replace(settings, method=method, verify=verify, max_tokens=6)
    return replace(settings, draft=None) if method == "ngram" else settings


@pytest.mark.parametrize(
    ("method", "verify", "temperature"),
    [(*case, 0.7) for case in CASES] + [(name, "token", 0.0) for name in ("sps", "specexec", "rrsw")],
)
def test_the_recorded_method_on_a_whole_trace_makes_the_recorded_trees(
    session: Session, settings: Settings, tmp_path: Path, method: str, verify: str, temperature: float
) -> None:
    settings = replace(of(settings, method, verify), temperature=temperature)
    trace = write(session, tmp_path / "t.jsonl", settings, ALL)
    (run,) = trace.runs
    assert [token for step in run.steps for token in step.emitted] == [
        token for step in session.steps(run.prompt, settings) for token in step.tokens
    ]
    wanted = sum(step.expected for step in run.steps)
    again = replay(run, settings, trace.vocab_size)
    assert wanted > 0 or method == "ngram"
    assert again.unknown == 0
    assert again.drafted == sum(len(step.tokens) for step in run.steps)
    assert again.expected == pytest.approx(wanted, rel=2e-3)
    recorded_again = replay_recorded(run, trace.vocab_size)
    assert recorded_again.expected == pytest.approx(wanted, rel=1e-3)
    assert recorded_again.tokens_per_pass == pytest.approx(1 + wanted / len(run.steps), rel=1e-3)


@pytest.mark.parametrize(("method", "verify"), [("sps", "token"), ("sps", "block"), ("specexec", "token")])
def test_copied_guesses_are_replayed_as_they_were_made(
    session: Session, settings: Settings, tmp_path: Path, method: str, verify: str
) -> None:
    """The draft was not asked at those steps, so they need nothing of it, and the others do."""
    settings = replace(of(settings, method, verify), draft=f"ngram+{settings.draft}", ngram_size=1)
    settings = replace(settings, max_tokens=12)
    trace = write(session, tmp_path / "t.jsonl", settings, ALL)
    (run,) = trace.runs
    asked = {any(row.draft for row in step.rows) for step in run.steps if step.tokens}
    assert asked == {True, False}
    again = replay(run, settings, trace.vocab_size)
    assert again.unknown == 0
    assert again.drafted == sum(len(step.tokens) for step in run.steps)
    assert again.expected == pytest.approx(sum(step.expected for step in run.steps), rel=2e-3)


@pytest.mark.parametrize(
    ("method", "verify"), [("specexec", "token"), ("ngram", "token"), ("sps", "token"), ("topk", "token")]
)
def test_truncation_changes_nothing_for_single_guesses_and_the_targets_own_samples(
    session: Session, settings: Settings, tmp_path: Path, method: str, verify: str
) -> None:
    trace = write(session, tmp_path / "t.jsonl", of(settings, method, verify), 2)
    (run,) = trace.runs
    assert any(row.rest for step in run.steps for row in step.rows)
    wanted = sum(step.expected for step in run.steps)
    assert replay_recorded(run, trace.vocab_size).expected == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(
    ("method", "verify"), [("rrsw", "token"), ("spechub", "traversal"), ("sps", "block"), ("kseq", "token")]
)
def test_truncation_changes_the_others_by_no_more_than_the_rest(
    session: Session, settings: Settings, tmp_path: Path, method: str, verify: str
) -> None:
    trace = write(session, tmp_path / "t.jsonl", of(settings, method, verify), 12)
    (run,) = trace.runs
    rest = sum(sum(mass for _, mass, _ in row.rest) for step in run.steps for row in step.rows)
    wanted = sum(step.expected for step in run.steps)
    assert abs(replay_recorded(run, trace.vocab_size).expected - wanted) <= rest + 1e-4


def test_a_trace_that_was_tampered_with_gives_other_figures(
    session: Session, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    write(session, path, of(settings, "rrsw"), ALL)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        for row in line.get("step", {}).get("rows", ()):
            row["target"] = row["target"][::-1]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    (run,) = read_trace(path).runs
    wanted = sum(step.expected for step in run.steps)
    assert replay_recorded(run, read_trace(path).vocab_size).expected != pytest.approx(wanted, rel=0.01)


def test_other_methods_on_a_wide_trace_know_most_of_their_guesses(
    session: Session, settings: Settings, tmp_path: Path
) -> None:
    wide = replace(of(settings, "specexec"), max_budget=48, max_branch_width=12, max_n_beams=16)
    trace = write(session, tmp_path / "t.jsonl.gz", wide, 32)
    others = {name: of(settings, name) for name in ("sps", "topk", "ngram", "spechub")}
    rows = compare_on(trace, lambda _: others, draws=2, report=lambda _: None)
    assert [row.method for row in rows] == ["", *others]
    assert rows[0].with_models == pytest.approx(rows[0].tokens_per_pass, abs=1e-4)
    for row in rows[1:]:
        assert 0.3 < row.known <= 1 or row.method == "ngram"  # which copies what no draft would say
        assert 1 <= row.tokens_per_pass < 4
    assert rows[2].tokens_per_pass <= rows[0].tokens_per_pass + 1e-6  # a smaller tree of likeliest tokens


def test_a_method_that_needs_a_draft_model_is_refused_on_a_trace_without(
    session: Session, settings: Settings, tmp_path: Path
) -> None:
    trace = write(session, tmp_path / "t.jsonl", of(settings, "ngram"), 8)
    with pytest.raises(InputError, match="no draft model's distributions"):
        replay(trace.runs[0], of(settings, "sps"), trace.vocab_size)


def test_coupled_guesses_are_not_traced(settings: Settings) -> None:
    with pytest.raises(InputError, match="coupled"):
        require_traceable(replace(settings, coupled=True))


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_a_trace_whose_writer_was_killed_keeps_its_whole_steps(
    session: Session, settings: Settings, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"t.{ending}"
    whole = write(session, path, of(settings, "sps"), 4)
    if ending == "jsonl":
        path.write_text(path.read_text()[:-40])
        assert read_trace(path).runs[0].steps == whole.runs[0].steps[:-1]
    else:
        path.write_bytes(path.read_bytes()[:-12])
        steps = read_trace(path).runs[0].steps
        assert steps == whole.runs[0].steps[: len(steps)]
        assert steps


def test_lines_of_a_trace_that_stand_there_twice_count_once(
    session: Session, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    whole = write(session, path, of(settings, "sps"), 4)
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([head, *lines[:2], "", lines[1], *lines[2:], *lines]) + "\n")
    assert read_trace(path).runs == whole.runs
    path.write_text("\n".join([head, *lines, lines[1]]) + "\n")
    with pytest.raises(InputError, match=f"line {len(lines) + 2}: a step that is not after the one before"):
        read_trace(path)
    path.write_text("\n".join([head, *lines, *lines[:-1]]) + "\n")
    with pytest.raises(InputError, match="two runs"):
        read_trace(path)


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
@pytest.mark.parametrize("room", [0, 700])
def test_a_trace_on_a_full_disk_keeps_whole_steps(
    session: Session,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
    room: int,
) -> None:
    whole = write(session, tmp_path / f"whole.{ending}", of(settings, "sps"), 4)
    path = tmp_path / f"t.{ending}"
    size = (tmp_path / f"whole.{ending}").stat().st_size
    with monkeypatch.context() as patched:
        full_after(patched, size - 40 - room)
        with pytest.raises(ResourceError, match="could not be written"):
            write(session, path, of(settings, "sps"), 4)
    steps = read_trace(path).runs[0].steps
    assert 0 < len(steps) < len(whole.runs[0].steps)
    assert steps == whole.runs[0].steps[: len(steps)]


def test_what_is_no_trace_is_named_with_its_line(
    session: Session, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    write(session, path, of(settings, "sps"), 4)
    lines = path.read_text().splitlines()
    broken = tmp_path / "broken.jsonl"
    cases = {
        "line 1: not a trace": ["[]", *lines],
        "line 1: not a trace of version": [json.dumps({**json.loads(lines[0]), "schema_version": 9})],
        "line 3: not valid JSON": [*lines[:2], "{what", *lines[2:]],
        "line 3: step: tokens is missing": [*lines[:2], '{"step": {"position": 1}}', *lines[2:]],
        "line 2: not a line of a trace": [lines[0], lines[2]],
        "has no steps": lines[:2],
        "line 1: not a trace.": [""],
    }
    for problem, content in cases.items():
        broken.write_text("\n".join(content) + "\n")
        with pytest.raises(InputError) as refused:
            read_trace(broken)
        assert problem in refused.value.problem
    with pytest.raises(InputError, match="no file"):
        read_trace(tmp_path / "nowhere.jsonl")
    (tmp_path / "no.gz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        read_trace(tmp_path / "no.gz")
    (tmp_path / "yes.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert read_trace(tmp_path / "yes.gz").runs


def test_a_trace_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("mine")
    with pytest.raises(InputError, match="already"):
        TraceFile(tmp_path / "t.jsonl")
    with pytest.raises(InputError, match="cannot be written"):
        TraceFile(tmp_path / "nowhere" / "t.jsonl")


def test_a_budget_from_the_hardware_is_refused(session: Session, settings: Settings, tmp_path: Path) -> None:
    trace = write(session, tmp_path / "t.jsonl", of(settings, "specexec"), 2)
    with pytest.raises(InputError, match="a trace holds no passes"):
        replay(trace.runs[0], replace(of(settings, "specexec"), max_budget=AUTO), trace.vocab_size)


def test_a_guess_that_its_draft_could_not_have_drawn_is_damage(
    session: Session, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    cold = replace(of(settings, "sps"), temperature=0.0, gammas=(3,))
    write(session, path, cold, 4)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if "step" in line and len(line["step"]["tokens"]) > 1:
            line["step"]["tokens"][0] = (line["step"]["tokens"][0] + 1) % 90
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    trace = read_trace(path)
    with pytest.raises(InputError, match="could not have drawn"):
        replay_recorded(trace.runs[0], trace.vocab_size)
