"""Who may import whom, and what only one room may do."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import specdec_cli

ROOT = Path(specdec_cli.__file__).parent

# From the bottom up: a file imports from layers below its own, and from its own room.
LAYERS = (
    "errors resources registry tree processes redaction",
    "storage sampling progress",
    "settings drafting verification models evaluation",
    "engine",
    "ensemble specem",
    "runtime",
    "api audit",
    "tracing",
    "benchmarking",
    "distillation",
    "reporting",
    "__init__",
    "cli",
    "__main__",
)
# The rooms of `models/`, ordered alike.
MODEL_LAYERS = (
    "hardware hf gguf",
    "reduced_vocab_head",
    "quantization hub",
    "offload",
    "forward",
    "loader",
    "runner self_drafts",
    "eagle",
    "memory_estimate encoder",
)
ONLY_IN = {"typer": "cli", "rich": "reporting", "transformers": "models", "huggingface_hub": "models"}
# Whoever decodes is told how by arguments: what a user asked for ends in `runtime`.
WITHOUT_SETTINGS = {"sampling", "drafting", "verification", "engine", "ensemble", "specem"}
NORMALISERS = {"softmax", "log_softmax", "multinomial", "argmax"}
PRINTERS = {"cli", "reporting"}
HEAVY = {
    *("torch", "transformers", "scipy", "huggingface_hub", "accelerate", "gguf", "tokenizers", "datasets"),
    *("matplotlib", "httpx", "requests", "multiprocessing", "asyncio"),
}
LIGHTER = {"numpy", "safetensors"}


RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms.split()}
MODEL_RANK = {room: rank for rank, rooms in enumerate(MODEL_LAYERS) for room in rooms.split()}


def offences(file: str, source: str) -> list[str]:
    """What a file, by its path in the package without an ending, does and may not."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for module in _imported(node):
            found += _import_offence(file, module)
        if isinstance(node, ast.Call):
            found += _call_offence(file.partition("/")[0], node)
    return found


