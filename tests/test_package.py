"""The wheel carries what the program reads at run time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from specdec_cli import __version__

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


def run(*arguments: str, folder: Path, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as its wheel installs it, and nothing else."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("package")
    build = ("--no-deps", "--no-build-isolation", "--quiet", "-w", str(folder))
    run("-m", "pip", "wheel", str(ROOT), *build, folder=folder)
    (wheel,) = folder.glob("*.whl")
    target = folder / "installed"
    run("-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel), folder=folder)
    return target


def specdec(installed: Path, *arguments: str) -> str:
    return run("-m", "specdec_cli", *arguments, folder=installed.parent, PYTHONPATH=str(installed))


def test_the_installed_package_is_the_one_that_runs(installed: Path) -> None:
    code = "import specdec_cli; print(specdec_cli.__file__)"
    assert run("-c", code, folder=installed.parent, PYTHONPATH=str(installed)).startswith(str(installed))
    assert specdec(installed, "--version") == f"specdec {__version__}\n"


def test_presets_and_data_are_inside(installed: Path) -> None:
    names = {path.stem for path in (ROOT / "presets").glob("*.yaml")}
    listed = specdec(installed, "presets", "list")
    assert [name for name in names if name not in listed] == []
    shown = json.loads(specdec(installed, "presets", "show", "creative", "--json"))
    assert shown["origins"]["temperature"] == "preset creative"
    code = "import json; from specdec_cli.settings import list_presets, load_settings as load\n"
    code += "found = {each.name: load(each.name, flags={}, environ={}).origins for each in list_presets()}\n"
    found = json.loads(run("-c", f"{code}print(json.dumps(found))", folder=installed.parent,
                           PYTHONPATH=str(installed)))  # fmt: skip
    assert found.keys() == names
    for name, origins in found.items():
        assert f"preset {name}" in origins.values()
    for name in ("presets", "data"):
        here, there = (
            {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            for folder in (ROOT / name, installed / "specdec_cli" / name)
        )
        here = {path: held for path, held in here.items() if path.name[0] != "."}
        assert here
        assert here.items() <= there.items()


def test_the_folders_are_found_inside_the_package(installed: Path) -> None:
    code = "from specdec_cli import resources as r; print(r.presets_folder(), r.data_folder(), sep='\\n')"
    found = run("-c", code, folder=installed.parent, PYTHONPATH=str(installed)).split("\n")[:2]
    assert [Path(path).parent for path in found] == [installed / "specdec_cli"] * 2


def test_the_wheel_holds_the_package_alone(installed: Path) -> None:
    kinds = {path.name for path in installed.iterdir()} - {"bin", "__pycache__"}
    assert kinds == {"specdec_cli", f"specdec_cli-{__version__}.dist-info"}
    assert (installed / f"specdec_cli-{__version__}.dist-info" / "licenses" / "LICENSE").is_file()
