"""Lengths past which a model attends otherwise, and an audit that says when its texts do not get there."""

from typing import Any

import pytest
import tiny_checkpoints as tiny
import transformers

from specdec_cli.audit.run import AuditPlan, run
from specdec_cli.models.forward.thresholds import thresholds
from specdec_cli.reporting.audit import certificate
from specdec_cli.settings import Settings

LONG = {"rope_type": "longrope", "factor": 4.0, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4,
        "rope_theta": 1e4, "original_max_position_embeddings": 64}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, int]]] = {
    "none": ("Llama", {}, {}),
    "a window": ("Mistral", {"sliding_window": 32}, {"windowed attention": 32}),
    "a window that is not in use": ("Qwen2", {"use_sliding_window": False, "sliding_window": 32}, {}),
    "a window of another name": ("GPTNeo", {"window_size": 48}, {"windowed attention": 48}),
    "chunks": ("Llama4Text", {"attention_chunk_size": 24}, {"windowed attention": 24}),
    "LongRoPE": ("Llama", {"rope_parameters": LONG}, {"another rotary scaling": 64}),
    "dynamic": (
        "Llama",
        {"rope_parameters": DYNAMIC, "max_position_embeddings": 128},
        {"another rotary scaling": 128},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_lengths_are_those_of_windows_and_rotary_scaling(case):
    architecture, fields, expected = CASES[case]
    assert thresholds(getattr(transformers, f"{architecture}Config")(**fields)) == expected


@pytest.mark.parametrize(("window", "told"), [(100, True), (8, False)])
def test_an_audit_says_where_its_texts_do_not_reach(tmp_path, window, told):
    folder = tiny.folder(tmp_path / "m", architecture="Mistral", sliding_window=window)
    settings = Settings(
        target=str(folder), method="ngram", max_tokens=12, dtype="float32", chat=False, ignore_eos=True
    )
    plan = AuditPlan(
        settings, ("greedy",), ("ngram",), ("ngram",), False, False, False, ["one two one"], 50, 3
    )
    result = run(plan, lambda _: None)
    assert result.passed
    said = certificate(plan, result, {})["warnings"]
    assert (
        any(f"longer than {window} tokens, where the target's windowed attention" in each for each in said)
        is told
    )
