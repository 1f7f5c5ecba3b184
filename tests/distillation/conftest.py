"""A tiny target, on disk and loaded."""

import pytest
import tiny_checkpoints

from specdec_cli.models.loader import load_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_checkpoints.folder(tmp_path_factory.mktemp("target"), words=tiny_checkpoints.ASCII)


@pytest.fixture(scope="module")
def target(folder):
    return load_model(str(folder), dtype="float32")
