"""Settings become loaded models, and prompts become steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from specdec_cli.assembly import drafter_of, largest_tree, sampling_of, tree_of, verifier_of
from specdec_cli.drafts import LAYERS, NGRAM, SELF, is_model, layer_count, resolve_draft, self_precision
from specdec_cli.engine.loop import decode
from specdec_cli.engine.roles import Roles, Step
from specdec_cli.engine.stopping import Stopping
from specdec_cli.errors import InputError
from specdec_cli.methods import METHODS
from specdec_cli.models.capability import require_tree_support
from specdec_cli.models.checkpoint import logit_width
from specdec_cli.models.feature_folder import head_folder, load_feature_head, require_vocabulary
from specdec_cli.models.feature_head import FeatureHead
from specdec_cli.models.feature_runner import FeatureRunner
from specdec_cli.models.forward.base import Forward
from specdec_cli.models.forward.choice import (
    NOT_COMPILED,
    can_compile,
    compiled_forward,
    head_forward,
    new_forward,
)
from specdec_cli.models.hardware import default_threads, resolve_device
from specdec_cli.models.layers import first_layers
from specdec_cli.models.loader import LoadedModel, load_model, load_tokenizer_only, silent
from specdec_cli.models.rounding import rounded
from specdec_cli.models.runner import Runner
from specdec_cli.models.target import ModelTarget
from specdec_cli.models.vocabulary import compare, require_compatible
from specdec_cli.offloading import device_of, offload_of
from specdec_cli.sampling.randomness import SeededRandomness
from specdec_cli.settings import Settings
from specdec_cli.tree import TokenTree

JOINED = 8  # tokens of a prompt that can change how the next one is written, and more than enough


class Session:
    """A loaded target, the drafts loaded for it, and the settings that asked for them.

    Attributes:
        settings: what the run was asked to do.
        target: the model whose text it is.
        warnings: what the user should know, a sentence each.
    """

    def __init__(
        self, settings: Settings, target: LoadedModel, report: Callable[[str], None] = silent
    ) -> None:
        self.settings = settings
        self.target = target
        self.warnings: list[str] = []
        self._drafts: dict[str, LoadedModel] = {}
        self._runners: dict[int, Runner] = {}
        self._make_runner(target, report)

    @classmethod
    def load(cls, settings: Settings, report: Callable[[str], None] = silent) -> Session:
        """Load the models that the settings name.

        Raises:
            SpecdecError: a model cannot be had, does not fit in memory, or does not fit the other.
        """
        draft_name = resolve_draft(settings)
        if METHODS[settings.method].takes_tree:
            tree_of(settings)  # a tree that cannot be read is known before anything is loaded
        for device in filter(None, (settings.device, settings.draft_device)):
            resolve_device(device)
        if draft_name is not None and is_model(draft_name):
            _require_vocabulary(settings, draft_name, report)
        torch.set_num_threads(settings.threads or min(torch.get_num_threads(), default_threads()))
        report(f"Loading {settings.target}")
        target = load_model(
            settings.target,
            device=device_of(settings),
            dtype=settings.dtype,
            quantize=settings.quantize,
            revision=settings.revision,
            trust_remote_code=settings.trust_remote_code,
            offload=offload_of(settings, draft_name, largest_tree(settings), report),
            report=report,
        )
        require_tree_support(target)
        session = cls(settings, target, report)
        if draft_name not in (None, NGRAM):
            session.draft(draft_name, report)
        return session

    def draft(self, name: str, report: Callable[[str], None] = silent) -> LoadedModel:
        """The draft model of that name, loaded at the first call.

        Raises:
            SpecdecError: it cannot be had, or does not fit the target.
        """
        if name not in self._drafts:
            draft = self._load_draft(name, report)
            self._make_runner(draft, report)
            self._drafts[name] = draft
        return self._drafts[name]

    def _load_draft(self, name: str, report: Callable[[str], None]) -> LoadedModel:
        settings = self.settings
        if name.startswith(LAYERS):
            draft = first_layers(self.target, layer_count(name))
            return rounded(draft, name, settings.draft_quantize, report)
        if name.startswith(SELF):
            report(f"Rounding a copy of {self.target.name}")
            return rounded(self.target, name, self_precision(name), report)
        report(f"Loading {name}")
        head = head_folder(name)
        if head is not None:
            return load_feature_head(name, head, self.target, settings.draft_quantize)
        draft = load_model(
            name,
            device=settings.draft_device or device_of(settings),
            dtype=settings.dtype,
            quantize=settings.draft_quantize,
            trust_remote_code=settings.trust_remote_code,
            report=report,
        )
        require_tree_support(draft)
        widths = logit_width(self.target.model.config), logit_width(draft.model.config)
        vocabularies = compare(self.target.tokenizer, draft.tokenizer, *widths)
        require_compatible(self.target.name, draft.name, vocabularies)
        if draft.parameters >= self.target.parameters and settings.draft_quantize == "none":
            self.warnings.append(
                f"The draft {name} has {draft.parameters:,} parameters, no fewer than the target "
                f"{self.target.name} with {self.target.parameters:,}; were they swapped?"
            )
        return draft

    @property
    def uses_chat(self) -> bool:
        """Whether prompts go into the chat template; if not, they are continued as they are."""
        asked = self.settings.chat
        return self.target.tokenizer.has_chat_template if asked is None else asked

    def join(self, prompt: Sequence[int]) -> Sequence[int]:
        """The tokens before the answer that decide how its first word is written: none after a template."""
        return () if self.uses_chat else prompt[-JOINED:]

    def describe(self) -> dict[str, object]:
        """Which models run, what settings that say "auto" came to."""
        name = resolve_draft(self.settings)
        draft = self._drafts.get(name) if name is not None else None
        return {
            "target": _model_record(self.target, self.settings.quantize),
            "draft": name if draft is None else _model_record(draft, self.settings.draft_quantize),
            "chat": self.uses_chat,
        }

    def encode(self, prompt: str) -> list[int]:
        """Token ids of the prompt, in the chat template where the settings or the tokenizer ask for it.

        Raises:
            InputError: the prompt is empty, or it leaves no room in the context for the tokens asked for.
        """
        if not prompt.strip():
            raise InputError(
                "The prompt is empty.", 'Give some text with -p "...", or -p - for standard input.'
            )
        tokenizer, settings = self.target.tokenizer, self.settings
        if not self.uses_chat and settings.system is not None:
            raise InputError("A system message needs a chat template.", "Leave out --system, or use --chat.")
        if self.uses_chat:
            system = [] if settings.system is None else [{"role": "system", "content": settings.system}]
            tokens = tokenizer.encode_chat([*system, {"role": "user", "content": prompt}])
        else:
            tokens = tokenizer.encode(prompt)
        self._require_room(len(tokens))
        return tokens

    def _require_room(self, length: int) -> None:
        context, wanted = self.target.context, self.settings.max_tokens
        if length >= context:
            problem = (
                f"The prompt has {length:,} tokens and the context of {self.target.name} holds {context:,}."
            )
            raise InputError(problem, "Shorten the prompt, or choose a target with a longer context.")
        if length + wanted > context:
            problem = (
                f"The prompt of {length:,} tokens and {wanted:,} more exceed the context of {context:,}."
            )
            raise InputError(problem, f"Use --max-tokens {context - length} or fewer, or a shorter prompt.")

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        return self.target.tokenizer.decode(tokens)

    def token_text(self, token: int) -> str:
        """The text of one id, special tokens by their names."""
        return self.target.tokenizer.decode([token], skip_special=False)

    def logits(
        self, prompt: Sequence[int], tokens: Sequence[int], *, together: bool = True, draft: str | None = None
    ) -> Tensor:
        """Logits (n, V) before each of n tokens that follow a prompt.

        Args:
            prompt: token ids.
            tokens: token ids that the model is forced along.
            together: from one pass over all of them, or from a pass for each as plain decoding makes them.
            draft: name of a draft, instead of the target.
        """
        runner = self.runner(draft)
        if isinstance(runner, FeatureRunner):
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
        stopping = Stopping(
            settings.max_tokens,
            frozenset() if settings.ignore_eos else self.target.stop_tokens,
            settings.stop,
            self.decode,
        )
        return decode(prompt, roles or self.roles(settings), SeededRandomness(settings.seed), stopping)

    def roles(self, settings: Settings) -> Roles:
        """Who guesses, who scores and who decides under these settings."""
        target = self.runner()
        return Roles(
            ModelTarget(target, sampling_of(settings)),
            drafter_of(settings, target.width, self.runner, target.costs.seconds),
            verifier_of(settings),
        )

    def runner(self, draft: str | None = None) -> Runner:
        """What scores trees with the target, or with the draft of that name."""
        return self._runners[id(self.target if draft is None else self.draft(draft))]

    def _make_runner(self, loaded: LoadedModel, report: Callable[[str], None]) -> None:
        """One runner is kept for each model, so that weights are packed and the cache is allocated once."""
        if isinstance(loaded.model, FeatureHead):
            forward_of_head = head_forward(loaded.model, self.settings.compile, report)
            self._runners[id(loaded)] = FeatureRunner(forward_of_head, loaded.context, self.runner())
            return
        if self.settings.compile and can_compile(loaded.model, loaded.stream):
            forward: Forward = compiled_forward(loaded.model, report, loaded.stream)
        else:
            forward = new_forward(loaded.model, loaded.stream)
            if self.settings.compile:
                self.warnings.append(f"--compile changes nothing for {loaded.name}: {NOT_COMPILED}.")
        self._runners[id(loaded)] = Runner(forward, loaded.context)


def _model_record(loaded: LoadedModel, quantize: str) -> dict[str, object]:
    return {
        "name": loaded.name,
        "source": loaded.source,
        "parameters": loaded.parameters,
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "device": str(loaded.device),
        "quantize": quantize,
    }


def _require_vocabulary(settings: Settings, draft: str, report: Callable[[str], None]) -> None:
    """Compare the two vocabularies before any weights are read."""
    trusted = settings.trust_remote_code
    report("Comparing the vocabularies")
    target_tokenizer, target_width = load_tokenizer_only(
        settings.target, revision=settings.revision, trust_remote_code=trusted, report=report
    )
    head = head_folder(draft)
    if head is not None:
        require_vocabulary(head, settings.target, target_tokenizer)
        return
    draft_tokenizer, draft_width = load_tokenizer_only(draft, trust_remote_code=trusted, report=report)
    found = compare(target_tokenizer, draft_tokenizer, target_width, draft_width)
    require_compatible(settings.target, draft, found)
