"""llama.cpp as a peer, through a package with its interface: tokens are ids, passes are passes."""

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_checkpoints as tiny
import torch

from specdec_cli.benchmarking.llama_peer import LOOKUP, PLAIN, llama_cpp_peers, require_llama_cpp
from specdec_cli.engine.text import Stops
from specdec_cli.errors import InputError
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings

PROMPT = "the cat and the dog and the cat and the"


class FakeLlama:
    """What llama_cpp.Llama does: greedy, a draft's guesses in one pass, an `eval` that may be replaced."""

    loaded: Session

    def __init__(self, model_path: str, verbose: bool, draft_model: object = None, **options: object) -> None:
        self.options = options | {"model_path": model_path}
        self.draft_model = draft_model
        self.resets = 0
        self.read: list[int] = []

    def reset(self) -> None:
        self.resets += 1
        self.read = []

    def set_seed(self, seed: int) -> None:
        self.seed = seed

    def eval(self, tokens: list[int]) -> None:
        self.read += tokens

    def generate(self, tokens: list[int], **sampling: object) -> Iterator[int]:
        self.sampling = sampling
        text = list(tokens)
        ahead: list[int] = []
        fresh = list(tokens)
        while True:
            self.eval([*fresh, *ahead])
            for guess in [*ahead, None]:
                token = self._next(text)
                text.append(token)
                yield token
                if token != guess:
                    break
            self.read = text[:-1]
            fresh = text[-1:]
            ahead = self.draft_model(text) if self.draft_model else []  # type: ignore[operator]

    def _next(self, text: list[int]) -> int:
        return int(self.loaded.logits(text[:-1], [text[-1], 0])[1].argmax())


class Lookup:
    """Guesses what followed the last token before."""

    def __init__(self, max_ngram_size: int, num_pred_tokens: int) -> None:
        self.length = num_pred_tokens

    def __call__(self, text: list[int]) -> list[int]:
        indexes = [index for index, token in enumerate(text[:-1]) if token == text[-1]]
        return text[indexes[-1] + 1 :][: self.length] if indexes else []


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    looks = {"words": tiny.ASCII, "initializer_range": 0.5, "max_position_embeddings": 512, "template": None}
    folder = tiny.folder(tmp_path / "target", **looks)
    settings = Settings(target=str(folder), draft="ngram", dtype="float32", max_tokens=20, ignore_eos=True)
    found = Session.load(settings)
    monkeypatch.setattr(FakeLlama, "loaded", found, raising=False)
    package = SimpleNamespace(Llama=FakeLlama, __version__="0.0")
    monkeypatch.setitem(sys.modules, "llama_cpp", package)
    speculative = SimpleNamespace(LlamaPromptLookupDecoding=Lookup)
    monkeypatch.setitem(sys.modules, "llama_cpp.llama_speculative", speculative)
    return found


def test_its_tokens_are_the_targets_and_its_passes_are_counted(session: Session) -> None:
    settings = replace(session.settings, target="model.gguf")
    prompt = session.encode(PROMPT)
    ours = [token for step in session.steps(prompt, session.settings) for token in step.tokens]
    peers = llama_cpp_peers(session, settings)
    assert list(peers) == [PLAIN, LOOKUP]
    for name, peer in peers.items():
        for _ in range(2):  # the second run begins anew
            steps = peer.run(prompt, settings)
            assert [token for step in steps for token in step.tokens] == ours
            assert all(len(step.tokens) >= 1 and step.seconds >= 0 for step in steps)
            assert steps[0].prefill_seconds >= 0
            assert steps[-1].finish_reason == "length"
            assert len(steps) == len(ours) if name == PLAIN else len(steps) <= len(ours)
            assert sum(step.accepted for step in steps) == len(ours) - len(steps)
            assert all(step.accepted <= step.drafted for step in steps)
        assert peer.settings["file"] == "model.gguf"
        assert peer.settings["n_threads"] == torch.get_num_threads()
    assert peers[LOOKUP].settings["num_pred_tokens"] == settings.gamma


def test_it_ends_at_the_stop_token_which_counts(session: Session) -> None:
    prompt = session.encode(PROMPT)
    ours = [token for step in session.steps(prompt) for token in step.tokens]
    stop = ours[3]
    first = ours.index(stop)
    stops = Stops(frozenset({stop}))
    stopping = SimpleNamespace(target=session.target, decode=session.decode, stops=lambda *_: stops)
    settings = replace(session.settings, target="model.gguf", ignore_eos=False)
    steps = llama_cpp_peers(stopping, settings)[PLAIN].run(prompt, settings)  # type: ignore[arg-type]
    assert [token for step in steps for token in step.tokens] == ours[: first + 1]
    assert steps[-1].finish_reason == "stop"


def test_without_the_package_or_a_gguf_file_it_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="llama-cpp-python"):
        require_llama_cpp("model.gguf")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    require_llama_cpp("model.gguf")
    require_llama_cpp("smollm2-135m")
    with pytest.raises(InputError, match=r"\.gguf file"):
        require_llama_cpp("someone/model")
