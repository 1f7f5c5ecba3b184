"""Where a figure was measured: a fingerprint to keep beside it."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch


def fingerprint() -> dict[str, str | int]:
    """Processor, accelerator, memory and versions; nothing that names a person or a host."""
    known: dict[str, str | int] = {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "specdec": _own_version(),
    }
    memory = _memory_bytes()
    if memory:
        known["memory_bytes"] = memory
    if torch.cuda.is_available():
        known["accelerator"] = torch.cuda.get_device_name()
    return known


def _own_version() -> str:
    try:
        return version("specdec-cli")
    except PackageNotFoundError:  # a checkout on PYTHONPATH
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def reset_peak_memory(device: torch.device) -> None:
    """Let the peak of a GPU begin anew; that of a process cannot."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int:
    """Greatest use in bytes: of a GPU since it was reset, of the process since it began for the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # not on every system

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
