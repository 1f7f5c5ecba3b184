"""Values of single settings: their ranges, and how the ones outside are refused."""

import math
from typing import Any

import pytest
from refused_settings import refusal

from specdec_cli.settings import load_settings


@pytest.mark.parametrize(
    ("text", "stop"),
    [("END", ("END",)), ('["a", "b"]', ("a", "b")), ("[END]", ("[END]",)), ("3", ("3",))],
)
def test_stop_in_a_variable_is_a_json_list_or_one_text(text: str, stop: tuple[str, ...]) -> None:
    assert load_settings(flags={}, environ={"SPECDEC_STOP": text}).settings.stop == stop


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("FALSE", False), ("0", False)])
def test_booleans_in_variables(text: str, value: bool) -> None:
    assert load_settings(flags={}, environ={"SPECDEC_CHAT": text}).settings.chat is value


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", "warm"),
        ("temperature", True),
        ("temperature", 10**400),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("top_k", 2.5),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("max_tokens", 0),
        ("gamma", 0),
        ("gamma", True),
        ("max_n_beams", 0),
        ("max_beam_len", 0),
        ("max_branch_width", 0),
        ("decay", 0.0),
        ("decay", 1.5),
        ("min_log_prob", 0.1),
        ("min_log_prob", -math.inf),
        ("ngram_size", 0),
        ("threads", 0),
        ("seed", -1),
        ("seed", 2**63),
        ("method", "magic"),
        ("verify", "blocks"),
        ("dtype", "int3"),
        ("target", ""),
        ("target", 7),
        ("target", "\udc80"),
        ("stop", [""]),
        ("stop", [1]),
        ("chat", "maybe"),
    ],
)
def test_values_out_of_range_are_refused_with_the_setting_named(setting: str, value: Any) -> None:
    assert refusal(**{setting: value}).startswith(f"--{setting.replace('_', '-')} must be ")


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("temperature", (0, 5)),
        ("top_p", (1e-9, 1)),
        ("min_p", (0, 1)),
        ("seed", (0, 2**63 - 1)),
        ("decay", (1e-9, 1)),
        ("min_log_prob", (-1e9, 0)),
        ("max_budget", (1,)),
    ],
)
def test_the_ends_of_a_range_belong_to_it(setting: str, values: tuple[float, ...]) -> None:
    for value in values:
        assert getattr(load_settings(flags={setting: value}, environ={}).settings, setting) == value


WHOLE = [
    "resident_layers", "threads", "top_k", "seed", "max_tokens", "gamma", "gammas", "max_budget",
    "max_n_beams", "max_beam_len", "max_branch_width", "ngram_size", "window_size", "max_words",
]  # fmt: skip


FRACTIONS = ["temperature", "top_p", "min_p", "link_gbps", "decay", "alpha", "learning_rate", "min_log_prob"]


@pytest.mark.parametrize("value", [10**19, -(10**19), 10**400, "9" * 5000, "1e400", "1" + "0" * 30, 1e300])
@pytest.mark.parametrize("setting", WHOLE)
def test_whole_numbers_that_no_machine_holds_are_refused(setting: str, value: Any) -> None:
    assert refusal(**{setting: value}).startswith(f"--{setting.replace('_', '-')} must be ")


@pytest.mark.parametrize("value", [10**400, -(10**400), "1e400", "-1e400", "nan", float("inf"), "9" * 5000])
@pytest.mark.parametrize("setting", FRACTIONS)
def test_fractions_that_no_machine_holds_are_refused(setting: str, value: Any) -> None:
    assert refusal(**{setting: value}).startswith(f"--{setting.replace('_', '-')} must be ")


def test_a_budget_of_nothing_is_told_what_to_use_instead() -> None:
    assert "--method autoregressive" in refusal(max_budget=0)


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("stop", ["x" * 1001], "of more than 1,000 characters"),
        ("stop", ["x"] * 257, "at most 256 texts"),
        ("system", "x" * ((1 << 20) + 1), "at most 1,048,576 characters"),
        ("target", "x" * 4097, "at most 4,096 characters"),
        ("gammas", [1] * 257, "at most 256 whole numbers"),
        ("models", ",".join("x" * 300), "at most 256 texts"),
    ],
)
def test_texts_and_lists_that_nobody_means_are_refused(setting: str, value: Any, says: str) -> None:
    assert says in refusal(**{setting: value})


def test_the_longest_stop_and_the_most_stops_are_taken() -> None:
    stops = [f"{number:03}" + "x" * 997 for number in range(256)]
    assert load_settings(flags={"stop": stops}, environ={}).settings.stop == tuple(stops)
