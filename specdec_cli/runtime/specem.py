"""Settings become the members of a SpecEM ensemble: each model is a session with its own tokenizer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from specdec_cli.errors import InputError
from specdec_cli.models.loader import LoadedModel
from specdec_cli.progress import Report
from specdec_cli.registry.methods import METHODS
from specdec_cli.runtime.promise import Promise, identical
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import parse_draft, resolve_draft
from specdec_cli.specem.member import Asking, SpecEMMember
from specdec_cli.specem.rounds import Rules, SpecEM

QUESTION = "Question: {}\nAnswer:"  # for models that know no conversation
NEXT_QUESTION = "\nQuestion:"
LEAD = " "


def model_names(settings: Settings) -> tuple[list[str], list[str]]:
    """The models that draft and those that judge.

    Raises:
        InputError: none is named.
    """
    drafters = list(settings.models)
    if not drafters:
        raise InputError("There are no models.", "Name them with commas: --models smollm2-135m,another.")
    return drafters, list(settings.verify_models) or drafters


def rules_of(settings: Settings) -> Rules:
    """How the rounds go under these settings.

    Raises:
        InputError: the weights are no numbers, not as many as judges, or come to nothing.
    """
    return Rules(
        window=settings.window_size,
        max_words=settings.max_words,
        fast=settings.fast_decoder,
        self_vote=settings.self_vote,
        feedback=settings.feedback,
        learning_rate=settings.learning_rate,
        scoring=settings.scoring,
        weights=_weights(settings),
        seed=settings.seed,
    )


def load_ensemble(settings: Settings, report: Report, *, reuse: bool = True) -> SpecEM:
    """The ensemble that the settings describe, its models loaded.

    Args:
        settings: `models`, `verify_models`, how members draft, and everything that loading takes.
        report: told what is going on.
        reuse: whether models keep what they have read from round to round.

    Raises:
        SpecdecError: a name that is none, or a model that cannot be had or used.
    """
    drafters, verifiers = model_names(settings)
    rules = rules_of(settings)
    named = None if settings.draft is None else parse_draft(settings.draft)
    if METHODS[settings.method].asks_draft and named is not None and named.is_model:
        problem = f"The draft {settings.draft} cannot draft for models of several tokenizers."
        raise InputError(problem, "Use --draft ngram, layers:N or self:int4, or --method ngram.")
    loaded: dict[str, LoadedModel] = {}
    members: dict[str, SpecEMMember] = {}
    sessions: list[Session] = []
    for label, name in (*_labelled(drafters), *_labelled(verifiers)):
        if label not in members:
            session = _session(replace(settings, target=name), loaded.get(name), report)
            loaded[name] = session.target
            sessions.append(session)
            members[label] = _member(label, session, reuse)
    if settings.system is not None and not any(each.uses_chat for each in sessions):
        problem = "A system message needs a chat template, and none of the models is asked by one."
        raise InputError(problem, "Leave out --system, or use --chat.")
    return SpecEM(
        [members[label] for label, _ in _labelled(drafters)],
        [members[label] for label, _ in _labelled(verifiers)],
        rules,
    )


def identical_of(ensemble: SpecEM, settings: Settings) -> Promise | None:
    """What is promised of an answer beside the one of members that draft by plain decoding; see `promise`."""
    members = *ensemble.drafters, *ensemble.verifiers
    return identical(settings, all(member.bitwise for member in members))


def _labelled(names: Sequence[str]) -> list[tuple[str, str]]:
    """A label for each name that tells it from an earlier one of the same name."""
    found = []
    for index, name in enumerate(names):
        count = names[: index + 1].count(name)
        found.append((name if count == 1 else f"{name} ({count})", name))
    return found


def _session(settings: Settings, known: LoadedModel | None, report: Report) -> Session:
    """A session with a cache of its own; a model that is loaded already is shared."""
    if known is None:
        return Session.load(settings, report)
    session = Session(settings, known, report)
    draft = resolve_draft(settings)
    if draft is not None and not draft.is_ngram:
        session.draft(draft, report)
    return session


def _member(label: str, session: Session, reuse: bool) -> SpecEMMember:
    settings, draft = session.settings, resolve_draft(session.settings)
    models = [] if draft is None or draft.is_ngram else [draft]
    runners = [session.runner(), *(session.runner(each) for each in models)]
    for runner in runners:
        runner.reuse = reuse
    target = session.target
    roles = session.roles(settings)
    return SpecEMMember(label, runners[0], roles, target.tokenizer, asking_of(session), target.context)


def asking_of(session: Session) -> Asking:
    """How a session's model is asked: its chat template; without one, as question and answer.

    --raw leaves the prompt as it is, for every model.
    """
    tokenizer, settings = session.target.tokenizer, session.settings
    stops, closing = session.stops(), _closing(session)
    if session.uses_chat:
        system = [] if settings.system is None else [{"role": "system", "content": settings.system}]

        def conversation(question: str) -> list[int]:
            return tokenizer.encode_chat([*system, {"role": "user", "content": question}])

        return Asking(conversation, "", stops.strings, stops.tokens, closing, joined=False, names=stops.names)
    if settings.chat is False:
        opening = tokenizer.encode
        return Asking(opening, "", stops.strings, stops.tokens, closing, joined=True, names=stops.names)

    def question_and_answer(question: str) -> list[int]:
        return tokenizer.encode(QUESTION.format(question))

    strings = *settings.stop, NEXT_QUESTION
    closing = tuple(tokenizer.encode_plain(NEXT_QUESTION))
    return Asking(question_and_answer, LEAD, strings, stops.tokens, closing, joined=True, names=stops.names)


def _closing(session: Session) -> tuple[int, ...]:
    """The token by which the model ends a text: its tokenizer's own, if it has one."""
    tokenizer = session.target.tokenizer
    ends = tokenizer.stop_tokens or session.target.stop_tokens
    return (min(ends),) if ends else tuple(tokenizer.encode_plain("\n\n"))


def _weights(settings: Settings) -> tuple[float, ...] | None:
    if not settings.weights:
        return None
    given = ",".join(settings.weights)
    hint = "Give a number for each model that judges, with commas: --weights 1,2."
    try:
        weights = tuple(float(part) for part in settings.weights)
    except ValueError:
        raise InputError(f"The weights {given} are no numbers.", hint) from None
    judges = len(model_names(settings)[1])
    if len(weights) != judges:
        raise InputError(f"There are {len(weights)} weights for {judges} models that judge.", hint)
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or sum(weights) == 0:
        raise InputError(f"The weights {given} are no weights.", "None below 0, one above it.")
    return weights
