"""How many threads a machine is worth, and which number format."""

import os

import pytest
import torch

from specdec_cli.models import hardware


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of so many logical processors, `each` to a core, and a limit on processor time."""

    def make(processors, each, limit=None, allowed=None):
        for cpu in range(processors):
            topology = tmp_path / f"cpu{cpu}" / "topology"
            topology.mkdir(parents=True)
            first = cpu - cpu % each
            (topology / "thread_siblings_list").write_text(f"{first}-{first + each - 1}\n")
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setattr(hardware, "SYSTEM_CPUS", tmp_path)
        monkeypatch.setattr(hardware, "CONTAINER", tmp_path)
        if limit is not None:
            (tmp_path / "cpu.max").write_text(limit)
        usable = set(range(processors)) if allowed is None else allowed
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: usable, raising=False)

    return make


@pytest.mark.parametrize(
    ("about", "threads"),
    [
        ({"processors": 2, "each": 1}, 2),
        ({"processors": 16, "each": 2}, 8),
        ({"processors": 16, "each": 2, "limit": "max 100000"}, 8),
        ({"processors": 16, "each": 2, "limit": "300000 100000"}, 3),
        ({"processors": 16, "each": 2, "limit": "50000 100000"}, 1),
        ({"processors": 16, "each": 2, "limit": "nonsense"}, 8),
        ({"processors": 16, "each": 2, "allowed": {0, 1, 2}}, 2),
    ],
)
def test_one_thread_for_each_physical_core_that_may_be_used(machine, about, threads):
    machine(**about)
    assert hardware.default_threads() == threads


def test_the_usual_variable_comes_first(machine, monkeypatch):
    machine(processors=4, each=1)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert hardware.default_threads() == 3


def test_a_system_that_says_nothing_of_cores_counts_processors(machine, monkeypatch, tmp_path):
    machine(processors=4, each=2)
    monkeypatch.setattr(hardware, "SYSTEM_CPUS", tmp_path / "nowhere")
    assert hardware.default_threads() == 4


@pytest.mark.parametrize(("limit", "used", "left"), [("1000", "1000", 0), ("1000", "400", 600)])
def test_a_container_that_is_full_has_no_memory_left(monkeypatch, tmp_path, limit, used, left):
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text(used)
    (tmp_path / "memory.stat").write_text("file 0\n")
    monkeypatch.setattr(hardware, "CONTAINER", tmp_path)
    assert hardware.free_memory(torch.device("cpu")) == left


@pytest.mark.parametrize(
    ("capabilities", "flags", "expected"),
    [
        ({"avx512_bf16": True}, set(), torch.bfloat16),
        ({"amx_bf16": True}, set(), torch.bfloat16),
        ({}, {"bf16"}, torch.bfloat16),
        ({"avx512_f": True, "avx512_bf16": False}, {"avx512f"}, torch.float32),
    ],
)
def test_auto_is_bfloat16_only_where_the_processor_computes_it(monkeypatch, capabilities, flags, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(hardware, "_cpu_flags", lambda: frozenset(flags))
    assert hardware.resolve_dtype("auto", torch.device("cpu")) == expected
