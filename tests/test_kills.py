"""Random kills of whole commands over tiny models: the next run ends as one that was never killed.

`make kills` runs 200 over all commands; SPECDEC_KILLS names another number.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
import tiny_checkpoints as tiny

from specdec_cli.cli.app import main

KILLS = int(os.environ.get("SPECDEC_KILLS", "15"))
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")]

SIZES = {"initializer_range": 0.3, "max_position_embeddings": 256, "words": tiny.ASCII}
SHORT = ["--threads", "1", "--quiet"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return [str(tiny.folder(root / name, seed=seed, **SIZES)) for seed, name in enumerate("ab")]


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SPECDEC_DTYPE", "float32")
    monkeypatch.setenv("CI", "1")


def commands(models):
    """Name to arguments, and to what of the folder must come out the same."""
    target, other = models
    both = ",".join(models)
    bench = [
        "bench",
        "-m",
        target,
        "--methods",
        "sps,specexec",
        "--draft",
        other,
        "-n",
        "6",
        "--n-tests",
        "4",
    ]
    bench += ["--dataset", "prompts.jsonl", "--exp-name", "x", *SHORT]
    prompts = ["--input", "prompts.jsonl"]
    sizes = ["--tokens", "640", "--texts", "8", "--length", "16", "--epochs", "2", "--batch", "4"]
    return {
        "bench": (bench, logged),
        "torn log": (bench, logged),
        "ensemble": (
            ["ensemble", "--models", both, *prompts, "--output", "r.json", *SHORT],
            lambda folder: answers(json.loads((folder / "r.json").read_text())),
        ),
        "specem": (
            ["ensemble", "--algorithm", "specem", "--models", both, "--window-size", "4",
             "--max-words", "6", *prompts, "--output", "r.jsonl", *SHORT],
            lambda folder: answers(map(json.loads, (folder / "r.jsonl").read_text().splitlines())),
        ),
        "distill": (
            ["distill", "-m", target, "--output", "draft", "--vocabulary", "60", *sizes, *SHORT],
            lambda folder: {
                path.name: path.read_bytes() for path in (folder / "draft").iterdir() if path.is_file()
            },
        ),
        "trees plan": (
            ["trees", "plan", "-m", target, "--draft", other, "--budget", "4", "--n-tests", "1", "-n", "8",
             "--output", "tree.json", *SHORT],
            lambda folder: json.loads((folder / "tree.json").read_text())["parents"],
        ),
    }  # fmt: skip


def logged(folder):
    """Each run of a log, with the text that it gave: sorted, so that one that is there twice is seen."""
    lines = map(json.loads, (folder / "logs" / "x.jsonl").read_text().splitlines())
    return sorted((line["configuration"], line["item"], line["text_hash"]) for line in lines)


def answers(records):
    return [(record["id"], record["prediction"]) for record in records]


def run(arguments, folder, seconds=None):
    """Run the program in a copy of this process, killed after so many seconds: its exit code and time."""
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        log = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        sys.argv = ["specdec", *arguments]
        code = 1
        try:
            main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        finally:
            os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, time.monotonic() - begun


def fresh(folder: Path) -> Path:
    folder.mkdir()
    prompts = [{"id": f"p{place}", "prompt": f"the cat and dog {place}"} for place in range(4)]
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    return folder


def visible(folder):
    """All that is left in a folder, the program's own words apart."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != "output")


@pytest.mark.parametrize("name", commands(["a", "b"]))
def test_a_killed_command_goes_on_and_loses_and_doubles_nothing(name, models, tmp_path):
    arguments, outcome = commands(models)[name]
    chance = random.Random(f"{name}/{KILLS}")
    whole = fresh(tmp_path / "whole")
    code, seconds = run(arguments, whole)
    assert code == 0, (whole / "output").read_text()
    kills = -(-KILLS // len(commands(models)))
    folder, killed = None, 0
    for kill in range(kills):
        if folder is None:
            folder = fresh(tmp_path / str(kill))
        if name == "torn log":
            (folder / "logs").mkdir(exist_ok=True)
            content = (whole / "logs" / "x.jsonl").read_bytes()
            (folder / "logs" / "x.jsonl").write_bytes(content[: chance.randrange(len(content))])
        code, _ = run(arguments, folder, chance.uniform(0, seconds))
        killed += code == -signal.SIGKILL
        if chance.random() < 0.5 or kill == kills - 1:  # some are killed more than once on their way
            code, _ = run(arguments, folder)
            assert code == 0, (folder / "output").read_text()
            assert outcome(folder) == outcome(whole)
            assert visible(folder) == visible(whole)
            folder = None
    assert killed >= kills // 2, "the kills came too late to test anything"
