"""The well-known data sets: asked of the hub or of an address, quickly refused where there is none."""

import importlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from dataset_files import Write, refusal, stand_in_library

from specdec_cli.evaluation import named_datasets
from specdec_cli.evaluation.datasets import Item, read_dataset
from specdec_cli.evaluation.named_datasets import DATASETS


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(named_datasets, "_answers", lambda endpoint: True)


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("name", ["a.parquet", "gsm8k"])
def test_without_the_library(write: Write, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    importing = importlib.import_module

    def missing(module: str) -> Any:
        if module == "datasets":
            raise ModuleNotFoundError(module)
        return importing(module)

    monkeypatch.setattr(importlib, "import_module", missing)
    message = refusal(write(name, "") if name.endswith(".parquet") else name)
    assert "`datasets`" in message
    assert "specdec-cli[eval]" in message


@pytest.mark.parametrize("name", DATASETS)
def test_offline_a_name_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    begun = time.perf_counter()
    message = refusal(name, 1)
    assert time.perf_counter() - begun < 1
    assert "HF_HUB_OFFLINE is set. Give a local .jsonl" in message


def test_a_hub_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*request: object, timeout: float) -> None:
        assert timeout == named_datasets.SECONDS_TO_ANSWER
        time.sleep(1)

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(named_datasets, "SECONDS_TO_ANSWER", 0.1)
    monkeypatch.setattr(named_datasets, "urlopen", hang)
    begun = time.perf_counter()
    assert "gsm8k comes from https://huggingface.co, and it does not answer." in refusal("gsm8k")
    assert time.perf_counter() - begun < 0.9


@pytest.fixture
def server() -> Iterator[Callable[[int], str]]:
    """Starts a hub that answers everything with that status, and gives its address."""
    started = []

    def start(status: int) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(status)
                self.end_headers()

            def log_message(self, *message: object) -> None:
                pass

        hub = HTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        started.append(hub)
        return f"http://127.0.0.1:{hub.server_port}"

    yield start
    for hub in started:
        hub.shutdown()
        hub.server_close()


@pytest.mark.parametrize(("status", "answers"), [(200, True), (403, True), (503, False)])
def test_whether_a_hub_answers(server: Callable[[int], str], status: int, answers: bool) -> None:
    assert named_datasets._answers(server(status)) == answers


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "no address"])
def test_an_endpoint_that_is_none(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert f"c4 comes from {endpoint}, and it does not answer." in refusal("c4", 1)


@pytest.mark.usefixtures("online")
def test_a_name_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stand_in_library(monkeypatch, iter([{"question": "q", "answer": "a"}]))
    assert read_dataset("gsm8k") == [Item("1", "q", "", "a")]
    expected = {"path": "openai/gsm8k", "name": "main", "revision": None, "split": "test", "streaming": False}
    assert asked == [expected]


@pytest.mark.usefixtures("online")
def test_a_stream_is_read_no_further_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> Iterator[dict[str, str]]:
        yield from ({"text": text} for text in ("short", "a" * 200, "b" * 300))
        pytest.fail("read too far")

    asked = stand_in_library(monkeypatch, rows())
    assert [item.id for item in read_dataset("openwebtext", 2)] == ["2", "3"]
    assert asked[0]["revision"] == "refs/convert/parquet"
    assert asked[0]["path"] == "Skylion007/openwebtext"


@pytest.mark.usefixtures("online")
def test_spec_bench_is_a_file_of_its_authors(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"question_id": 81, "category": "writing", "turns": ["a", "b"]},
        {"question_id": 161, "category": "qa", "turns": ["who?"], "reference": ["he", "him"]},
        {"question_id": 401, "category": "rag", "turns": ["where?"], "reference": [["here", "there"]]},
    ]
    asked = []

    def urlopen(request: Any, timeout: float) -> Any:
        asked.append(request.full_url)
        return io.BytesIO("\n".join(map(json.dumps, rows)).encode() + b"\n")

    monkeypatch.setattr(named_datasets, "urlopen", urlopen)
    items = read_dataset("spec-bench")
    expected = [
        Item("81", "a", "writing"),
        Item("161", "who?", "qa", "he"),
        Item("401", "where?", "rag", "here"),
    ]
    assert items == expected
    assert [item.extra for item in items] == [
        {"turns": ["a", "b"]},
        {"references": ["he", "him"]},
        {"references": ["here", "there"]},
    ]
    assert asked[0].endswith("/question.jsonl")


@pytest.mark.usefixtures("online")
def test_an_address_that_gives_too_much_is_refused_and_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named_datasets, "MOST_BYTES", 20)
    monkeypatch.setattr(named_datasets, "urlopen", lambda *_, **__: io.BytesIO(b'{"prompt": "a"}\n' * 2))
    assert "spec-bench has more than 20 bytes at https://" in refusal("spec-bench")


@pytest.mark.usefixtures("online")
def test_an_address_that_breaks_off_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(request: Any, timeout: float) -> Any:
        raise TimeoutError("timed out")

    monkeypatch.setattr(named_datasets, "urlopen", urlopen)
    assert "spec-bench cannot be fetched" in refusal("spec-bench")


@pytest.mark.usefixtures("online")
def test_replies_are_no_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_library(monkeypatch, [{"text": "a", "parent_id": None}, {"text": "b", "parent_id": "1"}])
    assert read_dataset("oasst") == [Item("1", "a")]


def test_a_stream_is_not_read_whole() -> None:
    assert {name for name, each in DATASETS.items() if each.is_stream} == {"c4", "openwebtext"}
    assert "c4 is too long to be read whole. Say how many" in refusal("c4")


def test_in_a_hubs_data_set_the_later_of_two_of_one_id_is_numbered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(named_datasets, "_answers", lambda _: True)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    stand_in_library(
        monkeypatch, [{"id": "a", "article": "x", "highlights": "h"}, {"id": "a", "article": "y"}]
    )
    items = read_dataset("cnn-dailymail", 2)
    assert [item.id for item in items] == ["a", "a#2"]
    assert items[0].reference == "h"
