"""Other engines in the same run: transformers' own generation on the same models, prompts and clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import torch

from specdec_cli.engine.roles import Step
from specdec_cli.models.eagle.head import EagleHead
from specdec_cli.models.hf.checkpoint import logit_vocab_size
from specdec_cli.models.hf.generation import only_errors, same_law
from specdec_cli.registry.drafts import DraftSpec
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import resolve_draft

PLAIN = "transformers"
LOOKUP = "transformers, prompt lookup"
ASSISTED = "transformers, assisted"
# transformers 5.23 alone would apply it twice, and other temperatures than 1 would flatter us.
ONCE = "applied once to the assistant's logits, by processors of ours"
Run = Callable[[Sequence[int], Settings], list[Step]]


@dataclass(frozen=True, slots=True)
class Peer:
    """Another engine.

    Attributes:
        run: decodes a prompt.
        settings: what it was set to, to be shown beside its figures.
    """

    run: Run
    settings: Mapping[str, object]


def transformers_peers(session: Session, settings: Settings) -> dict[str, Peer]:
    """`generate` as it is, with prompt lookup, and with the draft as assistant if the draft is a model."""
    common = {
        "version": version("transformers"),
        "attention": session.target.model.config._attn_implementation,
        "threads": torch.get_num_threads(),
    }
    lookup = {"prompt_lookup_num_tokens": settings.gamma}
    peers = {
        PLAIN: Peer(_peer(session, {}), common),
        LOOKUP: Peer(_peer(session, lookup), common | lookup),
    }
    draft = assistant_of(session, settings)
    if draft is not None:
        assistant = session.draft(draft).model
        options = {
            key: getattr(assistant.generation_config, key, None)
            for key in ("num_assistant_tokens", "num_assistant_tokens_schedule")
        }
        shown = common | {"assistant_model": draft.name} | options
        if settings.temperature > 0:
            shown["temperature"] = ONCE
        given = {"assistant_model": assistant, **_tokenizers(session, draft)}
        peers[ASSISTED] = Peer(_peer(session, {}, **given), shown)
    return peers


def assistant_of(session: Session, settings: Settings) -> DraftSpec | None:
    """The draft if it is a model by itself, which transformers can let assist."""
    draft = resolve_draft(settings)
    if draft is None or not draft.is_model or isinstance(session.draft(draft).model, EagleHead):
        return None
    return draft


def _tokenizers(session: Session, assistant: DraftSpec) -> dict[str, Any]:
    """What transformers asks for, and only then, where the two models have not as many logits."""
    target, draft = session.target, session.draft(assistant)
    if logit_vocab_size(target.model.config) == logit_vocab_size(draft.model.config):
        return {}
    return {"tokenizer": target.tokenizer.inner, "assistant_tokenizer": draft.tokenizer.inner}


def _peer(session: Session, configured: Mapping[str, Any], **options: Any) -> Run:
    # configured: what stands in the configuration; options: what stands beside it

    def run(prompt: Sequence[int], settings: Settings) -> list[Step]:
        if settings.seed:
            torch.manual_seed(settings.seed)
        ids = torch.tensor([list(prompt)], device=session.target.device)
        stops = session.stops(prompt, settings)
        given, beside = dict(configured), dict(options)
        if settings.stop:
            given["stop_strings"] = list(settings.stop)
            beside["tokenizer"] = session.target.tokenizer.inner
        law = same_law(
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            min_p=settings.min_p,
            max_tokens=settings.max_tokens,
            ends=sorted(stops.tokens),
            vocabulary=logit_vocab_size(session.target.model.config),
            **given,
        )
        with only_errors():
            clock = _Clock()
            made = session.target.model.generate(
                ids, attention_mask=torch.ones_like(ids), stopping_criteria=[clock], **law, **beside
            )
        return clock.steps(made[0, len(prompt) :].tolist(), len(prompt))

    return run


class _Clock:
    """Notes when transformers has how many tokens: it asks after every pass whether to stop."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._seen: list[tuple[float, int]] = []

    def __call__(self, tokens: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        self._seen.append((time.perf_counter(), tokens.shape[-1]))
        return torch.zeros(tokens.shape[0], dtype=torch.bool, device=tokens.device)

    def steps(self, emitted: Sequence[int], prompt: int) -> list[Step]:
        """One step a pass; the first, which reads the prompt, counts as reading it but for a step's mean."""
        ends = [min(length - prompt, len(emitted)) for _, length in self._seen]
        times = [moment for moment, _ in self._seen]
        later = [after - before for before, after in pairwise(times)]
        typical = sum(later) / len(later) if later else 0.0
        found, done = [], 0
        for number, end in enumerate(ends):
            seconds = later[number - 1] if number else typical
            prefill = max(times[0] - self._begun - typical, 0.0) if not number else 0.0
            taken = tuple(emitted[done:end])
            found.append(
                Step(taken, max(len(taken) - 1, 0), 0, 0, seconds, 0.0, seconds, prefill_seconds=prefill)
            )
            done = end
        return found
