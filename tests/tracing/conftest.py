"""A tiny sharp target with a draft that is often right."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_checkpoints as tiny

from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings

SHARP = {"words": tiny.ASCII, "initializer_range": 0.5, "max_position_embeddings": 512, "template": None}


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tiny.folder(tmp_path_factory.mktemp("models") / "target", **SHARP)
    settings = Settings(target=str(folder), draft="layers:1", dtype="float32", max_tokens=12, temperature=1.0)
    return Session.load(settings)


@pytest.fixture
def settings(session: Session) -> Settings:
    return replace(session.settings, ignore_eos=True)


@pytest.fixture(autouse=True)
def nobodys_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
