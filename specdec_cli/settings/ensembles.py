"""What the settings say of an ensemble: its models, law and execution, checked before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping

from specdec_cli.errors import InputError
from specdec_cli.registry.methods import METHODS
from specdec_cli.settings.draft_spec import parse_draft
from specdec_cli.settings.fields import DEFAULTS, EXECUTIONS, Settings

OWN = (
    "models",
    "amateur",
    "ensemble_fn",
    "ensemble_target",
    "weights",
    "alpha",
    "plausibility",
    "exec",
    "gammas",
)
SEGMENTS = (
    "verify_models",
    "window_size",
    "max_words",
    "fast_decoder",
    "self_vote",
    "feedback",
    "learning_rate",
    "scoring",
)
ALPHAS = {"contrastive": 0.1, "proxy": 1.0}
COUNTS = {
    "contrastive": (2, "an expert and an amateur"),
    "proxy": (3, "a base, a tuned and an untuned model"),
}


def member_names(settings: Settings) -> tuple[str, ...]:
    """The models of an ensemble, in the order in which options count them.

    Raises:
        InputError: none are named.
    """
    if settings.models:
        for name in settings.models:
            if not _is_member(name):
                raise InputError(f"{name} is no model, and cannot be one of an ensemble.", "Name a model.")
        return settings.models
    second = settings.amateur or settings.draft
    if second is None or not _is_member(second):
        hint = "Name them with --models A,B"
        hint += ", or add --amateur." if combiner_name(settings) == "contrastive" else "."
        raise InputError(f"The method {settings.method} needs several models.", hint)
    return settings.target, second


def _is_member(name: str) -> bool:
    """Whether what `--draft` calls by that name is a model, which has a law of its own."""
    named = parse_draft(name)
    return not (named.is_ngram or named.ngram_first)


def combiner_name(settings: Settings) -> str:
    """How the models become one law: a name of `COMBINERS`."""
    return settings.ensemble_fn or METHODS[settings.method].combine or "weighted"


def combined_of(settings: Settings) -> str:
    """What is combined: "probs", "logits" or "raw-logits"."""
    return settings.ensemble_target or ("probs" if combiner_name(settings) == "weighted" else "raw-logits")


def execution_name(settings: Settings) -> str:
    """How the law is sampled: a name of `EXECUTIONS`."""
    return METHODS[settings.method].execution or settings.exec or "plain"


def alpha_of(settings: Settings) -> float:
    """The weight of what is subtracted."""
    return ALPHAS[combiner_name(settings)] if settings.alpha is None else settings.alpha


def weights_of(settings: Settings) -> tuple[float, ...]:
    """The weight of each model, their sum 1.

    Raises:
        InputError: as many as there are models are not given, or one is no weight.
    """
    names = member_names(settings)
    if not settings.weights:
        return (1 / len(names),) * len(names)
    by_name = dict(part.rpartition("=")[::2] for part in settings.weights)
    if "" in by_name:
        given = list(settings.weights)
    else:
        unknown = [name for name in by_name if name not in names]
        if unknown:
            raise InputError(f"--weights names {unknown[0]}, which is none of the models.", _listing(names))
        if len(by_name) < len(settings.weights):
            raise InputError("--weights gives one model two weights.", _listing(names))
        missing = [name for name in names if name not in by_name]
        if missing:
            hint = f"Give it one, such as {missing[0]}=0.3, or 0 to leave it out."
            raise InputError(f"--weights gives none for {missing[0]}.", hint)
        given = [by_name[name] for name in names]
    if len(given) != len(names) or (by_name and len(set(names)) < len(names) and "" not in by_name):
        problem = f"There are {len(settings.weights)} weights for {len(names)} models."
        raise InputError(problem, "Give one for each, such as --weights 0.7,0.3.")
    numbers = [_weight(text) for text in given]
    total = sum(numbers)
    if total <= 0:
        raise InputError("The weights are all 0.", "Give one above 0, such as --weights 0.7,0.3.")
    return tuple(number / total for number in numbers)


def _weight(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        problem = f"--weights must be numbers of at least 0, not {text!r}."
        raise InputError(problem, "Write --weights 0.7,0.3, or NAME=0.7,OTHER=0.3.")
    return number


def _listing(names: tuple[str, ...]) -> str:
    return f"The models are {', '.join(names)}."


def check_ensemble(settings: Settings, places: Mapping[str, str]) -> None:
    """Refuse what contradicts itself.

    Args:
        settings: of any method.
        places: how a message points at a setting.

    Raises:
        InputError: with what to change.
    """
    if settings.algorithm is not None:
        _check_segments(settings, places)
        return
    _refuse_without_segments(settings, places)
    if not METHODS[settings.method].is_ensemble:
        _refuse_elsewhere(settings, places)
        return
    _check_execution(settings, places)
    names, law = member_names(settings), combiner_name(settings)
    if law in COUNTS and len(names) != COUNTS[law][0]:
        problem = f"A {law} ensemble is of {COUNTS[law][0]} models, {COUNTS[law][1]}, not {len(names)}."
        raise InputError(problem, "Name them in this order with --models.")
    if settings.models and settings.amateur not in (None, *settings.models[1:2]):
        problem = f"{places['amateur']} {settings.amateur} is not the second of the models."
        raise InputError(problem, "Leave it out: --models names all of them.")
    if settings.models and settings.draft is not None and execution_name(settings) != "sd":
        problem = f"{places['draft']} {settings.draft} has no use: the models propose themselves."
        raise InputError(problem, "Leave it out, or add --exec sd, in which it proposes to all of them.")
    if settings.models and settings.draft in settings.models:
        problem = f"{settings.draft} is one of the models already."
        hint = "Leave it out: --exec sd lets a model propose, --gamma 1,5 says which."
        raise InputError(problem, hint)
    if settings.models and settings.draft is not None and len(settings.gammas) > 1:
        problem = f"There are {len(settings.gammas)} proposal lengths, and {settings.draft} alone proposes."
        raise InputError(problem, "Give one, such as --gamma 5, or leave out the draft.")
    _check_law(settings, places, law)
    if len(settings.gammas) not in (0, 1, len(names)):
        problem = f"There are {len(settings.gammas)} proposal lengths for {len(names)} models."
        raise InputError(problem, "Give one for each, such as --gamma 1,5, or one for the first proposer.")
    weights_of(settings)


def _check_segments(settings: Settings, places: Mapping[str, str]) -> None:
    """Segments are drafted by methods of one target; what combines models token by token has no use."""
    if METHODS[settings.method].is_ensemble:
        problem = f"{places['method']} {settings.method} cannot draft segments for {settings.algorithm}."
        raise InputError(problem, "Choose a method of one target, such as ngram, or leave it out.")
    for name in OWN:
        if name not in ("models", "weights", "gammas") and getattr(settings, name) != DEFAULTS[name]:
            problem = f"{places[name]} has no use: {settings.algorithm} combines segments, not tokens."
            raise InputError(problem, "Leave it out, or choose another --algorithm, such as we.")


def _refuse_without_segments(settings: Settings, places: Mapping[str, str]) -> None:
    for name in SEGMENTS:
        if getattr(settings, name) != DEFAULTS[name] and places[name].startswith("--"):
            problem = f"{places[name]} has no use without segments."
            raise InputError(problem, "Leave it out, or use `specdec ensemble --algorithm specem`.")


def _refuse_elsewhere(settings: Settings, places: Mapping[str, str]) -> None:
    for name in OWN:
        if getattr(settings, name) != DEFAULTS[name] and places[name].startswith("--"):
            problem = f"{places[name]} has no use: the method {settings.method} is no ensemble."
            takers = [each for each, method in METHODS.items() if method.is_ensemble]
            raise InputError(problem, f"Leave it out, or choose one of {', '.join(takers)}.")


def _check_execution(settings: Settings, places: Mapping[str, str]) -> None:
    fixed, execution = METHODS[settings.method].execution, execution_name(settings)
    if fixed and settings.exec not in (None, fixed):
        others = [each for each in EXECUTIONS if each != fixed]
        problem = f"{places['exec']} {settings.exec} contradicts the method {settings.method}."
        general = METHODS[settings.method].general
        raise InputError(problem, f"Choose --method {general}, which takes --exec {', '.join(others)}.")
    if execution == "mixture" and (combiner_name(settings) != "weighted" or settings.temperature == 0):
        problem = "Drawing a model for each token needs an average of probabilities, above temperature 0."
        raise InputError(problem, "Use --exec chef, or --exec auto, which chooses what can be had.")
    if settings.verify == "block" and execution != "sd":
        problem = f"{places['verify']} block judges the chain of one proposer, and there is none."
        raise InputError(problem, "Add --exec sd, or leave it out.")


def _check_law(settings: Settings, places: Mapping[str, str], law: str) -> None:
    if (combined_of(settings) == "probs") != (law == "weighted"):
        problem = f"{places['ensemble_target']} {settings.ensemble_target} does not go with {law}."
        wanted = "probs" if law == "weighted" else "logits or raw-logits"
        hint = f"Use --ensemble-target {wanted}"
        hint += ", or --ensemble-fn geometric to average logits." if law == "weighted" else "."
        raise InputError(problem, hint)
    uses = {"weights": ("weighted", "geometric"), "alpha": tuple(ALPHAS), "plausibility": ("contrastive",)}
    for name, laws in uses.items():
        if getattr(settings, name) != DEFAULTS[name] and law not in laws:
            problem = f"{places[name]} has no use: a {law} ensemble takes none."
            raise InputError(problem, f"Leave it out, or choose --ensemble-fn {' or '.join(laws)}.")
