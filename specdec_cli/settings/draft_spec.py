"""What `--draft` may say: a model, `ngram`, `layers:N`, `self:int4` or `self:noise:0.01`.

`ngram+` may stand before all but `ngram`. All of it is read here, before anything is loaded.
"""

from __future__ import annotations

import math
from dataclasses import replace

from specdec_cli.errors import InputError
from specdec_cli.registry.drafts import EARLY_EXIT, MODEL, NGRAM, NGRAM_FIRST, NOISY, QUANTIZED, DraftSpec
from specdec_cli.registry.methods import METHODS
from specdec_cli.registry.models import find, suggest
from specdec_cli.registry.precisions import OURS
from specdec_cli.settings.fields import Settings

LAYERS, SELF, NOISE = "layers:", "self:", "self:noise:"


def parse_draft(text: str) -> DraftSpec:
    """What a text names.

    Raises:
        InputError: a prefix without the value that belongs to it, or nothing to ask after `ngram+`.
    """
    name = text.removeprefix(NGRAM_FIRST)
    if name != text:
        _require_other(text, name)
        return replace(parse_draft(name), ngram_first=True)
    if name == NGRAM:
        return DraftSpec(NGRAM, name)
    if name.startswith(LAYERS):
        return DraftSpec(EARLY_EXIT, name, layers=_layer_count(name))
    if name.startswith(NOISE):
        return DraftSpec(NOISY, name, noise=_noise_level(name))
    if name.startswith(SELF):
        return DraftSpec(QUANTIZED, name, precision=_precision(name))
    return DraftSpec(MODEL, name)


def without_ngram_first(text: str) -> tuple[str, str]:
    """`ngram+` if a text begins with it, and the rest."""
    rest = text.removeprefix(NGRAM_FIRST)
    return text[: len(text) - len(rest)], rest


def resolve_draft(settings: Settings) -> DraftSpec | None:
    """What drafts: what was asked for, or the target's default; None where the method drafts nothing.

    Raises:
        InputError: the method needs a draft and the target has no default, or one that it cannot take.
    """
    method = METHODS[settings.method]
    if method.drafter == "none":
        return None
    if method.is_ensemble:  # without --models the draft is one of them
        asked = settings.draft if settings.models else None
        return None if asked is None else _copying_allowed(settings, parse_draft(asked))
    if method.drafter == NGRAM:
        return DraftSpec(NGRAM, NGRAM)
    found = _default_of(settings) if settings.draft is None else parse_draft(settings.draft)
    if found.is_ngram:
        _require_samples(settings)
        _require_budget(settings)
    return _copying_allowed(settings, found)


def default_draft(target: str) -> DraftSpec | None:
    """What drafts for a target when nothing is said, if there is a default."""
    entry = find(target)
    return None if entry is None or entry.default_draft is None else parse_draft(entry.default_draft)


def default_model(target: str) -> str | None:
    """The name of the model that drafts for a target when nothing is said, if there is one."""
    found = default_draft(target)
    return None if found is None or found.is_ngram else found.name


def _default_of(settings: Settings) -> DraftSpec:
    found = default_draft(settings.target)
    if found is not None:
        return found
    problem = f"The method {settings.method} needs a draft, and {settings.target} has no default one."
    hint = "Name a smaller model of the family with --draft, or use --draft ngram."
    near = suggest(settings.target)
    raise InputError(problem, f"Did you mean --target {near}? {hint}" if near else hint)


def _copying_allowed(settings: Settings, draft: DraftSpec) -> DraftSpec:
    """The draft; without the copying where that is its target's default and the method cannot take it.

    Copied guesses are certain ones, and not every verifier and drafter can do with them.

    Raises:
        InputError: they are asked for.
    """
    method = METHODS[settings.method]
    if draft.ngram_first and settings.draft is not None and not method.may_copy_first:
        problem = f"The method {settings.method} takes no copied guesses, as {draft.text} makes them."
        takers = [name for name, each in METHODS.items() if each.may_copy_first]
        others = "" if method.is_ensemble else f", or --method {' or '.join(takers)}"
        raise InputError(problem, f"Use --draft {draft.name}{others}.")
    return replace(draft, ngram_first=draft.ngram_first and method.may_copy_first)


def _require_other(text: str, name: str) -> None:
    """Check that there is a draft for where nothing can be copied.

    Raises:
        InputError: it is none, or copies too.
    """
    if not name or name == NGRAM or name.startswith(NGRAM_FIRST):
        problem = f"{text} names no model that guesses where nothing can be copied."
        raise InputError(problem, f"Write {NGRAM}, or for example {NGRAM_FIRST}{SELF}int4.")


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
    if settings.node_budget is None and METHODS[settings.method].ranks_guesses:
        problem = "--max-budget auto weighs a draft's probabilities, and ngram has none."
        raise InputError(problem, "Give a number, such as 32, or a draft model, such as --draft self:int4.")


def _layer_count(name: str) -> int:
    count = name.removeprefix(LAYERS)
    if not count.isdecimal() or int(count) < 1:
        raise InputError(f"{name} does not say how many layers.", "Write layers:8 for the first eight.")
    return int(count)


def _precision(name: str) -> str:
    kind = name.removeprefix(SELF)
    if kind not in OURS:
        choices = f"{' or '.join(f'{SELF}{each}' for each in OURS)}, or {NOISE}0.01"
        raise InputError(f"{name} names no precision that weights can be rounded to.", f"Write {choices}.")
    return kind


def _noise_level(name: str) -> float:
    try:
        level = float(name.removeprefix(NOISE))
    except ValueError:
        level = math.nan
    if not 0 < level < math.inf:
        problem = f"{name} does not say how much noise."
        raise InputError(problem, f"Write {NOISE}0.01 for one percent of the weights' spread.")
    return level
