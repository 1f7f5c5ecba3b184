"""Presets: what a file may say, and how one that is wrong is refused."""

import os
from pathlib import Path

import pytest
from refused_settings import MakePreset, refusal

from specdec_cli.settings import find_preset, list_presets, load_settings


def test_preset_keys_take_dashes_or_underscores(preset: MakePreset) -> None:
    settings = load_settings(preset("max-budget: 7\nmax_beam_len: 3\n"), flags={}, environ={}).settings
    assert (settings.max_budget, settings.max_beam_len) == (7, 3)


def test_yaml_numbers_without_a_point_before_the_exponent_are_numbers(preset: MakePreset) -> None:
    assert load_settings(preset("temperature: 1e-1\n"), flags={}, environ={}).settings.temperature == 0.1


def test_null_in_a_preset_is_the_value_none(preset: MakePreset) -> None:
    resolved = load_settings(preset("draft: null\n"), flags={}, environ={})
    assert resolved.settings.draft is None
    assert resolved.origins["draft"].startswith("preset ")


@pytest.mark.parametrize(
    "text", ["0x" + "f" * 5000, "9" * 5000, "1" + "0" * 400, "-.inf", ".nan", "1e400", "[[1]]"]
)
@pytest.mark.parametrize(
    "setting", ["gamma", "temperature", "seed", "max_tokens", "gammas", "method", "stop"]
)
def test_a_preset_of_numbers_that_no_machine_holds_is_refused_by_line(
    preset: MakePreset, setting: str, text: str
) -> None:
    if setting == "stop" and text == "1e400":  # YAML's 1.1 takes it for text
        return
    assert ", line 1" in refusal(preset(f"{setting}: {text}\n"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gamma: 1\ntemprature: 0.5\n", ("line 2", "'temprature'", "temperature?")),
        ("max-buget: 1\n", ("line 1", "'max-buget'", "max_budget?")),
        ("method: specexe\n", ("line 1", "'specexe'", "specexec?")),
        ("seed: null\n", ("line 1: seed must be a whole number", "not None")),
        ("gamma: 1\ngamma: 2\n", ("line 2", "twice")),
        ("max-budget: 1\nmax_budget: 2\n", ("line 2", "twice")),
        ("revision: 123456\n", ("revision must be text",)),
        ("description: [a]\n", ("description must be text",)),
        ("stop: {a: b}\n", ("stop must be text or a list",)),
        ("- gamma\n", ("not a list of `setting: value` lines",)),
        ("gamma\n", ("not a list of `setting: value` lines",)),
        ("", ("is empty",)),
        ("# nothing\n", ("is empty",)),
        ("gamma: 1\nstop: [a\n", ("not valid YAML",)),
        ("gamma: 1\n top: : 2\n", ("line 2 is not valid YAML",)),
        ("gamma: !!python/object:os.system x\n", ("not valid YAML",)),
        ("seed: 2026-13-45\n", ("not valid YAML",)),
        ("seed: " + "[" * 5000, ("not valid YAML",)),
        ("gamma: \0\n", ("not valid YAML",)),
        ("gamma: 1\n---\ngamma: 2\n", ("not valid YAML",)),
        ("? [a, b]\n: 1\n", ("there is no setting",)),
    ],
)
def test_a_preset_that_is_wrong_says_where_and_why(
    preset: MakePreset, text: str, says: tuple[str, ...]
) -> None:
    message = refusal(preset(text))
    assert "own.yaml" in message
    for words in says:
        assert words in message


def test_a_preset_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"system: caf\xe9\n")
    assert "not UTF-8" in refusal(str(tmp_path / "latin.yaml"))
    assert "cannot be read" in refusal(str(tmp_path / "none.yaml"))
    assert "is a folder" in refusal(f"{tmp_path}/")
    assert "The home folder in ~nobody-of-this-name/own.yaml is not known" in refusal(
        "~nobody-of-this-name/own.yaml"
    )
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "is a pipe" in refusal(str(tmp_path / "pipe.yaml"))
    (tmp_path / "long.yaml").write_text("system: x\n" * 10_000)
    assert "more than 64 KiB" in refusal(str(tmp_path / "long.yaml"))
    (tmp_path / "wide.yaml").write_text("seed: 1\n", encoding="utf-16")
    assert "is UTF-16 text" in refusal(str(tmp_path / "wide.yaml"))


@pytest.mark.parametrize("key", ["stop", "description", "system"])
def test_aliases_that_could_multiply_are_not_read(preset: MakePreset, key: str) -> None:
    lines = [f"{key}:", " - &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f" - &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 50)]
    message = refusal(preset("\n".join(lines)))
    assert "line 3 is not valid YAML: aliases" in message


def test_an_unknown_preset_name_is_told_the_nearest() -> None:
    assert "laptop-cpu?" in refusal("laptopcpu")
    assert "creative" in refusal("zzz")


@pytest.mark.parametrize("name", [one.name for one in list_presets()])
def test_every_shipped_preset_resolves_and_says_what_it_is_for(name: str) -> None:
    resolved = load_settings(name, flags={}, environ={})
    found = find_preset(name)
    assert found.description
    assert {one for one, origin in resolved.origins.items() if origin == f"preset {name}"} == set(
        found.values
    )
