"""Settings: which source wins, and what is refused before anything loads."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from refused_settings import MakePreset, refusal

from specdec_cli.settings import DEFAULTS, RULES, Settings, load_settings


def test_nothing_given_is_the_defaults() -> None:
    resolved = load_settings(flags={}, environ={})
    assert resolved.settings == Settings()
    assert resolved.origins == dict.fromkeys(DEFAULTS, "default")


@pytest.fixture(scope="module")
def full_preset(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("presets") / "numbers.yaml"
    path.write_text("temperature: 0.25\ngamma: 11\nseed: 12\nmin-log-prob: -3\nsystem: preset\n")
    return str(path)


SOURCES: dict[str, tuple[object, str, object]] = {  # by flag, by variable, by preset
    "temperature": (0.75, "0.5", 0.25),
    "gamma": (31, "21", 11),
    "seed": (0, "22", 12),
    "min_log_prob": (-1.0, "-2", -3.0),
    "system": ("", "variable", "preset"),
}


@example_settings(deadline=None)  # a busy machine is no fault
@given(
    by_flag=st.sets(st.sampled_from(sorted(SOURCES))),
    by_variable=st.sets(st.sampled_from(sorted(SOURCES))),
    with_preset=st.booleans(),
)
def test_the_strongest_source_of_each_setting_wins(
    full_preset: str, by_flag: set[str], by_variable: set[str], with_preset: bool
) -> None:
    resolved = load_settings(
        full_preset if with_preset else None,
        flags={name: SOURCES[name][0] if name in by_flag else None for name in SOURCES},
        environ={f"SPECDEC_{name.upper()}": str(SOURCES[name][1]) for name in by_variable},
    )
    flag: Any
    for name, (flag, variable, from_preset) in SOURCES.items():
        expected: tuple[object, str] = (DEFAULTS[name], "default")
        if with_preset:
            expected = from_preset, f"preset {full_preset}"
        if name in by_variable:
            expected = type(flag)(variable), f"SPECDEC_{name.upper()}"
        if name in by_flag:
            expected = flag, "flag"
        assert (getattr(resolved.settings, name), resolved.origins[name]) == expected


def test_a_false_flag_and_a_zero_are_given_and_an_empty_list_is_not(preset: MakePreset) -> None:
    path = preset("ignore_eos: true\nchat: true\ntop-k: 5\nstop: [a]\n")
    settings = load_settings(
        path, flags={"ignore_eos": False, "chat": False, "top_k": 0, "stop": []}, environ={}
    ).settings
    assert settings == replace(Settings(), ignore_eos=False, chat=False, top_k=0, stop=("a",))


def test_an_empty_variable_is_not_set() -> None:
    resolved = load_settings(flags={}, environ={"SPECDEC_TEMPERATURE": "", "SPECDEC_PRESET": ""})
    assert resolved.settings == Settings()


def test_specdec_preset_names_the_preset_unless_a_flag_does(preset: MakePreset) -> None:
    environ = {"SPECDEC_PRESET": preset("gamma: 9\n")}
    assert load_settings(flags={}, environ=environ).settings.gamma == 9
    assert load_settings("creative", flags={}, environ=environ).settings.gamma == Settings().gamma


def test_messages_name_the_place_of_a_bad_value(preset: MakePreset) -> None:
    path = preset("# comment\n\ngamma: four\n")
    assert refusal(top_p=2.0).startswith("--top-p must be a number above 0 and at most 1, not 2.0.")
    assert refusal(environ={"SPECDEC_SEED": "x"}).startswith("SPECDEC_SEED must be a whole number")
    assert refusal(path).startswith(
        f"{path}, line 3: gamma must be a whole number of at least 1 and at most 4096, not 'four'."
    )


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("SPECDEC_TEMPRATURE", "SPECDEC_TEMPERATURE?"),
        ("SPECDEC_CACHES", "SPECDEC_CACHE?"),
    ],
)
def test_a_misspelt_variable_is_refused(variable: str, near: str) -> None:
    message = refusal(environ={variable: "1"})
    assert f"{variable} names no setting" in message
    assert near in message


def test_variables_of_other_uses_are_left_alone() -> None:
    environ = {"SPECDEC_CACHE": "/x", "SPECDEC_DEBUG": "1", "PATH": "/bin", "SPECDECODE": "1"}
    assert load_settings(flags={}, environ=environ).settings == Settings()


def test_a_misspelt_flag_of_the_python_api_is_refused() -> None:
    assert "temperature?" in refusal(temprature=0.5)


def test_every_setting_has_help_and_every_optional_one_says_what_unset_means() -> None:
    for name, rule in RULES.items():
        assert rule.help.endswith("."), name
        assert bool(rule.unset) == (DEFAULTS[name] is None), name


@pytest.mark.parametrize("value", ["true", "1", "yes"])
def test_no_preset_and_no_variable_lets_a_model_run_its_own_code(preset: MakePreset, value: str) -> None:
    path = preset(f"temperature: 0.5\ntrust_remote_code: {'true' if value == 'true' else repr(value)}")
    assert "line 2: trust_remote_code cannot be switched on there" in refusal(path)
    assert "SPECDEC_TRUST_REMOTE_CODE" in refusal(environ={"SPECDEC_TRUST_REMOTE_CODE": value})
    assert load_settings(flags={"trust_remote_code": True}, environ={}).settings.trust_remote_code


def test_a_flag_does_not_excuse_a_preset_that_asks_for_code(preset: MakePreset) -> None:
    path = preset("trust_remote_code: true")
    assert "trust_remote_code" in refusal(path, trust_remote_code=True)
    assert not load_settings(
        preset("trust_remote_code: false"), flags={}, environ={}
    ).settings.trust_remote_code
