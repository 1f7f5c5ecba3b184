"""A sample of what `make architectures` tries on all of them: right, or refused in one line."""

from dataclasses import replace

import pytest

SAMPLE = {
    "gemma3_text": "right",
    "gpt_neo": "right",
    "gpt_oss": "right",
    "llama": "right",
    "mamba": "refused",
    "mpt": "refused",
    "phi3": "right",
    "starcoder2": "right",
}
QUICK = ("autoregressive", "specexec")


@pytest.fixture(scope="module")
def architectures():
    from benchmarks import architectures

    patch = pytest.MonkeyPatch()  # shorter than the whole trial's texts, and still longer than its windows
    patch.setattr(architectures, "LENGTH", 20)
    patch.setattr(architectures, "BASE", replace(architectures.BASE, max_tokens=20))
    yield architectures
    patch.undo()


@pytest.mark.parametrize("name", SAMPLE)
def test_an_architecture_is_right_or_refused(architectures, name):
    *_, row = architectures.trial(name, QUICK)
    assert not row.unbuilt
    assert not row.faults, row
    assert row.verdicts["autoregressive"] == row.verdicts["specexec"] == SAMPLE[name]


def test_a_model_that_cannot_be_built_is_told_from_one_that_is_wrong(architectures, monkeypatch):
    monkeypatch.setattr(architectures, "tiny_model", lambda config: 1 / 0)
    *_, row = architectures.trial("llama", QUICK)
    assert row.unbuilt == "division by zero"
    assert not row.faults


def test_a_text_that_differs_is_a_fault(architectures, monkeypatch):
    monkeypatch.setattr(architectures, "_tokens", lambda settings: [0] * architectures.LENGTH)
    *_, row = architectures.trial("llama", ("autoregressive",))
    assert row.faults == ["autoregressive"]
    assert row.reasons["autoregressive"].startswith("from token 0 on")


def test_an_error_of_no_kind_of_ours_is_a_fault(architectures, monkeypatch):
    monkeypatch.setattr(architectures, "_tokens", lambda settings: 1 / 0)
    *_, row = architectures.trial("llama", ("specexec",))
    assert row.faults == ["specexec"]
    assert row.reasons["specexec"] == "ZeroDivisionError: division by zero"


def test_the_table_names_every_fault_and_reason(architectures):
    from benchmarks.architecture_table import Row, markdown, summary

    row = Row("llama", {"sps": "WRONG", "offload": "refused"}, {"sps": "from token 3 on", "offload": "no"})
    table = markdown([row, Row("blt", unbuilt="too large")], ("sps", "offload"))
    assert "| llama | WRONG | refused |" in table
    assert "- llama: WRONG: from token 3 on" in table
    assert "- blt: too large" in table
    assert summary([row]).endswith("faults: llama (sps)")
