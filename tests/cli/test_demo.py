"""`specdec demo` on a tiny model."""

import re
from pathlib import Path

import pytest
import tiny_checkpoints as tiny
from program import Program

from specdec_cli.cli.demo import METHODS, PROMPT
from specdec_cli.errors import CHECK_FAILED
from specdec_cli.runtime.build import VERIFIERS
from specdec_cli.verification.base import Verdict

DEEP = {"words": tiny.ASCII, "initializer_range": 0.2, "num_hidden_layers": 16}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "deep"
    return str(tiny.folder(folder, **DEEP, max_position_embeddings=1024))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, float32: None) -> None:
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))


def rows(text: str) -> list[list[str]]:
    """Cells of the table's rows, which stand between its rule and its caption."""
    lines = text.partition("───")[2].partition("Speed-up")[0].splitlines()[1:]
    return [re.split(r"\s{2,}", line.strip()) for line in lines if line.strip()]


def test_it_writes_a_text_and_compares_every_method(specdec: Program, target: str) -> None:
    outcome = specdec("demo", "-m", target, "-n", "12", "--rounds", "2")
    assert outcome.code == 0
    assert " ".join(PROMPT.split()) in " ".join(outcome.err.split())
    assert "12 tokens · " in outcome.err
    table = rows(outcome.out)
    assert [row[0] for row in table] == [*METHODS, "sps, ngram+self:int4", "sps, self:int4"]
    assert [row[-1] for row in table] == ["-", *["all"] * (len(METHODS) + 1)]
    assert {row[-2] for row in table} == {"bitwise"}
    assert table[0][2] == "1.00x"
    assert "median of 2 paired rounds" in outcome.out
    written = outcome.out.partition("\n")[0]
    generated = specdec(
        "generate", "-m", target, "-n", "12", "--method", "autoregressive", "-p", PROMPT, "--quiet"
    )
    assert generated.out == f"{written}\n"


def test_a_target_without_a_4_bit_product_drafts_by_half_of_its_layers(
    specdec: Program, tmp_path: Path
) -> None:
    target = str(tiny.folder(tmp_path / "odd", **DEEP, hidden_size=24, max_position_embeddings=1024))
    outcome = specdec("demo", "-m", target, "-n", "4", "--rounds", "1")
    assert outcome.code == 0
    assert rows(outcome.out)[-1][0] == "sps, layers:8"


def test_the_prompt_and_the_temperature_can_be_chosen(specdec: Program, target: str) -> None:
    outcome = specdec("demo", "-m", target, "-n", "6", "--rounds", "1", "-p", "[i]hello[/i] 語", "-t", "1")
    assert outcome.code == 0
    assert "[i]hello[/i] 語" in outcome.err


def test_a_text_that_is_another_though_bits_are_promised_ends_in_five(
    specdec: Program, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VERIFIERS, "rejection", lambda *_: Verdict((), 5))
    outcome = specdec("demo", "-m", target, "-n", "6", "--rounds", "1", "--quiet")
    assert outcome.code == CHECK_FAILED
    told = " ".join(outcome.err.split())
    assert "`identical` is bitwise: sps, ngram+self:int4, sps, self:int4." in told
    assert rows(outcome.out)[-1][-1].startswith("first ")


@pytest.mark.parametrize(
    "arguments", [["--rounds", "0"], ["-n", "0"], ["-p", " "], ["-m", "./nowhere"], ["--temperature=-1"]]
)
def test_what_cannot_be_done_is_a_usage_error(specdec: Program, target: str, arguments: list[str]) -> None:
    outcome = specdec("demo", *([] if "-m" in arguments else ["-m", target]), *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Traceback" not in outcome.err


def test_the_target_and_the_randomness_can_be_chosen_as_elsewhere(specdec: Program, target: str) -> None:
    short = ("demo", "-m", target, "-n", "6", "--rounds", "1", "-p", "the cat", "--quiet")
    texts = [specdec(*short, "-t", "1", "--seed", seed).out.partition("\n")[0] for seed in ("1", "1", "2")]
    assert texts[0] == texts[1] != texts[2]
    assert "float32" in specdec(*short).out
    assert "bfloat16" in specdec(*short, "--dtype", "bfloat16").out
    elsewhere = specdec(*short, "--device", "cuda:99")
    assert (elsewhere.code, elsewhere.out) == (2, "")


def test_a_variable_goes_before_the_demos_own_length(
    specdec: Program, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPECDEC_MAX_TOKENS", "5")
    assert "5 tokens · " in specdec("demo", "-m", target, "--rounds", "1", "-p", "the cat").err
    longer = specdec("demo", "-m", target, "--rounds", "1", "-p", "the cat", "-n", "7")
    assert "7 tokens · " in longer.err
