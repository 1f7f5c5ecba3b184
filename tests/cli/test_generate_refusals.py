"""What `specdec generate` refuses, in a line of problem and one of hint, and with which exit code."""

from pathlib import Path

import pytest
from generating import refused
from program import Program

pytestmark = pytest.mark.usefixtures("own_cache")


def test_a_template_that_is_not_there_is_a_usage_error(generate: Program) -> None:
    assert "no chat template" in refused(generate("--chat"), 2)
    assert "needs a chat template" in refused(generate("--system", "be brief"), 2)


@pytest.mark.parametrize(
    ("arguments", "code", "about"),
    [
        (["-m", "./nowhere"], 2, "nowhere"),
        (["-m", "nobody/nothing"], 1, "no model hub can be reached"),
        (["-m", "smollm2-135n"], 1, "smollm2-135n"),
        (["-d", "./nowhere"], 2, "nowhere"),
        (["-d", "bytes"], 3, "cannot draft for"),
        (["-p", "cat " * 200], 2, "800 tokens"),
        (["-p", "cat " * 123], 2, "exceed the context of 512"),
        (["-p", ""], 2, "The prompt is empty."),
        (["-p", " \n\t"], 2, "The prompt is empty."),
        (["--temperature=-1"], 2, "--temperature must be a number of at least 0"),
        (["-t", "nan"], 2, "--temperature"),
        (["--max-budget", "0"], 2, "--max-budget must be a whole number of at least 1"),
        (["-n", "0"], 2, "--max-tokens"),
        (["--top-p", "0"], 2, "--top-p"),
        (["--stop", ""], 2, "--stop"),
        (["--threads", "0"], 2, "--threads"),
        (["--threads", "1025"], 2, "--threads"),
        (["--max-n-beams", "9" * 30], 2, "--max-n-beams"),
        (["--device", "cuda:99"], 2, "cuda:99 is not in this machine"),
        (["--device", "gpu"], 2, "gpu is not a device"),
        (["--dtype", "float15"], 2, "--dtype"),
        (["--preset", "nosuch"], 2, "no preset 'nosuch'"),
        (["--method", "specexec", "-d", "draft", "--verify", "block"], 2, "--verify block"),
        (["--method", "ngram", "-d", "layers:1"], 2, "--draft layers:1"),
        (["--method", "specexec"], 2, "needs a draft"),
    ],
)
def test_what_cannot_be_done_is_refused_in_two_lines(
    generate: Program, arguments: list[str], code: int, about: str
) -> None:
    assert about in refused(generate(*arguments), code)


def test_a_preset_with_a_misspelt_key_is_refused(generate: Program, tmp_path: Path) -> None:
    preset = tmp_path / "mine.yaml"
    preset.write_text("temprature: 0.5\n")
    outcome = generate("--preset", str(preset))
    assert "there is no setting 'temprature'" in refused(outcome, 2)
    assert "Did you mean temperature?" in outcome.err


def test_a_variable_out_of_range_is_refused(generate: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECDEC_TEMPERATURE", "abc")
    assert refused(generate(), 2).startswith("SPECDEC_TEMPERATURE must be a number")
