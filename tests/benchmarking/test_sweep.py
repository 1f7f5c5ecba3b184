"""Sweeps are products, each method with the settings that it reads."""

import pytest

from specdec_cli.benchmarking.sweep import configurations, values
from specdec_cli.errors import InputError
from specdec_cli.settings import Settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("16, 32,64", ["16", "32", "64"]),
        ("1-4", ["1", "2", "3", "4"]),
        ("1-9+4, 20", ["1", "5", "9", "20"]),
        ("0.5,1", ["0.5", "1"]),
        ("-8, -6", ["-8", "-6"]),
        ("2^5, 4x2", ["2^5", "4x2"]),
    ],
)
def test_lists_and_ranges_are_read(text: str, expected: list[str]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize("text", ["", " , ", "8-1", "1-9+0", "1-99999999"])
def test_what_names_no_values_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        values(text)


def names(methods: list[str], swept: dict[str, str], **flags: object) -> list[str]:
    return [each.name for each in configurations(None, flags, methods, swept)]


def test_every_value_meets_every_other_and_plain_decoding_comes_first() -> None:
    found = configurations(None, {}, ["specexec"], {"max_budget": "16,32", "max_n_beams": "4,8"})
    assert [each.name for each in found] == [
        "autoregressive",
        "specexec, budget 16, beams 4",
        "specexec, budget 16, beams 8",
        "specexec, budget 32, beams 4",
        "specexec, budget 32, beams 8",
    ]
    assert (found[2].settings.max_budget, found[2].settings.max_n_beams) == (16, 8)
    assert {each.baseline for each in found} == {"autoregressive"}


def test_a_method_is_swept_over_what_it_reads_alone() -> None:
    assert names(["sps", "specexec"], {"max_budget": "16,32", "gamma": "2-3"}) == [
        "autoregressive",
        "sps, gamma 2",
        "sps, gamma 3",
        "specexec, budget 16",
        "specexec, budget 32",
    ]
    assert names(["spechub"], {"tree": "2^3,4x1"}) == [
        "autoregressive",
        "spechub, tree 2^3",
        "spechub, tree 4x1",
    ]


def test_each_sampling_has_a_plain_decoding_of_its_own() -> None:
    found = configurations(None, {}, ["sps"], {"temperature": "0,1"})
    assert [(each.name, each.baseline) for each in found] == [
        ("autoregressive, T 0", "autoregressive, T 0"),
        ("autoregressive, T 1", "autoregressive, T 1"),
        ("sps, T 0", "autoregressive, T 0"),
        ("sps, T 1", "autoregressive, T 1"),
    ]
    assert [each.settings.temperature for each in found] == [0.0, 1.0, 0.0, 1.0]


def test_plain_decoding_alone_is_a_sweep_too() -> None:
    assert names([], {}) == ["autoregressive"]


def test_shared_flags_reach_all_that_take_them() -> None:
    found = configurations(None, {"max_tokens": 7, "hub_above": 0.3}, ["spechub"], {})
    assert all(isinstance(each.settings, Settings) and each.settings.max_tokens == 7 for each in found)


@pytest.mark.parametrize(
    ("methods", "swept", "problem"),
    [
        (["magic"], {}, "no method 'magic'"),
        (["specexec"], {"max_budget": "16,zero"}, "zero"),
        (["specexec"], {"max_budget": "0"}, "--max-budget"),
        (["sps"], {"verify": "traversal"}, "traversal"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_before_anything_runs(
    methods: list[str], swept: dict[str, str], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        configurations(None, {}, methods, swept)
