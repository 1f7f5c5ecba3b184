"""The kernels of a Llama-like layer, compiled once and kept in the cache folder.

They hold no weights: a file serves every model of the same shape, and a draft cut from a target with it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, export

from specdec_cli.errors import ResourceError, SpecdecError
from specdec_cli.models.forward import kernels as source
from specdec_cli.models.forward.attention_rule import value_columns
from specdec_cli.models.forward.kernels import AddNorm, Gate, Kernels, Rotate, Scores, Shape, Weigh
from specdec_cli.models.hardware import dtype_name
from specdec_cli.models.hf.quiet import first_line
from specdec_cli.models.hub.cache import LARGER_CACHE, alone, cache_root, put_folder, workspace
from specdec_cli.models.hub.manifest import is_whole, write_manifest
from specdec_cli.processes.leash import run_leashed
from specdec_cli.progress import Report
from specdec_cli.resources import PACKAGE
from specdec_cli.storage.failures import FULL

EXAMPLE_ROWS, EXAMPLE_CAPACITY = 5, 300  # anything but 0 and 1, which would be taken for fixed sizes
LARGEST = 1 << 20
HINT = "Leave out --compile; texts follow the same law."


def compile_kernels(shape: Shape, dtype: torch.dtype, report: Report) -> Path:
    """Compile the kernels for models of this shape, a minute long, or find them: the folder of the files.

    Raises:
        SpecdecError: there is no C++ compiler, or it fails.
        ResourceError: the disk is full.
    """
    folder = cache_root() / "compiled" / _key(shape, dtype)
    if not is_whole(folder, folder.name):
        with alone(folder, report):
            if not is_whole(folder, folder.name):
                report("Compiling the forward pass (about a minute, once)")
                _compile(shape, dtype, folder)
    return folder


def _key(shape: Shape, dtype: torch.dtype) -> str:
    """Differs wherever a file compiled for one would be wrong for the other."""
    sources = (inspect.getsource(source), inspect.getsource(sys.modules[__name__]))
    parts = (shape, value_columns(shape.head_size), dtype, torch.__version__, _processor(), *sources)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _processor() -> str:
    """What of the processor a compiler looks at: name and instruction sets."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return str(torch.backends.cpu.get_cpu_capability())
    told = ("model name", "flags", "Features", "CPU part")
    return "".join(sorted({line for line in lines if line.startswith(told)}))


def _compile(shape: Shape, dtype: torch.dtype, folder: Path) -> None:
    if not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++")):
        raise SpecdecError("--compile needs a C++ compiler, and none was found.", f"Install g++. {HINT}")
    with workspace("Compiling") as work:
        built = work / "kernels"
        built.mkdir()
        _write_apart(shape, dtype, built)
        write_manifest(built, folder.name)
        put_folder(built, folder)


def _write_apart(shape: Shape, dtype: torch.dtype, folder: Path) -> None:
    """Have another process compile, so that it ends with this one, and its compilers with it."""
    work = folder.parent
    sizes = json.dumps([asdict(shape), dtype_name(dtype), str(folder)])
    paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "TMPDIR": str(work),  # of the compiler's own files: they go with the workspace
        "TORCHINDUCTOR_CACHE_DIR": str(work / "compiler"),
    }
    done = run_leashed([sys.executable, "-W", "ignore", "-m", __name__, sizes], environment)
    if done.returncode == 0:
        return
    said = f"{done.stdout}\n{done.stderr}"
    if any(os.strerror(number) in said for number in FULL):
        raise ResourceError(f"Compiling filled the disk that holds {cache_root()}.", LARGER_CACHE)
    raise SpecdecError(f"torch could not compile the pass: {_cause(said)}.", HINT)


def _cause(said: str) -> str:
    """The first line of a compiler that names an error, else of what torch says."""
    lines = [line.strip().rstrip(".") for line in said.splitlines() if line.strip()]
    named = [line for line in lines if "error:" in line] or [
        line for line in reversed(lines) if "Error" in line
    ]
    return (named or lines or ["it said nothing"])[0]


def write_kernels(shape: Shape, dtype: torch.dtype, folder: Path) -> None:
    """Compile the kernels into a folder, in this process."""
    for name, module, arguments, sizes in _examples(shape, dtype):
        _compile_kernel(module, arguments, sizes, folder / f"{name}.pt2")


