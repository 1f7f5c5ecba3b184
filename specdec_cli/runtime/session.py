"""Settings become loaded models, and prompts become steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from specdec_cli.drafting.base import Drafter
from specdec_cli.engine.completion import Completion
from specdec_cli.engine.loop import decode
from specdec_cli.engine.roles import Roles, Step
from specdec_cli.engine.stopping import Stopping
from specdec_cli.engine.text import Stops
from specdec_cli.ensemble.members import Member
from specdec_cli.models.eagle.forward import eagle_forward
from specdec_cli.models.eagle.head import EagleHead
from specdec_cli.models.eagle.runner import EagleRunner
from specdec_cli.models.forward.base import Forward
from specdec_cli.models.forward.select import (
    NOT_COMPILED,
    can_compile,
    compiled_forward,
    new_forward,
)
from specdec_cli.models.hardware import default_threads, dtype_name
from specdec_cli.models.loader import LoadedModel, load_checked
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.models.runner.target import ModelTarget
from specdec_cli.models.runner.tree_support import require_tree_support
from specdec_cli.progress import Report, log
from specdec_cli.registry.drafts import DraftSpec
from specdec_cli.registry.methods import METHODS
from specdec_cli.runtime.build import (
    chain_drafter,
    drafter_of,
    sampling_of,
    verifier_of,
)
from specdec_cli.runtime.draft_loading import load_draft, model_record
from specdec_cli.runtime.endings import JOINED, stops_of
from specdec_cli.runtime.ensemble import MemberPool
from specdec_cli.runtime.preflight import CheckedDraft, check_draft, preflight
from specdec_cli.runtime.promise import Promise, identical
from specdec_cli.runtime.prompt_limits import require_characters, require_chat, require_tokens
from specdec_cli.sampling.randomness import SeededRandomness
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import parse_draft, resolve_draft
from specdec_cli.settings.ensembles import member_names
from specdec_cli.tree import TokenTree

BY_ROW = (
    "the products that are fast here round a row by its neighbours, so each is attended to by itself. "
    "Texts stay plain decoding's bit for bit, and passes over trees and prompts are slow."
)


class Session:
    """A loaded target, the drafts loaded for it, and the settings that asked for them.

    Attributes:
        settings: what the run was asked to do.
        target: the model whose text it is.
        warnings: what the user should know, a sentence each.
        pool: the members of its ensembles.
    """

    def __init__(
        self,
        settings: Settings,
        target: LoadedModel,
        report: Report = log,
        checked: Sequence[CheckedDraft] = (),
    ) -> None:
        self.settings = settings
        self.target = target
        self.warnings: list[str] = list(target.warnings)
        self._checked = {each.spec: each for each in checked}
        self._drafts: dict[DraftSpec, LoadedModel] = {}
        self._runners: dict[int, Runner] = {}
        self._runners[id(target)] = self._new_runner(target, report)
        self.pool = MemberPool(lambda name, copy: self._member(name, copy, report))

    @classmethod
    def load(cls, settings: Settings, report: Report = log) -> Session:
        """Load the models that the settings name.

        Raises:
            SpecdecError: a model cannot be had, does not fit in memory, or does not fit the other.
        """
        found = preflight(settings, report)
        torch.set_num_threads(settings.threads or min(torch.get_num_threads(), default_threads()))
        report(f"Loading {settings.target}")
        target = load_checked(found.target, report=report)
        require_tree_support(target)
        session = cls(settings, target, report, found.beside)
        for each in found.beside:
            session.draft(each.spec, report)
        session.pool.gather(session.members)
        return session

    def _member(self, name: str, copy: int, report: Report) -> Member:
        """A model as a member of an ensemble; each further copy of it has a runner of its own."""
        loaded = self.target if name == self.settings.target else self.draft(parse_draft(name), report)
        runner = self._new_runner(loaded, report) if copy else self._runners[id(loaded)]
        return Member(runner, name, float(loaded.weight_bytes), runner.vocab_size, loaded.context)

    def draft(self, spec: DraftSpec, report: Report = log) -> LoadedModel:
        """The draft's model, or another member of an ensemble, loaded at the first call.

        Raises:
            SpecdecError: it cannot be had, or does not fit the target.
        """
        spec = spec.alone
        if spec not in self._drafts:
            checked = self._checked.get(spec) or check_draft(self.settings, spec, self.target, report)
            draft, warning = load_draft(self.target, checked, self.settings, report)
            said = [*draft.warnings, *([warning] if warning else [])]  # a part of the target says it again
            self.warnings += [each for each in said if each not in self.warnings]
            self._runners[id(draft)] = self._new_runner(draft, report)
            self._drafts[spec] = draft
        return self._drafts[spec]

    @property
    def members(self) -> tuple[str, ...]:
        """Names of an ensemble's models, in their order; none for other methods."""
        return member_names(self.settings) if METHODS[self.settings.method].is_ensemble else ()

    @property
    def number_format(self) -> str:
        """What the target computes in, by name: what the setting "auto" came to."""
        return dtype_name(self.target.dtype)

    def identical(self, settings: Settings | None = None) -> Promise | None:
        """What is promised of a text beside plain decoding's, with other settings if given; see `promise`."""
        settings = settings or self.settings
        names = member_names(settings) if METHODS[settings.method].is_ensemble else (self.settings.target,)
        models = [None if name == self.settings.target else parse_draft(name) for name in names]
        return identical(settings, all(self.runner(each).bitwise for each in models))

    @property
    def uses_chat(self) -> bool:
        """Whether prompts go into the chat template; if not, they are continued as they are."""
        asked = self.settings.chat
        return self.target.tokenizer.has_chat_template if asked is None else asked

    def join(self, prompt: Sequence[int]) -> Sequence[int]:
        """The tokens before the answer that decide how its first word is written: none after a template."""
        return () if self.uses_chat else prompt[-JOINED:]

    def stops(self, prompt: Sequence[int] = (), settings: Settings | None = None) -> Stops:
        """What ends the text after a prompt, with other settings of sampling if given."""
        return stops_of(self.target, settings or self.settings, chat=self.uses_chat, prompt=prompt)

    def completion(self, prompt: Sequence[int]) -> Completion:
        """What gathers the text after a prompt from its steps."""
        return Completion(self.decode, self.stops(prompt), self.join(prompt))

    def describe(self) -> dict[str, object]:
        """Which models run, what settings that say "auto" came to."""
        spec = resolve_draft(self.settings)
        draft = None if spec is None else self._drafts.get(spec.alone)
        name = None if spec is None else spec.name
        return {
            "target": model_record(self.target, self.settings.quantize),
            "draft": name if draft is None else model_record(draft, self.settings.draft_quantize),
            "ngram_first": spec is not None and spec.ngram_first,
            "chat": self.uses_chat,
        } | self._describe_ensemble()

    def _describe_ensemble(self) -> dict[str, object]:
        if not self.members:
            return {}
        loaded = [
            self.target if name == self.settings.target else self._drafts[parse_draft(name)]
            for name in self.members
        ]
        quantize = self.settings.quantize, self.settings.draft_quantize
        members = [model_record(each, quantize[each is not self.target]) for each in loaded]
        return {"members": members, "auto": [choice.record() for choice in self.pool.choices]}

    def encode(self, prompt: str) -> list[int]:
        """Token ids of the prompt, in the chat template where the settings or the tokenizer ask for it.

        Raises:
            InputError: the prompt is empty, or leaves no room in the context for the tokens asked for; or
                a chat template is asked for, and there is none.
        """
        context = self.pool.context(self.members) if self.members else self.target.context
        require_characters(prompt, context)
        tokenizer, settings = self.target.tokenizer, self.settings
        require_chat(settings.chat, settings.system, tokenizer.has_chat_template)
        if self.uses_chat:
            system = [] if settings.system is None else [{"role": "system", "content": settings.system}]
            tokens = tokenizer.encode_chat([*system, {"role": "user", "content": prompt}])
        else:
            tokens = tokenizer.encode(prompt)
        require_tokens(len(tokens), settings.max_tokens, context, self.target.name)
        self.runner().readable_tokens.require(tokens)
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        return self.target.tokenizer.decode(tokens)

    def token_text(self, token: int) -> str:
        """The text of one id, special tokens by their names."""
        return self.target.tokenizer.decode([token], skip_special=False)

    def logits(
        self,
        prompt: Sequence[int],
        tokens: Sequence[int],
        *,
        together: bool = True,
        draft: DraftSpec | None = None,
    ) -> Tensor:
        """Logits (n, V) before each of n tokens that follow a prompt.

        Args:
            prompt: token ids.
            tokens: token ids that the model is forced along.
            together: from one pass over all of them, or from a pass for each as plain decoding makes them.
            draft: whose, instead of the target's.
        """
        runner = self.runner(draft)
        if isinstance(runner, EagleRunner):
            runner.prepare([*prompt, *tokens])
            together = False  # after a guess it would read its own hidden states for the target's
        runner.begin(prompt)
        if together:
            return runner.score(TokenTree.chain(tokens[:-1]))
        rows = []
        for token in tokens:
            rows.append(runner.score(TokenTree()))
            runner.commit((), [token])
        return torch.cat(rows)

    def steps(
        self, prompt: Sequence[int], settings: Settings | None = None, roles: Roles | None = None
    ) -> Iterator[Step]:
        """Decode a prompt, with other settings of method and sampling, or other roles, if given."""
        settings = settings or self.settings
        stopping = Stopping(settings.max_tokens, self.stops(prompt, settings), self.decode)
        randomness = SeededRandomness(settings.seed)
        if METHODS[settings.method].is_ensemble and roles is None:
            return self.pool.steps(prompt, settings, randomness, stopping, self._external_drafter(settings))
        return decode(prompt, roles or self.roles(settings), randomness, stopping)

    def _external_drafter(self, settings: Settings) -> Drafter | None:
        """The drafter that proposes to an ensemble though it is none of it, if one is named."""
        draft = resolve_draft(settings)
        if draft is None:
            return None
        first = replace(settings, gamma=(*settings.gammas, settings.gamma)[0])
        return chain_drafter(first, draft, self.pool.ensemble(settings).vocab_size, self.runner)

    def roles(self, settings: Settings) -> Roles:
        """Who guesses, who scores and who decides under these settings."""
        target = self.runner()
        return Roles(
            ModelTarget(target, sampling_of(settings)),
            drafter_of(settings, target.vocab_size, self.runner, target.costs.seconds),
            verifier_of(settings),
        )

    def runner(self, draft: DraftSpec | None = None) -> Runner:
        """What scores trees with the target, or with a draft."""
        return self._runners[id(self.target if draft is None else self.draft(draft))]

    def _new_runner(self, loaded: LoadedModel, report: Report) -> Runner:
        """One runner is kept for each model, so that weights are packed and the cache is allocated once."""
        name = f"{loaded.name} in {dtype_name(loaded.dtype)}"
        if isinstance(loaded.model, EagleHead):
            if self.settings.compile and loaded.device.type != "cpu":
                self.warnings.append(
                    f"--compile changes nothing for {loaded.name}: heads are compiled on a CPU only."
                )
            forward_of_head = eagle_forward(loaded.model, self.settings.compile, report)
            return EagleRunner(forward_of_head, loaded.context, self.runner(), name)
        if self.settings.compile and can_compile(loaded.model, loaded.stream):
            forward: Forward = compiled_forward(loaded.model, report, loaded.stream)
        else:
            forward = new_forward(loaded.model, loaded.stream)
            if self.settings.compile:
                self.warnings.append(f"--compile changes nothing for {loaded.name}: {NOT_COMPILED}.")
        if forward.by_row:
            self.warnings.append(f"{loaded.name}: {BY_ROW}")
        if loaded is self.target or loaded.name in self.members:
            return Runner(forward, loaded.context, name)
        return Runner(forward, loaded.context, name, loaded.tokenizer.stand_in(forward.readable))
