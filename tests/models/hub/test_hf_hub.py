"""A hub of one model on this machine, asked by a process of its own as the real one would be."""

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_checkpoints as tiny

from specdec_cli.models.hub import hf_hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOAD = """
import json, sys
from specdec_cli.errors import SpecdecError
from specdec_cli.models.loader import load_model, load_tokenizer_only
load = load_tokenizer_only if sys.argv[1] == "tokenizer" else load_model
for name, revision in json.loads(sys.argv[2]):
    try:
        loaded = load(name, revision=revision)
        print(loaded[1] if isinstance(loaded, tuple) else loaded.source)
    except SpecdecError as error:
        print(error.exit_code, error.problem)
"""


class Hub(BaseHTTPRequestHandler):
    """What the hub's client asks for: a model's files, and each file by revision."""

    folder: Path  # this and the next are of the one hub that each test makes
    requests: list[str]

    def do_GET(self):
        self.requests.append(self.path)
        path = self.path.split("?")[0]
        if path == "/":
            self.answer(200)
        elif "/gated/" in path:
            self.answer(403, {"X-Error-Code": "GatedRepo"})
        elif "/tiny/llama" not in path:
            self.answer(404, {"X-Error-Code": "RepoNotFound"})
        elif "nosuch" in path:
            self.answer(404, {"X-Error-Code": "RevisionNotFound"})
        elif "/resolve/" in path:
            self.file(path.rsplit("/", 1)[-1])
        elif "/tree/" in path:
            self.answer(200, {}, json.dumps([self.entry(file) for file in self.files()]).encode())
        else:
            siblings = [{"rfilename": file.name} for file in self.files()]
            self.answer(
                200, {}, json.dumps({"id": "tiny/llama", "sha": COMMIT, "siblings": siblings}).encode()
            )

    do_HEAD = do_GET

    def files(self):
        return sorted(self.folder.iterdir())

    def entry(self, file):
        return {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": self.etag(file)}

    def etag(self, file):
        return f"{file.stat().st_size:040x}"

    def file(self, name):
        file = self.folder / name
        if not file.is_file():
            self.answer(404, {"X-Error-Code": "EntryNotFound"})
            return
        self.answer(200, {"X-Repo-Commit": COMMIT, "ETag": f'"{self.etag(file)}"'}, file.read_bytes())

    def answer(self, status, headers=None, body=b""):
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tmp_path):
    """Asks a process to load models, with the hub up or down; gives the lines it printed."""
    folder = tiny.folder(tmp_path / "served")
    (folder / "pytorch_model.bin").write_bytes(b"the same weights again")
    asked: list[str] = []
    handler = type("OneModel", (Hub,), {"folder": folder, "requests": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))
    }

    def ask(*models, what="model", up=True):
        environment = {
            **kept,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port if up else 9}",
            "SPECDEC_CACHE": str(tmp_path / "cache"),
            "NO_PROXY": "127.0.0.1",
        }
        command = [sys.executable, "-c", LOAD, what, json.dumps(models)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
        assert done.stderr == ""
        return done.stdout.splitlines()

    yield SimpleNamespace(ask=ask, requests=asked)
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_hub_id_is_downloaded_once_and_then_works_without_the_hub(hub):
    assert hub.ask(("tiny/llama", None)) == ["hub"]
    assert not any(path.endswith("pytorch_model.bin") for path in hub.requests)
    assert hub.ask(("tiny/llama", None), up=False) == ["hub"]


@pytest.mark.slow
def test_the_tokenizer_alone_downloads_no_weights(hub):
    assert hub.ask(("tiny/llama", None), what="tokenizer") == [str(len(tiny.WORDS))]
    assert not any("safetensors" in path for path in hub.requests)


def test_what_the_hub_refuses_is_one_line(hub):
    models = ("tiny/llama", "nosuch"), ("tiny/none", None), ("gated/llama", None), ("not a name", None)
    assert hub.ask(*models) == [
        "2 tiny/llama has no revision nosuch.",
        "2 The hub has no model tiny/none.",
        "1 gated/llama is given only to those who accept its licence.",
        "2 The hub has no model not a name.",
    ]


def test_an_unreachable_hub_is_remembered_and_passed_on_to_the_hubs_client(monkeypatch):
    from huggingface_hub import constants

    asked = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    monkeypatch.setattr(hf_hub, "_answers", lambda endpoint: asked.append(endpoint))
    hf_hub.hub_reachable.cache_clear()
    assert not hf_hub.hub_reachable()
    assert not hf_hub.hub_reachable()
    assert len(asked) == 1
    assert constants.HF_HUB_OFFLINE is True


def test_a_hub_that_never_answers_is_given_up_on(monkeypatch):
    class Silent:
        def head(self, *_, **__):
            time.sleep(0.5)

    monkeypatch.setattr("huggingface_hub.get_session", Silent)
    monkeypatch.setattr(hf_hub, "SECONDS_TO_ANSWER", 0.05)
    start = time.perf_counter()
    assert not hf_hub._answers("a hub")
    assert time.perf_counter() - start < 0.4


def test_a_hub_that_refuses_is_not_waited_for():
    start = time.perf_counter()
    assert not hf_hub._answers("http://127.0.0.1:9")
    assert time.perf_counter() - start < 1