def _compile_kernel(module: nn.Module, arguments: tuple[Any, ...], sizes: Any, path: Path) -> None:
    from torch._inductor import aoti_compile_and_package

    program = export(module, arguments, dynamic_shapes=sizes, strict=True)
    # Threads are counted when a kernel runs, so that --threads holds for a file compiled before.
    aoti_compile_and_package(program, package_path=str(path), inductor_configs={"cpp.dynamic_threads": True})


def _examples(shape: Shape, dtype: torch.dtype) -> Iterator[tuple[str, nn.Module, tuple[Any, ...], Any]]:
    """Each kernel with arguments to trace it by, and which of their sizes vary from pass to pass."""
    rows, any_rows = EXAMPLE_ROWS, {0: Dim("rows", min=1, max=LARGEST)}
    wide = torch.promote_types(dtype, torch.float32)  # what attention is computed in

    def some(*size: int, dtype: torch.dtype = dtype) -> Tensor:
        return torch.randn(size, dtype=dtype)

    def some_scale(size: int) -> Tensor:
        return some(size).float() if shape.wide_scales else some(size)

    stream, scale = (rows, shape.hidden), some_scale(shape.hidden)
    yield "add_norm", AddNorm(shape), (some(*stream), some(*stream), scale), (any_rows, any_rows, {})
    yield "rotate", Rotate(shape), *_rotate_example(shape, some_scale(shape.head_size), some, wide)
    seen, queries = Dim("seen", min=1, max=LARGEST), Dim("queries", min=1, max=LARGEST)
    scores = some(shape.key_heads, rows, EXAMPLE_CAPACITY, dtype=wide)
    yield "weigh", Weigh(), (scores, scores[0].clone()), ({1: queries, 2: seen}, {0: queries, 1: seen})
    yield "gate", Gate(shape), (some(rows, 2 * shape.inner),), (any_rows,)


def _rotate_example(
    shape: Shape, scale: Tensor, some: Callable[..., Tensor], wide: torch.dtype
) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
    """Arguments for `Rotate`, and which of their sizes vary."""
    rows, any_rows, room = (
        EXAMPLE_ROWS,
        {0: Dim("rows", min=1, max=LARGEST)},
        {1: Dim("capacity", min=2, max=LARGEST)},
    )
    columns = value_columns(shape.head_size)
    arguments = (
        some(rows, (shape.heads + 2 * shape.key_heads) * shape.head_size),
        some(rows, 1, shape.head_size, dtype=wide),
        some(rows, 1, shape.head_size, dtype=wide),
        torch.arange(rows),
        some(2 * shape.key_heads, EXAMPLE_CAPACITY, columns, dtype=wide)[..., : shape.head_size],
        scale,
        scale.clone(),
        torch.arange(rows + 2),
    )
    chosen = {0: Dim("chosen", min=1, max=LARGEST)}
    return arguments, (any_rows, any_rows, any_rows, any_rows, room, {}, {}, chosen)


def load_kernels(folder: Path, shape: Shape, dtype: torch.dtype) -> Kernels:
    """The kernels that `compile_kernels` put there for that shape and number format, under a second.

    Raises:
        SpecdecError: a file is damaged.
    """
    from torch._inductor import aoti_load_package

    try:
        # The loader's own `run` spares each of a pass's hundred calls a walk over nested arguments.
        run = {file.stem: aoti_load_package(str(file)).loader.run for file in sorted(folder.glob("*.pt2"))}
        add_norm, rotate, score, gate = (run[name] for name in ("add_norm", "rotate", "weigh", "gate"))
    except Exception as error:  # a damaged file shows in many ways
        hint = f"Delete {folder} and try again."
        raise SpecdecError(f"The compiled pass cannot be loaded: {first_line(error)}.", hint) from error

    def weigh(scores: Scores) -> None:
        assert scores.mask is not None, "compiled kernels have whole masks"
        score([scores.all, scores.mask])

    return Kernels(
        lambda *arguments: tuple(add_norm(list(arguments))),
        _single(rotate),
        weigh,
        _single(gate),
        whole_masks=True,
    )


def _single(run: Callable[[list[Tensor]], list[Tensor]]) -> Callable[..., Tensor]:
    """A compiled kernel that gives one tensor."""
    return lambda *arguments: run(list(arguments))[0]


if __name__ == "__main__":
    _shape, _dtype, _folder = json.loads(sys.argv[1])
    write_kernels(Shape(**_shape), getattr(torch, _dtype), Path(_folder))
