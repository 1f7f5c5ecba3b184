"""Settings: which source wins, and what is refused before anything loads."""

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from specdec_cli.drafting.shapes import MAX_NODES, parse_tree
from specdec_cli.errors import InputError
from specdec_cli.settings import DEFAULTS, RULES, Settings, find_preset, list_presets, load_settings
from specdec_cli.settings.ensembles import weights_of

MakePreset = Callable[[str], str]


@pytest.fixture
def preset(tmp_path: Path) -> MakePreset:
    """Writes a preset file and gives its path."""

    def write(text: str) -> str:
        path = tmp_path / "own.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def refusal(preset: str | None = None, environ: dict[str, str] | None = None, **flags: Any) -> str:
    """The problem and the hint, as the user reads them."""
    with pytest.raises(InputError) as refused:
        load_settings(preset, flags=flags, environ=environ or {})
    return f"{refused.value.problem} {refused.value.hint}"


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


@pytest.mark.parametrize(
    ("text", "stop"),
    [("END", ("END",)), ('["a", "b"]', ("a", "b")), ("[END]", ("[END]",)), ("3", ("3",))],
)
def test_stop_in_a_variable_is_a_json_list_or_one_text(text: str, stop: tuple[str, ...]) -> None:
    assert load_settings(flags={}, environ={"SPECDEC_STOP": text}).settings.stop == stop


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("FALSE", False), ("0", False)])
def test_booleans_in_variables(text: str, value: bool) -> None:
    assert load_settings(flags={}, environ={"SPECDEC_CHAT": text}).settings.chat is value


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


def test_messages_name_the_place_of_a_bad_value(preset: MakePreset) -> None:
    path = preset("# comment\n\ngamma: four\n")
    assert refusal(top_p=2.0).startswith("--top-p must be a number above 0 and at most 1, not 2.0.")
    assert refusal(environ={"SPECDEC_SEED": "x"}).startswith("SPECDEC_SEED must be a whole number")
    assert refusal(path).startswith(
        f"{path}, line 3: gamma must be a whole number of at least 1 and at most 4096, not 'four'."
    )


def test_a_budget_of_nothing_is_told_what_to_use_instead() -> None:
    assert "--method autoregressive" in refusal(max_budget=0)


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


def test_the_largest_tree_may_be_written_out() -> None:
    parents = json.dumps([number // 16 - 1 for number in range(MAX_NODES)])
    settings = load_settings(flags={"method": "specinfer", "tree": parents}, environ={}).settings
    assert parse_tree(settings.tree or "").size == MAX_NODES


def test_an_unknown_preset_name_is_told_the_nearest() -> None:
    assert "laptop-cpu?" in refusal("laptopcpu")
    assert "creative" in refusal("zzz")


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


@pytest.mark.parametrize(
    ("verify", "method", "other"),
    [("block", "sps", "specexec"), ("traversal", "spechub", "sps"), ("traversal", "rrsw", "kseq")],
)
def test_a_verifier_is_for_the_methods_that_take_it(verify: str, method: str, other: str) -> None:
    taken = load_settings(flags={"method": method, "verify": verify}, environ={}).settings
    assert taken.verify == verify
    message = refusal(environ={"SPECDEC_VERIFY": verify}, method=other)
    assert message.startswith(f"SPECDEC_VERIFY {verify} does not go with the method {other}")
    assert f"--method {method}" in message or method in message


def test_a_tree_is_for_the_methods_that_take_one() -> None:
    assert load_settings(flags={"method": "rrsw", "tree": "2^5"}, environ={}).settings.tree == "2^5"
    message = refusal(method="sps", tree="2^5")
    assert "takes no tree" in message
    assert "spechub" in message


def test_the_method_ngram_takes_no_draft_model() -> None:
    assert load_settings(flags={"method": "ngram", "draft": "ngram"}, environ={}).settings.draft == "ngram"
    assert "--draft some/model" in refusal(method="ngram", draft="some/model")


@pytest.mark.parametrize("name", [one.name for one in list_presets()])
def test_every_shipped_preset_resolves_and_says_what_it_is_for(name: str) -> None:
    resolved = load_settings(name, flags={}, environ={})
    found = find_preset(name)
    assert found.description
    assert {one for one, origin in resolved.origins.items() if origin == f"preset {name}"} == set(
        found.values
    )


def test_every_setting_has_help_and_every_optional_one_says_what_unset_means() -> None:
    for name, rule in RULES.items():
        assert rule.help.endswith("."), name
        assert bool(rule.unset) == (DEFAULTS[name] is None), name


def test_coupling_is_for_specexec_above_temperature_zero() -> None:
    assert load_settings(flags={"coupled": True, "temperature": 1.0}, environ={}).settings.coupled
    assert "temperature 0" in refusal(coupled=True)
    assert "--method specexec" in refusal(coupled=True, temperature=1.0, method="sps")
    assert "--method spechub" in refusal(hub_above=0.5, method="rrsw")


def test_the_first_of_the_models_is_the_target_and_one_gamma_is_the_first_proposers() -> None:
    given = {"method": "cd_chef", "models": "a, b", "gamma": "5"}
    resolved = load_settings(flags=given, environ={})
    settings = resolved.settings
    assert (settings.method, settings.target, settings.models) == ("cd-chef", "a", ("a", "b"))
    assert settings.gammas == (5,)
    assert resolved.origins["target"] == "the first model"
    assert load_settings(flags=given | {"gamma": "1:5"}, environ={}).settings.gammas == (1, 5)
    assert load_settings(flags=given | {"gamma": "1,5"}, environ={}).settings.gammas == (1, 5)
    assert load_settings("cd-llama3", flags={"gamma": "3"}, environ={}).settings.gammas == (3,)
    assert load_settings("cd-llama3", flags={}, environ={}).settings.gammas == (1, 5)
    assert "not the first" in refusal(method="we", models="a,b", target="b")


def test_weights_are_named_or_in_order_and_sum_to_one() -> None:
    named = load_settings(flags={"method": "we", "models": "a,b", "weights": "b=3,a=1"}, environ={}).settings
    ordered = load_settings(flags={"method": "we", "models": "a,b", "weights": "1,3"}, environ={}).settings
    assert weights_of(named) == weights_of(ordered) == (0.25, 0.75)


@pytest.mark.parametrize(("weights", "said"), [("a=1,a=2", "two weights"), ("b=3", "none for a")])
def test_weights_by_name_are_one_for_each_model(weights: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_settings(flags={"method": "we", "models": "a,b", "weights": weights}, environ={})


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