def _imported(node: ast.AST) -> list[str]:
    """The modules that a statement imports, in full; of `from a import b`, `a.b` where that is a module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level:
        return ["."]
    if isinstance(node, ast.ImportFrom) and node.module:
        return sorted({_module(node.module, alias.name) for alias in node.names})
    return []


def _module(parent: str, name: str) -> str:
    path = ROOT.parent / parent.replace(".", "/")
    inside = parent == "specdec_cli" or (path / name).is_dir() or (path / f"{name}.py").is_file()
    return f"{parent}.{name}" if inside else parent


def _import_offence(file: str, module: str) -> list[str]:
    room = file.partition("/")[0]
    top, _, rest = module.partition(".")
    if not top:
        return ["a relative import"]
    if top != "specdec_cli":
        return [f"{room} imports {top}"] if ONLY_IN.get(top, room) != room else []
    used = rest.partition(".")[0]
    used = used if used in RANK else "__init__"
    if used != room:
        banned = room in WITHOUT_SETTINGS and used in ("settings", "registry")
        return [] if RANK[used] < RANK[room] and not banned else [f"{room} imports {used}"]
    if room != "models":
        return []
    inner, target = (path.split("/")[1] for path in (file, rest.replace(".", "/")) if "/" in path)
    if inner == target or MODEL_RANK[target] < MODEL_RANK[inner]:
        return []
    return [f"models/{inner} imports models/{target}"]


def _call_offence(package: str, call: ast.Call) -> list[str]:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in NORMALISERS and package != "sampling":
        return [f"{package} calls {name}"]
    if isinstance(call.func, ast.Name) and name == "print" and package not in PRINTERS:
        return [f"{package} prints"]
    return []


def _file(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix().removesuffix("/__init__")


SOURCES = [
    pytest.param(path, id=str(path.relative_to(ROOT)))
    for path in sorted(ROOT.rglob("*.py"))
    if not path.is_relative_to(ROOT / "data")
]


@pytest.mark.parametrize("path", SOURCES)
def test_every_file_imports_from_below_or_from_its_own_room(path: Path) -> None:
    assert _file(path).partition("/")[0] in RANK, "a new top-level name needs a place in LAYERS"
    assert offences(_file(path), path.read_text(encoding="utf-8")) == []


def test_every_layer_and_every_room_of_models_is_there() -> None:
    tops = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(RANK) == tops
    rooms = {path.stem for path in (ROOT / "models").iterdir()} - {"__init__", "__pycache__"}
    assert set(MODEL_RANK) == rooms


@pytest.mark.parametrize(
    ("file", "source", "offence"),
    [
        ("engine/loop", "from specdec_cli.runtime.session import Session", "engine imports runtime"),
        ("engine/loop", "import specdec_cli.runtime.session", "engine imports runtime"),
        ("engine/loop", "from specdec_cli import runtime", "engine imports runtime"),
        ("ensemble/auto", "from specdec_cli.settings import Settings", "ensemble imports settings"),
        ("specem/rounds", "from specdec_cli.registry.methods import METHODS", "specem imports registry"),
        ("models/loader", "def f():\n    from specdec_cli.cli import app", "models imports cli"),
        ("settings/checks", "from specdec_cli import __version__", "settings imports __init__"),
        ("sampling/batch", "from specdec_cli.storage import atomic", "sampling imports storage"),
        ("drafting/chain", "from specdec_cli.verification import base", "drafting imports verification"),
        ("settings/fields", "from specdec_cli.models.hardware import free_memory", "settings imports models"),
        ("registry/methods", "from specdec_cli.errors import InputError", "registry imports errors"),
        ("api", "from specdec_cli.audit.run import run", "api imports audit"),
        ("models/hf/quiet", "from specdec_cli.models import loader", "models/hf imports models/loader"),
        ("models/hub/cache", "from specdec_cli.models.quantization import linear",
         "models/hub imports models/quantization"),
        ("models/gguf/keys", "from specdec_cli.models import loader", "models/gguf imports models/loader"),
        ("models/eagle/head", "import specdec_cli.models.encoder", "models/eagle imports models/encoder"),
        ("runtime/session", "import typer", "runtime imports typer"),
        ("cli/app", "def f():\n    from rich.table import Table", "cli imports rich"),
        ("runtime/session", "import transformers.utils as u", "runtime imports transformers"),
        ("drafting/chain", "from ..models import runner", "a relative import"),
        ("drafting/chain", "x.softmax(-1)", "drafting calls softmax"),
        ("models/loader", "x.argmax(-1)", "models calls argmax"),
        ("verification/walk", "torch.multinomial(x, 1)", "verification calls multinomial"),
        ("drafting/chain", "from torch import argmax\nargmax(x)", "drafting calls argmax"),
        ("engine/loop", "print('x')", "engine prints"),
    ],
)  # fmt: skip
def test_the_check_sees_an_offence(file: str, source: str, offence: str) -> None:
    assert offences(file, source) == [offence]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("cli/app", "import typer\nfrom specdec_cli.runtime.session import open_session\nprint('x')"),
        ("models/forward/hf", "from specdec_cli.models.forward import base"),
        ("models/loader", "from specdec_cli.models.forward.select import new_forward"),
        ("models/forward/hf", "from specdec_cli.tree import TokenTree"),
        ("sampling/distribution", "scores.softmax(-1)"),
        ("reporting/table", "from rich.table import Table\nout().print(Table())"),
        ("engine/loop", "out.print('x')"),
        ("models/loader", "import transformers"),
    ],
)
def test_the_check_lets_pass_what_is_allowed(file: str, source: str) -> None:
    assert offences(file, source) == []


ROOMS_WITHOUT_TORCH = ["registry", "settings"]
WHAT_IS_THERE = "import sys\nthere = set(sys.modules)\n"  # where coverage is measured, modules of its own


def loaded_by(room: str, root: Path = ROOT.parent) -> set[str]:
    """Which of what is slow to import is loaded by importing every module of a room."""
    modules = [
        ".".join(path.relative_to(root).with_suffix("").parts)
        for path in sorted((root / "specdec_cli" / room).rglob("*.py"))
    ]
    run = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
    run = f"{WHAT_IS_THERE}{run}print(*({HEAVY!r} & (sys.modules.keys() - there)))"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True, cwd=root)
    return set(done.stdout.split())


@pytest.mark.parametrize("room", ROOMS_WITHOUT_TORCH)
def test_these_rooms_load_no_torch(room: str) -> None:
    assert loaded_by(room) == set()


def test_a_room_that_loads_torch_is_seen(tmp_path: Path) -> None:
    (tmp_path / "specdec_cli" / "settings").mkdir(parents=True)
    (tmp_path / "specdec_cli" / "__init__.py").touch()
    (tmp_path / "specdec_cli" / "settings" / "fields.py").write_text("import torch")
    assert "torch" in loaded_by("settings", tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(None, id="import"),
        pytest.param(["--help"], id="help"),
        pytest.param(["--version"], id="version"),
        pytest.param(["presets", "list"], id="presets-list"),
    ],
)
def test_the_command_line_starts_without_what_is_slow_to_import(arguments: list[str] | None) -> None:
    run = WHAT_IS_THERE + "from specdec_cli.cli.app import main; import atexit\n"
    if arguments is not None:
        run += f"sys.argv = ['specdec', *{arguments!r}]\n"
    slow = HEAVY if arguments == ["presets", "list"] else HEAVY | LIGHTER
    slow = slow if arguments else slow | {"rich"}  # which prints help
    run += f"atexit.register(lambda: print({slow!r} & (sys.modules.keys() - there), file=sys.stderr))\n"
    if arguments is not None:
        run += "main()"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "set()")
