"""The hooks of .pre-commit-config.yaml are what `make check` runs, and patterns that no file here has."""

import re
import shlex
import shutil
import subprocess

import pytest
import yaml
from documented import ROOT

CONFIG = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
HOOKS = {hook["id"]: hook for repository in CONFIG["repos"] for hook in repository["hooks"]}
PATTERNS = {name: hook for name, hook in HOOKS.items() if hook["language"] == "pygrep"}
ROOMS = ("specdec_cli", "tests", "docs", "presets", "benchmarks", "tools", "findings", "data")


def offends(name: str, text: bytes) -> bool:
    """Whether a hook finds its pattern, as pre-commit looks for it: in each line, or in the whole file."""
    is_whole = "--multiline" in PATTERNS[name].get("args", ())
    pattern = re.compile(PATTERNS[name]["entry"].encode(), re.M | re.S if is_whole else 0)
    pieces = [text] if is_whole else text.splitlines(keepends=True)
    return any(pattern.search(piece) for piece in pieces)


def test_no_hook_brings_a_version_of_its_own() -> None:
    assert [repository["repo"] for repository in CONFIG["repos"]] == ["local"]
    assert {hook["language"] for hook in HOOKS.values()} == {"pygrep", "system"}
    programs = [shlex.split(hook["entry"])[0] for name, hook in HOOKS.items() if name not in PATTERNS]
    assert {program.rpartition("/")[0] for program in programs} == {".venv/bin"}


@pytest.mark.skipif(shutil.which("make") is None, reason="make reads the Makefile")
def test_a_commit_is_checked_by_all_that_make_check_runs() -> None:
    printed = subprocess.run(
        ["make", "--dry-run", "--old-file", ".venv/.ready", "check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    made = [line.removesuffix(" .") for line in printed.splitlines() if line.startswith(".venv/bin/ruff")]
    made += [line for line in printed.splitlines() if line == ".venv/bin/mypy"]
    assert len(made) == 3
    hooked = {hook["entry"].removesuffix(" --force-exclude") for hook in HOOKS.values()}
    assert set(made) <= hooked


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("trailing-space", b"a\n\n b\n", b"a\n \nb\n"),
        ("trailing-space", b"a\n", b"a\r\n"),
        ("last-line", b"a\n", b"a"),
        ("last-line", b"a\n\nb\n", b"a\n\n"),
        ("conflict", b"<<<<<< no\n=======\n", b"a\n<<<<<<< HEAD\n"),
        ("conflict", b">>> a\n", b">>>>>>> 1a2b3c4\n"),
    ],
)
def test_what_a_file_must_not_have_is_seen(name: str, right: bytes, wrong: bytes) -> None:
    assert not offends(name, right)
    assert offends(name, wrong)


@pytest.mark.parametrize("name", PATTERNS)
def test_the_files_of_the_project_pass(name: str) -> None:
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*")] + list(ROOT.glob("*.*"))
    texts = {".py", ".md", ".yaml", ".toml", ".txt", ".sh", ".cff", ".json", ".jsonl"}
    left_out = re.compile(PATTERNS[name].get("exclude", "$^"))
    read = [(path.relative_to(ROOT).as_posix(), path.read_bytes()) for path in paths if path.suffix in texts]
    assert len(read) > 500
    assert [file for file, text in read if not left_out.search(file) and offends(name, text)] == []
