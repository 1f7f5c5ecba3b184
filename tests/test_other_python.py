"""`make test-other-python` finds the other Python wherever it is installed, and no stand-in for it."""

import sys
from pathlib import Path

import pytest

from tools import other_python

WORKS = '#!/bin/sh\necho "{}"\n'
STAND_IN = "#!/bin/sh\necho 'python3.12: command not found' >&2\nexit 127\n"


def program(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a home without any Python; /bin/sh is found by its path."""
    return {"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "bin")}


def test_the_other_of_two_is_looked_for() -> None:
    assert [other_python.other(each) for each in ((3, 11), (3, 12), (3, 13))] == ["3.12", "3.11", "3.11"]


def test_nothing_is_found_where_there_is_none(environment: dict[str, str]) -> None:
    assert other_python.find("3.12", environment) is None


def test_one_on_the_path_comes_first(tmp_path: Path, environment: dict[str, str]) -> None:
    first = program(tmp_path / "bin" / "python3.12", WORKS.format("3.12"))
    program(tmp_path / "home" / ".pyenv/versions/3.12.1/bin/python", WORKS.format("3.12"))
    assert other_python.find("3.12", environment) == first


def test_a_stand_in_on_the_path_is_passed_over_for_what_pyenv_has(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    program(tmp_path / "bin" / "python3.12", STAND_IN)
    program(tmp_path / "home" / ".pyenv/versions/3.11.7/bin/python", WORKS.format("3.11"))
    assert other_python.find("3.12", environment) is None
    kept = program(tmp_path / "home" / ".pyenv/versions/3.12.1/bin/python", WORKS.format("3.12"))
    assert other_python.find("3.12", environment) == kept


def test_one_that_uv_has_is_found(tmp_path: Path, environment: dict[str, str]) -> None:
    kept = program(tmp_path / "uv" / "python", WORKS.format("3.12"))
    program(tmp_path / "bin" / "uv", WORKS.format(kept))
    assert other_python.find("3.12", environment) == kept


@pytest.mark.parametrize("text", [WORKS.format("3.13"), "#!/bin/sh\nexit 1\n", "no program"])
def test_one_of_another_version_or_without_what_makes_environments_is_none(
    tmp_path: Path, environment: dict[str, str], text: str
) -> None:
    program(tmp_path / "bin" / "python3.12", text)
    assert other_python.find("3.12", environment) is None


def test_this_interpreter_is_one_that_can_make_environments(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / f"python{version}").symlink_to(sys.executable)
    assert other_python.find(version, environment) == str(tmp_path / "bin" / f"python{version}")
