"""What the tests of this room share."""

from pathlib import Path

import pytest
from dataset_files import Write
from fences import usable

from specdec_cli.evaluation import sandbox
from specdec_cli.evaluation.sandbox import Fence


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file and gives its path."""

    def written(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return written


@pytest.fixture(scope="module", params=["bubblewrap", "seccomp"])
def fence(request: pytest.FixtureRequest) -> Fence:
    return usable(request.param)


@pytest.fixture
def bare(
    request: pytest.FixtureRequest, fence: Fence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Fence:
    """The fence without Python's own part, which a cunning program might get around."""
    text = sandbox.CHILD.read_text(encoding="utf-8").replace("    watch(os.getcwd())\n", "")
    child = tmp_path / "bare_child.py"
    child.write_text(text, encoding="utf-8")
    monkeypatch.setattr(sandbox, "CHILD", child)
    return usable(fence.name, child)
