"""A kill at every file operation of every writer: started again, it ends as one that was never killed."""

import itertools
import json
from dataclasses import replace

import pytest
from dying import Dying, killed_at
from one_record import RECORD

from specdec_cli.benchmarking.records import Log, read_log
from specdec_cli.evaluation.batch import NAMES, ResultsFile
from specdec_cli.evaluation.datasets import Item
from specdec_cli.storage.atomic import write_whole
from specdec_cli.storage.output import Output, claimed_folder

RUNS = [replace(RECORD, item=item, text_hash=item * 3) for item in ("a", "b é", "c")]
ITEMS = [Item(name, f"{name}?") for name in ("a", "b", "三")]


def write_log(folder):
    with Log(folder / "logs" / "x.jsonl") as log:
        for run in RUNS:
            if not log.has(run.configuration, run.item):
                log.add(run, {"gamma": 4}, {"cores": 2})


def repair_log(folder):
    """What `write_log` does on a log that an earlier kill tore; the first two records are whole."""
    path = folder / "logs" / "x.jsonl"
    if not path.exists():
        write_log(folder)
        path.write_bytes(path.read_bytes()[:-40])
        for each in folder.glob("**/.*"):
            each.unlink()
    write_log(folder)


def end_last_line(folder):
    """The same on a log that lacks the end of its last line."""
    path = folder / "logs" / "x.jsonl"
    if not path.exists():
        write_log(folder)
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]).rstrip(b"\n"))
    write_log(folder)


def write_results(folder, name):
    with ResultsFile(folder / name, NAMES["plain"], {"models": "x"}) as results:
        for item in ITEMS:
            if not results.has(item):
                results.add(item, {"prediction": item.prompt.upper()})


def write_tree(folder):
    with Output(folder / "tree.json", "--output") as output:
        output.replace(json.dumps({"parents": list(range(1000))}))


def write_draft(folder):
    with claimed_folder(folder / "draft" / "work", "--output"):
        for number in range(2):
            write_whole(folder / "draft" / "work" / f"{number}.safetensors", bytes(5000))


WRITERS = {
    "a log": write_log,
    "a results array": lambda folder: write_results(folder, "r.json"),
    "results a line": lambda folder: write_results(folder, "r.jsonl"),
    "a tree": write_tree,
    "a folder": write_draft,
}


def files(folder):
    """Every file in a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", WRITERS)
def test_a_kill_at_any_file_operation_loses_and_doubles_nothing(name, tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    whole.mkdir()
    with monkeypatch.context() as patched:
        counted = Dying(patched)
        WRITERS[name](whole)
    assert counted.count > 5
    for at in range(counted.count):
        killed = tmp_path / str(at)
        killed.mkdir()
        with killed_at(monkeypatch, at) as run:
            WRITERS[name](killed)
        assert not run.ended
        WRITERS[name](killed)
        assert files(killed) == files(whole), f"killed at operation {at}"


@pytest.mark.parametrize("name", ["r.json", "r.jsonl"])
def test_an_answer_that_was_given_is_in_the_file_whenever_the_kill_comes(name, tmp_path, monkeypatch):
    for at in itertools.count():
        folder = tmp_path / str(at)
        folder.mkdir()
        known = []
        with killed_at(monkeypatch, at) as run, ResultsFile(folder / name, NAMES["plain"], {}) as results:
            for item in ITEMS:
                results.add(item, {"prediction": "x"})
                known.append(item.id)
        if run.ended:
            break
        with ResultsFile(folder / name, NAMES["plain"], {}) as results:
            found = [record["id"] for record in results.records]
        assert found in (known, [*known, *[item.id for item in ITEMS[len(known) :][:1]]])
    assert at > 10


@pytest.mark.parametrize("repair", [repair_log, end_last_line])
def test_a_kill_while_a_log_is_repaired_loses_no_record(repair, tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    whole.mkdir()
    repair(whole)
    for at in itertools.count():
        killed = tmp_path / str(at)
        (killed / "logs").mkdir(parents=True)
        content = (whole / "logs" / "x.jsonl").read_bytes()
        two = b"".join(content.splitlines(keepends=True)[:2])
        torn = two.rstrip(b"\n") if repair is end_last_line else content[:-40]
        (killed / "logs" / "x.jsonl").write_bytes(torn)
        with killed_at(monkeypatch, at) as run:
            write_log(killed)
        if run.ended:
            break
        assert read_log(killed / "logs" / "x.jsonl")[:2] == RUNS[:2]
        write_log(killed)
        assert files(killed) == files(whole), f"killed at operation {at}"
    assert at > 5


def test_a_file_that_is_replaced_is_the_old_or_the_new_one_at_every_moment(tmp_path, monkeypatch):
    path = tmp_path / "tree.json"
    for at in itertools.count():
        path.write_text("old")
        with killed_at(monkeypatch, at) as run:
            Output(path).replace("new")
        if run.ended:
            break
        assert path.read_text() in ("old", "new")
    assert path.read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["tree.json"]
