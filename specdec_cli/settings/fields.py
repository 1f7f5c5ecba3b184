"""Every setting, once: its name, default, meaning and range.

The options of the commands, the checks, the messages and the tables all read them here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from specdec_cli.settings.rules import Rule
from specdec_cli.settings.single import SingleSettings

COMBINERS = ("weighted", "geometric", "contrastive", "proxy")
COMBINED = ("probs", "logits", "raw-logits")
EXECUTIONS = ("auto", "plain", "sd", "chef", "mixture")
SCORINGS = ("logprob", "logit")


def _ensemble(help: str, **limits: Any) -> dict[str, Rule]:
    return {"rule": Rule("Ensemble", help, **limits)}


@dataclass(frozen=True, slots=True)
class Settings(SingleSettings):
    """All that decides what a run does, checked."""

    models: tuple[str, ...] = field(
        default=(),
        metadata=_ensemble(
            "Models of the ensemble, with commas: names as for --target, or layers:N, self:int8, self:int4, "
            "self:noise:0.01 made of the first. Without it: --target, and --amateur or --draft.",
            listed=True,
        ),
    )
    amateur: str | None = field(
        default=None,
        metadata=_ensemble("The model that cd subtracts from --target.", unset="--draft, if it is a model"),
    )
    ensemble_fn: str | None = field(
        default=None,
        metadata=_ensemble(
            "How the models become one law: an average of probabilities (weighted) or of logits (geometric), "
            "the first less --alpha of the second (contrastive), or the first and --alpha of what the second "
            "says beyond the third (proxy).",
            choices=COMBINERS,
            unset="the method's own",
        ),
    )
    ensemble_target: str | None = field(
        default=None,
        metadata=_ensemble(
            "What is combined: distributions, logits after temperature and filters, or logits before them.",
            choices=COMBINED,
            unset="probs for weighted, raw-logits for the others",
        ),
    )
    weights: tuple[str, ...] = field(
        default=(),
        metadata=_ensemble(
            "Weight of each model: 0.7,0.3 in the order of --models, or NAME=0.7,OTHER=0.3; else equal. With "
            "specem of each that judges, at the start.",
            listed=True,
        ),
    )
    alpha: float | None = field(
        default=None,
        metadata=_ensemble(
            "Weight of the amateur's logits (contrastive), or of the difference (proxy).",
            low=0,
            unset="0.1, or 1 for proxy",
            flags=("--alpha", "--mu"),
        ),
    )
    plausibility: float = field(
        default=0.0,
        metadata=_ensemble(
            "Keep tokens this likely relative to the expert's likeliest (contrastive); 0 keeps all.",
            low=0,
            high=1,
        ),
    )
    exec: str | None = field(
        default=None,
        metadata=_ensemble(
            "How the law is sampled, always exactly: each model for each token (plain), one model proposes "
            "(sd), all in turn (chef), one model drawn for each token (mixture), or what is fastest (auto).",
            choices=EXECUTIONS,
            unset="the method's own, or plain",
        ),
    )
    gammas: tuple[int, ...] = field(
        default=(),
        metadata=_ensemble(
            "Tokens that each model proposes at a time; --gamma 1,5 says the same. Else 1 each, 4 for sd.",
            low=1,
            high=4096,
        ),
    )

    algorithm: str | None = field(
        default=None,
        metadata=_ensemble(
            "Of `specdec ensemble`: specem, where models draft segments and judge each other's.",
            choices=("specem",),
            unset="the method",
        ),
    )
    verify_models: tuple[str, ...] = field(
        default=(),
        metadata=_ensemble(
            "Models that judge drafts (specem), with commas; else those of --models.", listed=True
        ),
    )
    window_size: int = field(
        default=10, metadata=_ensemble("Tokens of a segment, about (specem).", low=1, high=1024)
    )
    max_words: int = field(
        default=1500,
        metadata=_ensemble(
            "Words, or Chinese characters, after which the answer ends (specem).", low=1, high=2**31
        ),
    )
    fast_decoder: bool = field(
        default=False,
        metadata=_ensemble("Let the first draft that ends the answer win without a vote (specem)."),
    )
    self_vote: bool = field(default=False, metadata=_ensemble("Hear models about their own drafts (specem)."))
    feedback: bool = field(
        default=True,
        metadata=_ensemble("Let weights follow whose drafts win in the eyes of others (specem)."),
    )
    learning_rate: float = field(
        default=1.0, metadata=_ensemble("Factor on the steps of the weights (specem).", low=0)
    )
    scoring: str = field(
        default="logprob",
        metadata=_ensemble(
            "What the models' votes come from (specem): log-probabilities, or raw logits as published.",
            choices=SCORINGS,
        ),
    )


RULES: dict[str, Rule] = {setting.name: setting.metadata["rule"] for setting in fields(Settings)}
DEFAULTS: dict[str, Any] = {setting.name: setting.default for setting in fields(Settings)}
_HINTS = get_type_hints(Settings)


def type_of(setting: str) -> tuple[Any, bool]:
    """The type of a setting without its None, and whether None is one of its values."""
    hint = _HINTS[setting]
    parts = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    return next(part for part in parts if part is not NoneType), NoneType in parts
