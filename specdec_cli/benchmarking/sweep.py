"""A sweep: the product of methods and of the values that settings are to take."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from specdec_cli.errors import InputError
from specdec_cli.registry.drafts import NGRAM
from specdec_cli.registry.methods import METHODS, PLAIN, canonical
from specdec_cli.settings import Settings, load_settings
from specdec_cli.settings.ensembles import OWN, execution_name

LONGEST = 10_000  # values of one range
RANGE = re.compile(r"(-?[0-9]+)\s*-\s*([0-9]+)(?:\s*\+\s*([0-9]+))?")
SHOWN = {
    "max_budget": "budget",
    "max_n_beams": "beams",
    "max_beam_len": "depth",
    "max_branch_width": "branch",
    "min_log_prob": "min LP",
    "gamma": "gamma",
    "tree": "tree",
    "temperature": "T",
    "top_p": "top-p",
    "decay": "decay",
    "draft": "draft",
    "verify": "verify",
    "alpha": "alpha",
    "exec": "exec",
}
ALWAYS = ("temperature", "top_p")
LAW = ("alpha",)  # what else decides what an ensemble says
EXECUTED = {  # what changes how its law is sampled, by the execution that its name fixes
    None: ("gamma", "exec"),
    "sd": ("gamma", "verify", "draft"),
    "chef": ("gamma",),
}
MOST = 2048  # configurations


@dataclass(frozen=True, slots=True)
class Configuration:
    """One column of a benchmark: settings under a name that tells them from the others'.

    Attributes:
        name: the method and the values that were swept.
        settings: everything.
        baseline: name of the plain decoding that it is compared with: that of the same sampling.
    """

    name: str
    settings: Settings
    baseline: str


def values(text: str) -> list[str]:
    """The values that a sweep names: "16, 32, 64", "1-8", "1-9+2".

    Raises:
        InputError: it names none, or a range runs backwards.
    """
    found: list[str] = []
    for part in (each.strip() for each in text.split(",")):
        span = RANGE.fullmatch(part)
        if span:
            low, high, step = int(span[1]), int(span[2]), int(span[3] or 1)
            if low > high or step < 1 or (high - low) // step > LONGEST:
                raise InputError(
                    f"The range {part!r} has no values.", "Write 1-8, or 1-9+2 for every second."
                )
            found += map(str, range(low, high + 1, step))
        elif part:
            found.append(part)
    if not found:
        raise InputError(f"{text!r} names no values.", 'Write "16, 32, 64" or "1-8".')
    return found


def configurations(
    preset: str | None, flags: Mapping[str, object], methods: Sequence[str], swept: Mapping[str, str]
) -> list[Configuration]:
    """Every method with every combination of the swept values that it reads, plain decoding first.

    Args:
        preset: as for `load_settings`.
        flags: settings that all share.
        methods: names in `METHODS`.
        swept: setting to text as for `values`.

    Raises:
        InputError: an unknown method, or a value that its setting does not take.
    """
    methods = [canonical(method) for method in methods]
    for method in methods:
        if method not in METHODS:
            raise InputError(f"There is no method {method!r}.", f"The methods are {', '.join(METHODS)}.")
    choices = {setting: values(text) for setting, text in swept.items()}
    if prod(map(len, choices.values())) > MOST:
        problem = f"The sweeps are {prod(map(len, choices.values())):,} configurations."
        raise InputError(problem, f"At most {MOST:,} are run together: sweep fewer values.")
    sweep = _Sweep(preset, flags, choices)
    plain = dict.fromkeys(plain_of(method) for method in methods or [PLAIN])
    found: dict[str, Configuration] = {}
    for method, is_plain in (*((name, True) for name in plain), *((name, False) for name in methods)):
        for each in sweep.of(method, is_plain):
            found.setdefault(each.name, each)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Sweep:
    """What all methods of a sweep share: the preset, the flags, and the values of what is swept."""

    preset: str | None
    flags: Mapping[str, object]
    choices: Mapping[str, Sequence[str]]

    def of(self, method: str, is_plain: bool) -> Iterator[Configuration]:
        """A method with every combination of the values that it reads, or as others' baseline."""
        known = METHODS[method]
        law = LAW if self.flags.get("models") or self.flags.get("amateur") else (*LAW, "draft")
        read = [setting for setting in self.choices if setting in _read(method, is_plain, law)]
        given = {name: value for name, value in self.flags.items() if _applies(method, name, is_plain)}
        given |= {"exec": "plain"} if is_plain and known.is_ensemble else {}
        useless = _useless(self.preset, method, is_plain)
        for combination in product(*(self.choices[setting] for setting in read)):
            chosen = dict(zip(read, combination, strict=True))
            flags = {**given, "method": method, **chosen}
            settings = load_settings(self.preset, flags=flags, leave_out=useless).settings
            varied = {setting: value for setting, value in chosen.items() if len(self.choices[setting]) > 1}
            sampling = {setting: value for setting, value in varied.items() if setting in (*ALWAYS, *law)}
            if not known.is_ensemble:
                sampling.pop("draft", None)
            baseline = _name(plain_of(method), replace(settings, exec=None), sampling)
            is_same = known.is_ensemble and execution_name(settings) == "plain"
            yield Configuration(baseline if is_same else _name(method, settings, varied), settings, baseline)


def plain_of(method: str) -> str:
    """What a method is compared with: plain decoding, or every model of the ensemble for every token."""
    known = METHODS[method]
    return known.general or method if known.is_ensemble else PLAIN


def _read(method: str, is_plain: bool, law: Sequence[str]) -> tuple[str, ...]:
    """The settings that a sweep over a method takes up; `law` are those that decide what an ensemble says."""
    known = METHODS[method]
    if not known.is_ensemble:
        return (*known.reads, *ALWAYS)
    own = () if is_plain else EXECUTED[known.execution]
    shared = [setting for setting in law if setting != "alpha" or known.combine == "contrastive"]
    return (*own, *shared, *ALWAYS)


def _useless(preset: str | None, method: str, is_plain: bool) -> set[str]:
    """Settings of a preset for one method that another, which runs beside it, would refuse."""
    own = load_settings(preset, flags={}).settings
    names = {name for name in ("tree", "hub_above", "coupled") if not _applies(method, name, is_plain)}
    names |= {"verify"} if own.verify not in METHODS[method].verify else set()
    return names | ({"draft"} if METHODS[method].drafter == NGRAM else set())


def _applies(method: str, setting: str, is_plain: bool) -> bool:
    """Whether a shared flag is one that the method may be given: some refuse what they do not take."""
    known = METHODS[method]
    if known.is_ensemble:
        return setting not in ("tree", "hub_above", "coupled") and not (
            is_plain and setting in ("exec", "gamma", "gammas", "verify", "draft")
        )
    if setting in OWN:
        return False
    if setting == "draft":  # that of a trace; of plain decoding it is the one that other engines share
        return known.drafter != NGRAM
    if setting == "tree":
        return known.takes_tree
    if setting == "hub_above":
        return known.has_hubs
    if setting == "coupled":
        return known.ranks_guesses
    return setting != "verify" or len(known.verify) > 1


def _name(method: str, settings: Settings, chosen: Mapping[str, str]) -> str:
    parts, known = [method], METHODS[method]
    if settings.exec is not None and known.execution is None and "exec" not in chosen:
        parts += [] if settings.exec == "plain" or known.is_plain else [settings.exec]
    if settings.verify != "token" and "verify" not in chosen and not known.is_plain:
        parts.append(settings.verify)
    parts += [f"{SHOWN[setting]} {value}" for setting, value in chosen.items()]
    return ", ".join(parts)
