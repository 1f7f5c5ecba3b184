"""Who may import whom, and what only one room may do."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import specdec_cli

ROOT = Path(specdec_cli.__file__).parent

MAY_IMPORT = {
    "__init__": {"api"},
    "__main__": {"cli"},
    "errors": set(),
    "storage": {"errors"},
    "prompt_limits": {"errors"},
    "resources": set(),
    "tree": set(),
    "sampling": {"errors"},
    "verification": {"tree", "sampling", "errors"},
    "drafting": {"tree", "sampling", "storage", "errors"},
    "models": {"tree", "sampling", "resources", "storage", "errors"},
    "engine": {"tree", "sampling", "drafting", "verification", "errors"},
    "methods": set(),
    "settings": {"methods", "resources", "storage", "errors"},
    "ensemble": {
        "assembly",
        "drafting",
        "engine",
        "errors",
        "methods",
        "sampling",
        "settings",
        "tree",
        "verification",
    },
    "partners": {"drafts", "errors", "methods", "models", "offloading", "settings"},
    "drafts": {"methods", "settings", "models", "errors"},
    "endings": {"engine", "models", "settings"},
    "assembly": {"drafting", "verification", "sampling", "drafts", "methods", "settings"},
    "offloading": {"drafts", "models", "settings", "errors"},
    "session": {
        "prompt_limits",
        "assembly",
        "endings",
        "offloading",
        "drafting",
        "ensemble",
        "partners",
        "drafts",
        "methods",
        "engine",
        "models",
        "sampling",
        "settings",
        "tree",
        "errors",
        "resources",
    },
    "specem": {"ensemble", "session", "drafts", "models", "settings", "errors"},
    "evaluation": {"resources", "storage", "errors"},
    "audit": {
        "assembly",
        "drafts",
        "ensemble",
        "errors",
        "methods",
        "session",
        "engine",
        "drafting",
        "verification",
        "settings",
        "sampling",
        "tree",
    },
    "benchmarking": {
        "storage",
        "offloading",
        "evaluation",
        "models",
        "methods",
        "assembly",
        "drafts",
        "drafting",
        "engine",
        "session",
        "settings",
        "tree",
        "sampling",
        "tracing",
        "errors",
    },
    "distillation": {
        "storage",
        "benchmarking",
        "drafting",
        "models",
        "sampling",
        "session",
        "settings",
        "resources",
        "errors",
    },
    "tracing": {
        "storage",
        "drafts",
        "assembly",
        "audit",
        "drafting",
        "engine",
        "errors",
        "methods",
        "sampling",
        "session",
        "settings",
        "tree",
        "verification",
    },
    "api": {"session", "settings", "errors", "engine"},
    "reporting": {
        "storage",
        "audit",
        "distillation",
        "evaluation",
        "drafting",
        "engine",
        "ensemble",
        "benchmarking",
        "settings",
        "models",
        "errors",
        "tracing",
        "tree",
    },
    "cli": {
        "storage",
        "__init__",
        "offloading",
        "errors",
        "resources",
        "tree",
        "sampling",
        "verification",
        "drafting",
        "models",
        "engine",
        "settings",
        "drafts",
        "session",
        "benchmarking",
        "distillation",
        "audit",
        "ensemble",
        "evaluation",
        "methods",
        "specem",
        "api",
        "reporting",
        "assembly",
        "tracing",
    },
}
ONLY_IN = {"typer": "cli", "rich": "reporting", "transformers": "models", "huggingface_hub": "models"}
NORMALISERS = {"softmax", "log_softmax", "multinomial", "argmax"}
PRINTERS = {"cli", "reporting"}
HEAVY = {
    *("torch", "transformers", "scipy", "huggingface_hub", "accelerate", "gguf", "tokenizers", "datasets"),
    *("matplotlib", "httpx", "requests", "multiprocessing", "asyncio"),
}
LIGHTER = {"numpy", "safetensors"}


def offences(package: str, source: str) -> list[str]:
    """What a file of that top-level package does and may not."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for module in _imported(node):
            found += _import_offence(package, module)
        if isinstance(node, ast.Call):
            found += _call_offence(package, node)
    return found


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level:
        return ["."]
    if isinstance(node, ast.ImportFrom) and node.module == "specdec_cli":
        return [f"specdec_cli.{alias.name}" for alias in node.names]
    return [str(node.module)] if isinstance(node, ast.ImportFrom) else []


def _import_offence(package: str, module: str) -> list[str]:
    top, _, rest = module.partition(".")
    if not top:
        return ["a relative import"]
    if top == "specdec_cli":
        used = rest.partition(".")[0]
        used = used if used in MAY_IMPORT else "__init__"
        return [] if used == package or used in MAY_IMPORT[package] else [f"{package} imports {used}"]
    return [f"{package} imports {top}"] if ONLY_IN.get(top, package) != package else []


def _call_offence(package: str, call: ast.Call) -> list[str]:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in NORMALISERS and package != "sampling":
        return [f"{package} calls {name}"]
    if isinstance(call.func, ast.Name) and name == "print" and package not in PRINTERS:
        return [f"{package} prints"]
    return []


def _package(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


SOURCES = [
    pytest.param(path, id=str(path.relative_to(ROOT)))
    for path in sorted(ROOT.rglob("*.py"))
    if not path.is_relative_to(ROOT / "data")
]


@pytest.mark.parametrize("path", SOURCES)
def test_every_file_keeps_to_its_room(path: Path) -> None:
    assert _package(path) in MAY_IMPORT, "a new top-level name needs a row in MAY_IMPORT"
    assert offences(_package(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("package", "source", "offence"),
    [
        ("engine", "from specdec_cli.models.loader import load_model", "engine imports models"),
        ("engine", "import specdec_cli.models.loader", "engine imports models"),
        ("engine", "from specdec_cli import models", "engine imports models"),
        ("models", "def f():\n    from specdec_cli.cli import app", "models imports cli"),
        ("settings", "from specdec_cli import __version__", "settings imports __init__"),
        ("session", "import typer", "session imports typer"),
        ("cli", "def f():\n    from rich.table import Table", "cli imports rich"),
        ("session", "import transformers.utils as u", "session imports transformers"),
        ("drafting", "from ..models import runner", "a relative import"),
        ("drafting", "x.softmax(-1)", "drafting calls softmax"),
        ("models", "x.argmax(-1)", "models calls argmax"),
        ("verification", "torch.multinomial(x, 1)", "verification calls multinomial"),
        ("drafting", "from torch import argmax\nargmax(x)", "drafting calls argmax"),
        ("engine", "print('x')", "engine prints"),
    ],
)
def test_the_check_sees_an_offence(package: str, source: str, offence: str) -> None:
    assert offences(package, source) == [offence]


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("cli", "import typer\nfrom specdec_cli.session import open_session\nprint('x')"),
        ("sampling", "scores.softmax(-1)"),
        ("reporting", "from rich.table import Table\nout().print(Table())"),
        ("engine", "out.print('x')"),
        ("models", "import transformers"),
    ],
)
def test_the_check_lets_pass_what_is_allowed(package: str, source: str) -> None:
    assert offences(package, source) == []


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
    run = "from specdec_cli.cli.app import main; import sys, atexit\n"
    if arguments is not None:
        run += f"sys.argv = ['specdec', *{arguments!r}]\n"
    slow = HEAVY if arguments == ["presets", "list"] else HEAVY | LIGHTER
    slow = slow if arguments else slow | {"rich"}  # which prints help
    run += f"atexit.register(lambda: print({slow!r} & sys.modules.keys(), file=sys.stderr))\n"
    if arguments is not None:
        run += "main()"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "set()")
