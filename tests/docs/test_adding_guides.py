"""The guides for adding something hold: each diff applies to the package as it is, and what it adds works.

A guide ends in a diff, and after it in blocks of Python or of commands that use what the diff adds.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "docs").glob("adding-a*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
COPIED, LINKED = ("specdec_cli", "docs", "tests"), ("data", "presets", "benchmarks", "pyproject.toml")

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git applies the diffs")


def parts_of(guide: str) -> tuple[str, list[tuple[str, str]]]:
    """The last diff of a guide, and the blocks after it, each with its language."""
    blocks = BLOCK.findall(guide)
    last = max(number for number, (language, _) in enumerate(blocks) if language == "diff")
    return blocks[last][1], blocks[last + 1 :]


def apply(diff: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    return subprocess.run(
        ["git", "apply", "-"],
        input=diff,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def run(blocks: list[tuple[str, str]], folder: Path, endpoint: str) -> subprocess.CompletedProcess[str]:
    """Run blocks of Python and of commands in order, until one fails, with the package of a folder."""
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    code = f"{folder}{os.pathsep}{Path(__file__).parent / 'stand_ins'}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": code, "HF_ENDPOINT": endpoint}
    environment.pop("HF_HUB_OFFLINE", None)
    for language, text in blocks:
        command = {"python": [sys.executable, "-"], "console": ["sh", "-eu"]}[language]
        done = subprocess.run(
            command, input=text, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            return done
    return done


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its tests that may be changed; `specdec` and `python` run it."""
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in LINKED:
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "bin").mkdir()
    for name, arguments in (("python", ""), ("specdec", "-m specdec_cli ")):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        program.chmod(0o755)
    return tmp_path


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    """The address of a hub that answers; what it would send, the stand-in for its library has."""

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *message: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_there_is_a_guide_for_each_thing_that_is_added_in_one_place() -> None:
    assert {"method", "metric", "dataset", "architecture"} <= {
        guide.stem.rpartition("-")[2] for guide in GUIDES
    }


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_what_a_guide_adds_works_once_its_diff_is_applied_and_not_before(
    guide: Path, copy: Path, hub: str
) -> None:
    diff, blocks = parts_of(guide.read_text(encoding="utf-8"))
    assert blocks, "nothing after the diff uses what it adds"
    assert run(blocks, copy, hub).returncode != 0, "this works without the diff"
    applied = apply(diff, copy)
    assert applied.returncode == 0, applied.stderr
    done = run(blocks, copy, hub)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_a_diff_that_does_not_fit_the_package_any_more_is_seen(guide: Path, copy: Path) -> None:
    diff, _ = parts_of(guide.read_text(encoding="utf-8"))
    changed = next(
        name for old, name in re.findall(r"^--- (.*)\n\+\+\+ b/(.*)$", diff, re.M) if old != "/dev/null"
    )
    file = copy / changed
    file.write_text(
        re.sub(r"(?m)(?<=\S)$", "  # moved on", file.read_text(encoding="utf-8")), encoding="utf-8"
    )
    assert "does not apply" in apply(diff, copy).stderr
