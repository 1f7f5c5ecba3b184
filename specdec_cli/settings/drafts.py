"""What `--draft` may say: a model, `ngram`, `layers:N`, `self:int4` or `self:noise:0.01`.

`ngram+` may stand before a model. All of it is checked before anything is loaded.
"""

from __future__ import annotations

import math

from specdec_cli.errors import InputError
from specdec_cli.registry.methods import METHODS
from specdec_cli.registry.models import find, suggest
from specdec_cli.registry.precisions import OURS
from specdec_cli.settings import AUTO, Settings
from specdec_cli.settings.ensembles import COPYING

NGRAM = "ngram"
COPIERS = ("sps", "specexec")  # whose verifiers take guesses of either kind
LAYERS = "layers:"
SELF = "self:"
NOISE = "self:noise:"


def is_model(draft: str) -> bool:
    """Whether a draft of that name is a model of its own, whatever is copied before it is asked."""
    draft = draft.removeprefix(COPYING)
    return draft != NGRAM and not draft.startswith((LAYERS, SELF))


def resolve_draft(settings: Settings) -> str | None:
    """The draft's name: as asked for, or the target's default; None where the method drafts nothing.

    It is a model's name or `ngram`; whether n-grams go before the model, `copies_first` says.

    Raises:
        InputError: the method needs a draft and the target has no default, or one that it cannot take.
    """
    name = _named_draft(settings)
    if name is None:
        return None
    _require_copier(settings)
    return name.removeprefix(COPYING)


def full_name(settings: Settings) -> str | None:
    """The draft as one would have to ask for it by name; None where the method drafts nothing."""
    name = resolve_draft(settings)
    return f"{COPYING}{name}" if copies_first(settings) else name


def copies_first(settings: Settings) -> bool:
    """Whether guesses are copied from the text where it repeats itself, before the draft is asked."""
    return settings.method in COPIERS and (_named_draft(settings) or "").startswith(COPYING)


def _require_copier(settings: Settings) -> None:
    """Copied guesses are certain ones, and not every verifier and drafter can do with them.

    Raises:
        InputError: the draft is to be mixed with them for another method.
    """
    if settings.draft is not None and settings.draft.startswith(COPYING) and settings.method not in COPIERS:
        problem = f"The method {settings.method} takes no copied guesses, as {settings.draft} makes them."
        hint = f"Use --draft {settings.draft.removeprefix(COPYING)}"
        others = "" if METHODS[settings.method].is_ensemble else f", or --method {' or '.join(COPIERS)}"
        raise InputError(problem, f"{hint}{others}.")


def _named_draft(settings: Settings) -> str | None:
    """The draft's name with all that stands before it."""
    if settings.method == "autoregressive":
        return None
    if METHODS[settings.method].is_ensemble:
        if settings.models and settings.draft is not None:
            require_readable(settings.draft)
        return settings.draft if settings.models else None  # without --models it is one of them
    if settings.method == NGRAM:
        return NGRAM
    if settings.draft is not None:
        if settings.draft == NGRAM:
            _require_samples(settings)
            _require_budget(settings)
        require_readable(settings.draft)
        return settings.draft
    entry = find(settings.target)
    if entry is None or entry.default_draft is None:
        problem = f"The method {settings.method} needs a draft, and {settings.target} has no default one."
        hint = "Name a smaller model of the family with --draft, or use --draft ngram."
        near = suggest(settings.target)
        raise InputError(problem, f"Did you mean --target {near}? {hint}" if near else hint)
    if entry.default_draft == NGRAM:
        _require_samples(settings)
        _require_budget(settings)
    return entry.default_draft


def default_model(target: str) -> str | None:
    """The model that drafts for a target when nothing is said, if there is one."""
    entry = find(target)
    name = None if entry is None else entry.default_draft
    return None if name is None or name == NGRAM else name.removeprefix(COPYING)


def require_readable(name: str) -> None:
    """Check a name that is made of a prefix and a value.

    Raises:
        InputError: the value is none.
    """
    if name.startswith(COPYING):
        _require_other(name)
        require_readable(name.removeprefix(COPYING))
    elif name.startswith(LAYERS):
        layer_count(name)
    elif name.startswith(NOISE):
        noise_level(name)
    elif name.startswith(SELF):
        self_precision(name)


def _require_other(name: str) -> None:
    """Check that there is a draft for where nothing can be copied.

    Raises:
        InputError: it is none, or copies too.
    """
    other = name.removeprefix(COPYING)
    if not other or other == NGRAM or other.startswith(COPYING):
        problem = f"{name} names no model that guesses where nothing can be copied."
        raise InputError(problem, f"Write {NGRAM}, or for example {COPYING}{SELF}int4.")


def _require_samples(settings: Settings) -> None:
    """N-grams have no distribution that the samples of a static tree could be drawn from.

    Raises:
        InputError: the method fills such a tree.
    """
    if METHODS[settings.method].takes_tree:
        problem = f"The method {settings.method} draws samples of a draft model, and ngram is none."
        hint = "Name a smaller model of the family with --draft, or try --draft self:int4 or layers:N."
        raise InputError(problem, hint)


def _require_budget(settings: Settings) -> None:
    """N-grams have no probabilities that a growing tree could be weighed by.

    Raises:
        InputError: the budget is to be found by weighing.
    """
    if settings.max_budget == AUTO and settings.method == "specexec":
        problem = "--max-budget auto weighs a draft's probabilities, and ngram has none."
        raise InputError(problem, "Give a number, such as 32, or a draft model, such as --draft self:int4.")


def layer_count(name: str) -> int:
    """N of a draft called `layers:N`.

    Raises:
        InputError: N is not a whole number of at least 1.
    """
    count = name.removeprefix(LAYERS)
    if not count.isdecimal() or int(count) < 1:
        raise InputError(f"{name} does not say how many layers.", "Write layers:8 for the first eight.")
    return int(count)


def self_precision(name: str) -> str:
    """The precision of a draft called `self:int4`.

    Raises:
        InputError: no such precision.
    """
    kind = name.removeprefix(SELF)
    if kind not in OURS:
        choices = f"{' or '.join(f'{SELF}{each}' for each in OURS)}, or {NOISE}0.01"
        raise InputError(f"{name} names no precision that weights can be rounded to.", f"Write {choices}.")
    return kind


def noise_level(name: str) -> float:
    """The relative size of the noise of a model called `self:noise:0.01`.

    Raises:
        InputError: it is no number above 0.
    """
    try:
        level = float(name.removeprefix(NOISE))
    except ValueError:
        level = math.nan
    if not 0 < level < math.inf:
        problem = f"{name} does not say how much noise."
        raise InputError(problem, f"Write {NOISE}0.01 for one percent of the weights' spread.")
    return level
