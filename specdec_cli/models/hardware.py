"""Which device and number format a model gets, and whether it will fit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from specdec_cli.errors import InputError, ResourceError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SYSTEM_CPUS = Path("/sys/devices/system/cpu")
CONTAINER = Path("/sys/fs/cgroup")  # limits of the container, if this process runs in one
CPU_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")  # AVX-512, AMX, and Arm's name for its own


def resolve_device(name: str) -> torch.device:
    """The device of that name; "auto" is the first CUDA GPU if there is one, else the CPU.

    Raises:
        InputError: no such device, or not in this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise InputError(
            f"{name} is not a device that models can run on.", "Choose auto, cpu, cuda or cuda:N."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise InputError(
            f"{name} is not in this machine: torch sees {found} CUDA GPUs.", "Choose --device auto."
        )
    return device


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number format of that name; "auto" is bfloat16 where the hardware computes it, else float32.

    Emulated bfloat16 is slower than float32, and less precise.

    Raises:
        InputError: no such format.
    """
    if name == "auto":
        return torch.bfloat16 if computes_bfloat16(device) else torch.float32
    if name not in DTYPES:
        raise InputError(f"{name} is not a number format.", f"Choose auto, {', '.join(DTYPES)}.")
    return DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """How settings and records call a number format."""
    return str(dtype).removeprefix("torch.")


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 numbers itself."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in CPU_BFLOAT16) or not _cpu_flags().isdisjoint(CPU_BFLOAT16)


def default_threads() -> int:
    """One thread for each physical core that this process may use; $OMP_NUM_THREADS comes first.

    A second thread on a core waits for the same memory, and more threads than the container's share of time
    stall each other.
    """
    if os.environ.get("OMP_NUM_THREADS", "").isdecimal():
        return max(1, int(os.environ["OMP_NUM_THREADS"]))
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if allowed is None:
        return torch.get_num_threads()
    return max(1, min(len({_core_of(cpu) for cpu in allowed}), _time_share() or len(allowed)))


def _core_of(cpu: int) -> str:
    """What names the physical core of a logical one: the list of all logical ones on it."""
    path = SYSTEM_CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list"
    try:
        return path.read_text().strip()
    except OSError:
        return str(cpu)


def _time_share() -> int | None:
    """Whole processors that a container's limit on processor time comes to, if there is one."""
    try:
        quota, period = (CONTAINER / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, int(quota) // int(period))


def require_memory(needed: int, device: torch.device, purpose: str) -> None:
    """Check that the device has room for `needed` bytes, where its free memory can be known.

    Raises:
        ResourceError: it has less.
    """
    free = free_memory(device)
    if free is not None and free < needed:
        problem = f"{purpose} needs {needed / 1e9:,.1f} GB of memory; {device} has {free / 1e9:,.1f} GB free."
        raise ResourceError(problem, "Choose a smaller model, or --dtype bfloat16.")


def free_memory(device: torch.device) -> int | None:
    """Bytes that can be allocated on the device, or None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
    left = _left_in_container()
    known = [each for each in (free, left) if each is not None]
    return min(known, default=None)


def _left_in_container() -> int | None:
    """Bytes up to a container's memory limit, if there is one; what only caches files counts as free."""
    try:
        limit = int((CONTAINER / "memory.max").read_text())
        used = int((CONTAINER / "memory.current").read_text())
        kinds = (CONTAINER / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # no container, or "max"
        return None
    cached = next((int(line.split()[1]) for line in kinds if line.startswith("file ")), 0)
    return max(0, limit - used + cached)


def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    lines = (line for line in text.splitlines() if line.lower().startswith(("flags", "features")))
    return frozenset(next(lines, "").split())
