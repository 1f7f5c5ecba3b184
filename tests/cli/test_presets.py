"""`specdec presets`."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from program import Program

from specdec_cli.resources import presets_folder
from specdec_cli.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def no_number_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the settings are where no variable is set."""
    monkeypatch.delenv("SPECDEC_DTYPE", raising=False)


def test_list_has_every_shipped_preset(specdec: Program) -> None:
    outcome = specdec("presets", "list")
    assert (outcome.code, outcome.err) == (0, "")
    for path in presets_folder().glob("*.yaml"):
        assert path.stem in outcome.out


def test_show_gives_each_setting_its_value_and_origin(
    specdec: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPECDEC_TOP_P", "0.5")
    outcome = specdec("presets", "show", "creative")
    lines = outcome.out.partition("───")[2].splitlines()[1:]
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines if line.strip()]
    assert (outcome.code, outcome.err) == (0, "")
    assert [row[0].replace("-", "_") for row in rows] == list(asdict(Settings()))
    assert ["temperature", "0.8", "preset creative"] in rows
    assert ["top-p", "0.5", "SPECDEC_TOP_P"] in rows
    assert ["ignore-eos", "false", "default"] in rows
    assert ["threads", "(one for each physical core)", "default"] in rows


def test_a_word_that_stands_for_a_number_is_shown_as_one_writes_it(
    specdec: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPECDEC_MAX_BUDGET", "auto")
    lines = specdec("presets", "show", "creative").out.splitlines()
    assert [line.split() for line in lines if "max-budget" in line] == [
        ["max-budget", "auto", "SPECDEC_MAX_BUDGET"]
    ]


def test_show_json_is_what_load_settings_gives(specdec: Program, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        'description: "[b]x[/b]"\nstop: ["中文", "[b]"]\nsystem: "' + "long " * 60 + '"\n', "utf-8"
    )
    outcome = specdec("presets", "show", str(path), "--json")
    resolved = load_settings(str(path), flags={}, environ={})
    shown = json.loads(outcome.out)
    assert (outcome.code, outcome.err) == (0, "")
    assert shown["description"] == "[b]x[/b]"
    assert shown["settings"] == json.loads(json.dumps(asdict(resolved.settings)))
    assert shown["origins"] == resolved.origins


def test_show_never_reads_a_value_as_markup(specdec: Program, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text('system: "[bold]shout[/bold] :smile:"\n', "utf-8")
    assert "[bold]shout[/bold] :smile:" in specdec("presets", "show", str(path)).out


def test_show_of_an_unknown_preset_is_a_usage_error(specdec: Program) -> None:
    outcome = specdec("presets", "show", "creativ")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.splitlines()[0] == "Error: There is no preset 'creativ'."
    assert "creative?" in outcome.err


SHIPPED = sorted(path.stem for path in presets_folder().glob("*.yaml"))
OF_SEGMENTS = [name for name in SHIPPED if load_settings(name, flags={}, environ={}).settings.algorithm]


@pytest.mark.parametrize("name", OF_SEGMENTS)
def test_presets_of_segments_are_for_ensemble_alone(specdec: Program, name: str) -> None:
    commands = [("generate", "-p", "x"), ("bench", "--dry-run"), ("inspect", "-p", "x"), ("offload-bench",)]
    for command in commands:
        outcome = specdec(*command, "--preset", name)
        assert (outcome.code, outcome.out) == (2, ""), command
        assert f"`specdec ensemble --preset {name}`" in outcome.err


@pytest.mark.parametrize("name", [each for each in SHIPPED if each not in OF_SEGMENTS])
def test_every_preset_is_planned_without_a_hub_and_without_loading(
    specdec: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    from specdec_cli.models import loader
    from specdec_cli.models.hub import hf_hub

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a dry run fetches and loads nothing")

    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path))
    for module, function in ((hf_hub, "download"), (hf_hub, "hub_reachable"), (loader, "load_model")):
        monkeypatch.setattr(module, function, never)
    for command in (("generate", "--json"), ("bench", "--format", "json")):
        outcome = specdec(*command, "--preset", name, "--dry-run")
        assert outcome.code == 0, outcome.err
        plan = json.loads(outcome.out)
        assert plan["dry_run"] is True
        assert plan["total_bytes"] > 0
        assert plan["needs_hub"] == any("/" in model["name"] for model in plan["models"])
    shown = specdec("generate", "--preset", name, "--dry-run").out
    assert "nothing was loaded" in shown
    assert f"preset {name}" in shown


@pytest.mark.parametrize(
    "name", [each for each in SHIPPED if each.startswith(("spec", "sps")) and "specem" not in each]
)
def test_published_presets_name_their_source(name: str) -> None:
    record = load_settings(name, flags={}, environ={})
    assert record.origins["target"] == f"preset {name}"
    assert "source:" in (presets_folder() / f"{name}.yaml").read_text("utf-8")


def test_a_sweep_over_a_preset_leaves_out_what_a_method_does_not_take(specdec: Program) -> None:
    outcome = specdec(
        "bench", "--preset", "spechub-llama-68m-llama2-7b", "--methods", "spechub,sps,ngram", "--dry-run"
    )
    assert outcome.code == 0, outcome.err
    for name in ("autoregressive", "spechub", "sps", "ngram"):
        assert f"  {name}\n" in outcome.out
    refused = specdec("generate", "--preset", "spechub-llama-68m-llama2-7b", "--method", "sps", "--dry-run")
    assert refused.code == 2
