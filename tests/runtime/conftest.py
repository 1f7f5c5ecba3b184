"""Models for sessions, of which each module of tests has its own."""

import pytest
import tiny_checkpoints as tiny

from specdec_cli.settings import Settings

SHARP = {"words": tiny.ASCII, "initializer_range": 0.5}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {
        "target": str(tiny.folder(root / "target", **SHARP)),
        "draft": str(tiny.folder(root / "draft", noise=0.02, **SHARP)),
        "other": str(tiny.folder(root / "other")),
        "plain": str(tiny.folder(root / "plain", template=None, **SHARP)),
    }


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def settings(folders):
    return Settings(
        target=folders["target"], draft="layers:1", dtype="float32", max_tokens=16, ignore_eos=True
    )
