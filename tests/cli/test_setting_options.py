"""Options out of rules: what Typer is given, and what a command gets."""

from typing import Annotated, Any

import pytest
import typer

from specdec_cli.cli.setting_options import Given, because, swept_and_shared, taken_by, takes_settings
from specdec_cli.settings import RULES

OwnOption = Annotated[str | None, typer.Option("--own", rich_help_panel="Models")]
CountOption = Annotated[int, typer.Option("--count")]


def command(*settings: str, **more: Any) -> tuple[Any, list[dict[str, Any]]]:
    """A command that takes these settings, and what it is called with."""
    calls: list[dict[str, Any]] = []

    @takes_settings(*settings, leaves_out={}, **more)
    def measure(
        *, count: CountOption = 3, own: OwnOption = None, given: Given, quiet: CountOption = 0
    ) -> None:
        """Measure."""
        calls.append({"count": count, "own": own, "given": dict(given)})

    app = typer.Typer(add_completion=False)
    app.command()(measure)
    return typer.main.get_command(app), calls


def run(*arguments: str, settings: tuple[str, ...], **more: Any) -> dict[str, Any]:
    made, calls = command(*settings, **more)
    made(list(arguments), standalone_mode=False)
    [call] = calls
    return call


ALL = ("temperature", "target", "stop", "coupled", "gamma", "max_budget", "top_k", "weights", "chat")


def test_only_what_was_given_is_handed_over_and_false_is_given_too() -> None:
    assert run(settings=ALL) == {"count": 3, "own": None, "given": {}}
    found = run("-m", "a", "--no-coupled", "--own", "x", "--top-k", "0", settings=ALL)
    assert found == {"count": 3, "own": "x", "given": {"target": "a", "coupled": False, "top_k": 0}}


def test_values_come_in_the_settings_types_and_as_text_where_they_may_be_words_or_lists() -> None:
    given = run(
        "-t", "0.5", "-k", "1,5", "--max-budget", "auto", "--stop", "a", "--stop", "b", "--weights", "1,2",
        "--raw", "--coupled", settings=ALL,
    )["given"]  # fmt: skip
    assert given == {
        "temperature": 0.5, "gamma": "1,5", "max_budget": "auto", "stop": ["a", "b"], "weights": "1,2",
        "chat": False, "coupled": True,
    }  # fmt: skip
    assert type(run("--top-k", "4", settings=ALL)["given"]["top_k"]) is int


def test_what_sweeps_is_text_in_a_panel_of_its_own() -> None:
    made, _ = command("target", "temperature", sweep=("temperature",))
    [option] = [each for each in made.params if each.name == "temperature"]
    assert (option.rich_help_panel, option.opts) == ("Sweep", ["--temperature", "-t"])
    assert option.help == f"{RULES['temperature'].help} Sweeps."
    given = run("-t", "0.5, 1", "-m", "x", settings=("target", "temperature"), sweep=("temperature",))[
        "given"
    ]
    assert swept_and_shared(given, ("temperature",)) == ({"temperature": "0.5, 1"}, {"target": "x"})


def test_panels_come_as_they_are_first_named_and_settings_in_the_order_of_the_rules() -> None:
    made, _ = command("max_tokens", "revision", "temperature", "target", "method")
    assert [each.name for each in made.params] == [
        "count", "temperature", "max_tokens", "own", "target", "revision", "method", "quiet",
    ]  # fmt: skip


def test_help_says_what_is_done_where_nothing_is_said() -> None:
    made, _ = command(
        "max_tokens", "draft", "dtype", "gamma", "coupled", "feedback", "stop",
        usual={"max_tokens": 64}, worded={"gamma": "gammas"},
    )  # fmt: skip
    help = {each.name: each.help for each in made.params}
    assert help["max_tokens"] == f"{RULES['max_tokens'].help} \\[default: 64]"
    assert help["draft"].endswith(f"\\[default: {RULES['draft'].unset}]")
    assert help["dtype"].endswith("One of auto, float32, bfloat16, float16. \\[default: auto]")
    assert help["gamma"] == RULES["gammas"].help
    assert help["coupled"] == RULES["coupled"].help
    assert help["feedback"] == f"{RULES['feedback'].help} \\[default: True]"
    assert help["stop"] == RULES["stop"].help
    [gamma] = [each for each in made.params if each.name == "gamma"]
    assert (gamma.rich_help_panel, gamma.opts) == ("Ensemble", ["--gamma", "-k"])


def test_a_command_says_what_it_takes() -> None:
    made, _ = command("seed", "gamma", sweep=("gamma",))
    found = taken_by(made.callback)
    assert found is not None
    assert (found.options, found.sweep, found.left_out) == (("seed", "gamma"), ("gamma",), {})
    assert taken_by(command) is None


@pytest.mark.parametrize(
    "more",
    [
        {"leaves_out": because("there is none", "sed")},
        {"leaves_out": {}, "sweep": ("gama",)},
        {"leaves_out": {}, "usual": {"tokens": 1}},
        {"leaves_out": {}, "worded": {"gamma": "gamas"}},
    ],
)
def test_a_name_that_is_no_setting_is_an_error_of_the_programmer(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="there is no setting"):
        takes_settings("seed", **more)
    with pytest.raises(ValueError, match="there is no setting sed"):
        takes_settings("sed", leaves_out={})


@pytest.mark.parametrize(
    ("settings", "more", "named"),
    [
        (("seed",), {"leaves_out": {"seed": "why"}}, "seed"),
        (("seed",), {"sweep": ("gamma",)}, "gamma"),
        (("seed", "gamma"), {"sweep": ("gamma",), "usual": {"gamma": 3}}, "gamma"),
        (("seed", "gamma"), {"sweep": ("gamma",), "worded": {"gamma": "gammas"}}, "gamma"),
    ],
)
def test_settings_that_contradict_each_other_are_an_error(
    settings: tuple[str, ...], more: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=f"contradict each other: {named}"):
        takes_settings(*settings, **({"leaves_out": {}} | more))


def test_a_command_has_a_place_for_what_is_given() -> None:
    def without() -> None: ...

    with pytest.raises(ValueError, match="without has no parameter `given`"):
        takes_settings("seed", leaves_out={})(without)
