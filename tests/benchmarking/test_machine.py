"""The fingerprint says what a figure depends on, and nothing of whose machine it was."""

import getpass
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch
import transformers

from specdec_cli import __version__
from specdec_cli.benchmarking.machine import fingerprint, peak_memory


def test_it_names_what_a_figure_depends_on():
    known = fingerprint()
    assert known["processor"]
    assert known["cores"] == os.cpu_count()
    assert known["threads"] == torch.get_num_threads()
    assert known["python"] == platform.python_version()
    assert known["torch"] == torch.__version__
    assert known["transformers"] == transformers.__version__
    assert known["specdec"] == __version__
    assert ("accelerator" in known) == torch.cuda.is_available()


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="the oracle is Linux's /proc/meminfo")
def test_memory_is_what_the_system_says():
    (line,) = (each for each in Path("/proc/meminfo").read_text().splitlines() if each.startswith("MemTotal"))
    assert fingerprint()["memory_bytes"] == int(line.split()[1]) * 1024


def test_it_is_json_and_names_neither_person_nor_host_nor_folder():
    values = list(json.loads(json.dumps(fingerprint())).values())
    for private in (platform.node(), getpass.getuser(), str(Path.home())):
        assert private not in values
    assert not any("/home" in str(value) for value in values)


def test_a_system_without_procfs_still_gets_one(monkeypatch):
    def refuse(*_):
        raise OSError

    read = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, *_, **how: read(path, **how) if "proc" not in path.parts else refuse()
    )
    monkeypatch.setattr(os, "sysconf", refuse)
    known = fingerprint()
    assert known["processor"]
    assert "memory_bytes" not in known


def test_a_checkout_that_was_never_installed_gets_one(monkeypatch):
    def absent(name):
        if name == "specdec-cli":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("specdec_cli.benchmarking.machine.version", absent)
    assert fingerprint()["specdec"] == "not installed"


def test_memory_is_measured_where_the_target_runs(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7)
    assert peak_memory(torch.device("cuda")) == 7
    assert peak_memory(torch.device("cpu")) > 1 << 20
