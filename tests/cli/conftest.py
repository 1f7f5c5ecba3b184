"""The program as the user meets it: arguments in; exit code, stdout and stderr out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoints as tiny
from generating import COUNT, PROMPT
from program import Outcome, Program

from specdec_cli.cli.app import main

SHARP: dict[str, Any] = {"words": tiny.ASCII, "initializer_range": 0.5, "max_position_embeddings": 512}


@pytest.fixture
def specdec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """Runs `specdec ARGUMENTS` in this process, on a 160-column screen."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr("sys.argv", ["specdec", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main()
        captured = capsys.readouterr()
        return Outcome(int(leaving.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def in_folder_with_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, float32: None
) -> Callable[[int], None]:
    """Goes into an empty folder with so many prompts in prompts.jsonl, and a cache of its own."""

    def enter(count: int) -> None:
        monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        prompts = [{"id": f"p{place}", "prompt": f"the cat and dog {place}"} for place in range(count)]
        (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))

    return enter


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, float32: None) -> None:
    """An empty cache."""
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders: a target without and with a chat template, drafts of it, and a model of other words."""
    root = tmp_path_factory.mktemp("models")
    return {
        name: str(tiny.folder(root / name, **changes))
        for name, changes in {
            "target": {**SHARP, "template": None},
            "chat": SHARP,
            "draft": {**SHARP, "template": None, "noise": 0.02},
            "larger": {**SHARP, "template": None, "num_hidden_layers": 3},
            "bytes": {"initializer_range": 0.5},
            "long": {**SHARP, "template": None, "max_position_embeddings": 200_000},
        }.items()
    }


@pytest.fixture
def generate(specdec: Program, models: dict[str, str]) -> Program:
    """Runs `specdec generate -p PROMPT -m TARGET ARGUMENTS`; the names of models stand for their folders."""

    def run(*arguments: str) -> Outcome:
        given = [models.get(argument, argument) for argument in arguments]
        given += [] if "-p" in arguments else ["-p", PROMPT]
        given += [] if "-m" in arguments else ["-m", models["target"]]
        given += [] if {"-d", "--method"} & set(arguments) else ["-d", "layers:1"]
        given += [] if "-n" in arguments else ["-n", "24"]
        return specdec("generate", *given)

    return run


@pytest.fixture(scope="module")
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a target without a chat template; a module's TARGET says what is different there."""
    changes = {**SHARP, "template": None, **getattr(request.module, "TARGET", {})}
    return str(tiny.folder(tmp_path_factory.mktemp("models") / "target", **changes))


@pytest.fixture
def bench(specdec: Program, target: str) -> Program:
    def run(*arguments: str) -> Outcome:
        shared = ["-m", target, "--dataset", "prompts.jsonl", "--n-tests", "2", "-n", "8"]
        draft = [] if "-d" in arguments else ["-d", "layers:1"]
        return specdec("bench", *shared, *draft, *arguments)

    return run


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders: a model, one that mostly agrees, the same padded, a third, one of other words."""
    root = tmp_path_factory.mktemp("models")
    sharp = {**SHARP, "max_position_embeddings": 256, "template": None}
    made = {
        "A": tiny.folder(root / "a", **sharp),
        "B": tiny.folder(root / "b", noise=0.05, **sharp),
        "PADDED": tiny.folder(root / "padded", noise=0.05, vocab_size=len(tiny.ASCII) + 7, **sharp),
        "C": tiny.folder(root / "c", noise=0.1, **sharp),
        "OTHER": tiny.folder(root / "other", initializer_range=0.5),
    }
    return {name: str(path) for name, path in made.items()}


@pytest.fixture
def ensemble(specdec: Program, folders: dict[str, str]) -> Program:
    """Runs `specdec ensemble`; the names of models stand for their folders."""

    def run(*arguments: str, command: str = "ensemble") -> Outcome:
        given = [",".join(folders.get(part, part) for part in argument.split(",")) for argument in arguments]
        prompt = () if command == "bench" else ("-p", PROMPT)
        return specdec(command, *given, *prompt, "-n", str(COUNT))

    return run
