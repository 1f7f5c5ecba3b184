"""A run that is watched from both sides: what the verifier was shown, and the logits of the draft."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from specdec_cli.drafting.base import DraftModel
from specdec_cli.drafting.vocabulary import DraftVocabulary
from specdec_cli.engine.observation import VerifierView, observed
from specdec_cli.engine.roles import Roles, Step
from specdec_cli.registry.drafts import DraftSpec
from specdec_cli.runtime.build import drafter_of
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings
from specdec_cli.tree import ROOT, TokenTree

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StepView:
    """One step, its tree and everything that is known about the tree's nodes.

    Attributes:
        step: what was emitted.
        verifier: what the verifier was shown, and what it said.
        draft_logits: the draft's logits (V,) after each node that it read, by row: 0 for the text, `i + 1`
            for node `i`; empty where the draft is no model.
    """

    step: Step
    verifier: VerifierView
    draft_logits: dict[int, Tensor]


class RecordingDraft:
    """A draft model that remembers its logits since the last `root`, by the tokens that lead there."""

    def __init__(self, model: DraftModel, vocab_size: int) -> None:
        self._model = model
        self._vocabulary = DraftVocabulary(model.vocabulary, vocab_size)
        self._paths: list[Path] = []
        self.logits: dict[Path, Tensor] = {}

    @property
    def forward_seconds(self) -> float:
        return self._model.forward_seconds

    @property
    def free_positions(self) -> int:
        return self._model.free_positions

    @property
    def vocabulary(self) -> Tensor | None:
        return self._model.vocabulary

    def begin(self, tokens: Sequence[int]) -> None:
        self._model.begin(tokens)

    def root(self) -> Tensor:
        logits = self._model.root()
        self._paths = []
        self.logits = {(): self._vocabulary.wide(logits)}
        return logits

    def grow(self, tokens: Sequence[int], parents: Sequence[int]) -> Tensor:
        logits = self._model.grow(tokens, parents)
        for row, (token, parent) in enumerate(zip(tokens, parents, strict=True)):
            path = (*(() if parent == ROOT else self._paths[parent]), token)
            self._paths.append(path)
            self.logits[path] = self._vocabulary.wide(logits[row])
        return logits

    def commit(self, path: Sequence[int], tokens: Sequence[int]) -> None:
        self._model.commit(path, tokens)


def watch(session: Session, prompt: Sequence[int], settings: Settings) -> Iterator[StepView]:
    """Decode a prompt as `Session.steps` does, and look at every step."""
    drafts: list[RecordingDraft] = []
    vocab_size = session.runner().vocab_size

    def draft_model(draft: DraftSpec) -> DraftModel:
        drafts.append(RecordingDraft(session.runner(draft), vocab_size))
        return drafts[-1]

    plain = session.roles(settings)
    drafter = drafter_of(settings, vocab_size, draft_model, session.runner().costs.seconds)
    roles = Roles(plain.target, drafter, plain.verify)
    for step, verifier in observed(roles, partial(session.steps, prompt, settings)):
        view = StepView(step, verifier, _by_row(verifier.tree, drafts))
        for draft in drafts:
            draft.logits = {}  # a step that does not ask it must not be shown what it said before
        yield view


def paths_of(tree: TokenTree) -> list[Path]:
    """The tokens that lead to each row: () for row 0, then those of each node."""
    paths: list[Path] = [()]
    for token, parent in zip(tree.tokens, tree.parents, strict=True):
        paths.append((*paths[parent + 1], token))
    return paths


def _by_row(tree: TokenTree, drafts: Sequence[RecordingDraft]) -> dict[int, Tensor]:
    logits = {path: row for draft in drafts for path, row in draft.logits.items()}
    return {row: logits[path] for row, path in enumerate(paths_of(tree)) if path in logits}
