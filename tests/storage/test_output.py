"""Outputs: claimed by one run, whole or as they were, and nowhere but where the user said."""

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest
from dying import full_after
from one_record import RECORD

from specdec_cli.benchmarking.records import Log, read_log
from specdec_cli.errors import InputError, ResourceError, SpecdecError
from specdec_cli.evaluation.batch import NAMES, ResultsFile
from specdec_cli.evaluation.datasets import Item
from specdec_cli.storage.atomic import companion, write_whole
from specdec_cli.storage.failures import FULL, writing
from specdec_cli.storage.locks import Lock, waited_for
from specdec_cli.storage.output import Output, claimed_folder

HOLD = """
import sys, time
from pathlib import Path
from specdec_cli.storage.output import Output
with Output(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def test_two_runs_cannot_write_one_file_and_a_lock_leaves_nothing(tmp_path):
    path = tmp_path / "x.jsonl"
    with Output(path), pytest.raises(InputError, match="being written by another run"), Output(path):
        pass
    with Output(path), Output(tmp_path / "y.jsonl"):
        assert len(names(tmp_path)) == 2
    assert names(tmp_path) == []


def test_two_names_of_one_file_are_one_file(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "x.jsonl")
    with Output(tmp_path / "x.jsonl"), pytest.raises(InputError), Output(tmp_path / "link"):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_killed_process_is_free(tmp_path, number):
    path = tmp_path / "x.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another run"), Output(path):
            pass
        holder.send_signal(number)
        holder.wait()
    with Output(path) as output:
        output.append(b"{}\n")
    assert names(tmp_path) == ["x.jsonl"]


def test_who_waits_for_a_lock_gets_it_even_though_its_file_goes(tmp_path):
    lock, order = Lock(tmp_path / "lock"), []

    def wait():
        second = waited_for(tmp_path / "lock", lambda: order.append("waits"))
        order.append("held")
        second.release()

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not order:
        time.sleep(0.01)
    order.append("released")
    lock.release()
    waiting.join(10)
    assert order == ["waits", "released", "held"]
    assert names(tmp_path) == []


def test_a_link_where_the_lock_would_be_is_not_followed(tmp_path):
    path = tmp_path / "x.jsonl"
    (tmp_path / f"{companion(path)}lock").symlink_to(tmp_path / "victim")
    with pytest.raises(InputError, match="cannot be written"), Output(path):
        pass
    assert not (tmp_path / "victim").exists()
    with pytest.raises(OSError, match="symbolic"):
        Lock(tmp_path / f"{companion(path)}lock")


def test_an_output_that_is_a_link_is_written_through(tmp_path):
    (tmp_path / "disk").mkdir()
    real, link = tmp_path / "disk" / "real.json", tmp_path / "link.json"
    link.symlink_to(real)
    for content in ("new", "newer"):
        Output(link).replace(content)
        assert link.is_symlink()
        assert real.read_text() == content
    Output(link).append(b"!")
    assert real.read_text() == "newer!"
    assert names(tmp_path / "disk") == ["real.json"]


def test_a_replaced_file_keeps_its_rights_and_a_new_one_has_those_of_the_user(tmp_path):
    path = tmp_path / "x"
    before = os.umask(0o027)
    try:
        write_whole(path, "a")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        write_whole(path, "b")
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(before)


def bad_places(folder):
    (folder / "file").write_text("x")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder / "loop")
    return {
        "nowhere/x.json": "there is no folder",
        "file/x.json": "is no folder",
        "folder": "it is a folder",
        "pipe": "no regular file",
        "/dev/null": "no regular file",
        "/dev/full": "no regular file",
        "loop": "symbolic links",
        "x" * 300: "name too long",
        "a\0b": "no name of a file",
        "/proc/x.json": "cannot be written",
    }


@pytest.mark.parametrize("place", range(10))
def test_what_cannot_be_written_is_refused_before_the_run(tmp_path, place):
    name, problem = list(bad_places(tmp_path).items())[place]
    with pytest.raises(InputError) as caught, Output(tmp_path / name, "--output"):
        pass
    assert problem in caught.value.problem.lower()
    assert "--output" in caught.value.problem


@pytest.mark.parametrize("kind", [PermissionError(errno.EACCES, ""), OSError(errno.EROFS, "")])
def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path, monkeypatch, kind):
    def refuse(*_):
        raise kind

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match="cannot be written"), Output(tmp_path / "x"):
        pass
    with pytest.raises(InputError, match="cannot be written"), claimed_folder(tmp_path / "new" / "f", "It"):
        pass


def test_a_claimed_folder_is_made_swept_and_taken_away_if_nothing_came_of_it(tmp_path):
    first, second = (claimed_folder(tmp_path / "a" / "work", "--output a") for _ in range(2))
    with first, pytest.raises(InputError, match="--output a is being written"), second:
        pass
    assert names(tmp_path) == []
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".draft.xyz.part").mkdir()
    (tmp_path / "a" / ".x.part").write_text("torn")
    (tmp_path / "a" / "kept").write_text("")
    with claimed_folder(tmp_path / "a", "It"):
        pass
    assert names(tmp_path / "a") == ["kept"]


@pytest.mark.parametrize("number", sorted(FULL))
@pytest.mark.parametrize("room", [0, 1, 50])
def test_a_full_disk_leaves_a_log_as_it_was(tmp_path, monkeypatch, number, room):
    path = tmp_path / "x.jsonl"
    with Log(path) as log:
        log.add(RECORD, {}, {})
        before = path.read_bytes()
        with monkeypatch.context() as patched:
            full_after(patched, room, number)
            with pytest.raises(ResourceError, match="could not be written") as caught:
                log.add(RECORD, {}, {})
        assert path.read_bytes() == before
        assert caught.value.exit_code == 4
        assert "kept" in caught.value.hint
        assert log.records == [RECORD] == read_log(path)


@pytest.mark.parametrize("name", ["r.json", "r.jsonl"])
@pytest.mark.parametrize("room", [0, 1, 50])
def test_a_full_disk_leaves_results_as_they_were_and_valid(tmp_path, monkeypatch, name, room):
    path = tmp_path / name
    with ResultsFile(path, NAMES["plain"], {}) as results:
        results.add(Item("a", "?"), {"prediction": "x"})
        before = path.read_bytes()
        with monkeypatch.context() as patched:
            full_after(patched, room)
            with pytest.raises(ResourceError) as caught:
                results.add(Item("b", "?"), {"prediction": "y"})
        assert path.read_bytes() == before
        assert "kept" in caught.value.hint
        results.add(Item("b", "?"), {"prediction": "y"})
    if name == "r.json":
        assert [each["id"] for each in json.loads(path.read_text())] == ["a", "b"]


def test_a_full_disk_leaves_a_file_that_is_replaced_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "tree.json"
    path.write_text("old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError):
        Output(path).replace("new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["tree.json"]


def test_other_failures_to_write_are_no_matter_of_room():
    with pytest.raises(SpecdecError) as caught, writing("The file"):
        raise OSError(errno.EIO, "x")
    assert (type(caught.value), caught.value.exit_code) == (SpecdecError, 1)
