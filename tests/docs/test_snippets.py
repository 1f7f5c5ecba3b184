"""The Python of each document runs as one program, over tiny models under the names that it uses."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import documented
import pytest
import tiny_checkpoints as tiny
from documented import ROOT

from specdec_cli.errors import SpecdecError
from specdec_cli.models.hub.manifest import write_manifest
from specdec_cli.registry.models import REGISTRY

# What guides show runs once their diffs are applied, which test_adding_guides.py does.
GUIDES = "docs/adding-"


def python_of(document: str, text: str) -> str:
    """The Python blocks of a document, one after the other, at the lines where they stand."""
    program = ""
    for block in documented.blocks(document, text):
        if block.language == "python":
            program += "\n" * (block.line - 1 - program.count("\n")) + block.text
    return program


PROGRAMS = {
    document: program
    for document, text in documented.documents().items()
    if not document.startswith(GUIDES) and (program := python_of(document, text))
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which every model of the registry is a tiny one."""
    root = tmp_path_factory.mktemp("cache")
    for name, entry in REGISTRY.items():
        folder = tiny.folder(root / "models" / name)
        write_manifest(folder, entry.gguf_sha256)
    return root


Run = Callable[[str, str], str]


@pytest.fixture
def run(cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a document's Python and gives what it printed; a traceback names the document and its line."""
    monkeypatch.setenv("SPECDEC_CACHE", str(cache))
    loggers = [
        (logger, logger.level, logger.handlers[:]) for logger in map(logging.getLogger, ("", "specdec"))
    ]

    def execute(program: str, document: str) -> str:
        exec(compile(program, document, "exec"), {"__name__": "__main__"})
        return capsys.readouterr().out

    yield execute
    for logger, level, handlers in loggers:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def test_the_readme_has_python() -> None:
    assert "README.md" in PROGRAMS


@pytest.mark.parametrize("document", PROGRAMS)
def test_the_python_of_a_document_runs(document: str, run: Run) -> None:
    assert "Traceback" not in run(PROGRAMS[document], document)


def test_the_readme_prints_the_prompt_and_what_follows_and_two_figures(run: Run) -> None:
    lines = run(PROGRAMS["README.md"], "README.md").splitlines()
    assert lines[0].startswith("The planets, in order from the sun, are")
    per_pass, rate = map(float, lines[-1].split())
    assert per_pass >= 1
    assert 0 <= rate <= 1


@pytest.mark.parametrize(
    ("right", "wrong", "error"),
    [
        ("gamma=4", "gama=4", TypeError),
        ("SpeculativeDecoder\n", "SpeculativeDecoders\n", ImportError),
        ("tokens_per_pass", "tokens_a_pass", AttributeError),
        ("smollm2-135m", "smollm3-135m", SpecdecError),
    ],
)
def test_python_that_does_not_run_is_seen_with_its_line(
    right: str, wrong: str, error: type[Exception], run: Run
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    with pytest.raises(error) as caught:
        run(python_of("README.md", text.replace(right, wrong)), "README.md")
    line = text[: text.index(right, text.index("```python"))].count("\n") + 1
    assert line in [entry.lineno + 1 for entry in caught.traceback if str(entry.path).endswith("README.md")]
