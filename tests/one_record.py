"""A record of a benchmark."""

from specdec_cli.benchmarking.records import Record

RECORD = Record(
    configuration="autoregressive", item="a", category="", order=0, prompt_tokens=5, tokens=10, passes=10,
    drafted=0, accepted=0, tree_depth=0.0, tree_size=0.0, least_score=None, draft_seconds=0.0,
    verify_seconds=0.9, overhead_seconds=0.1, seconds=1.0, prefill_seconds=0.5,
    first_token_seconds=0.6, memory_bytes=9,
    accepted_lengths=(0,) * 10, text_hash="x", finish_reason="length",
)  # fmt: skip
