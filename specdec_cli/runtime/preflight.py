"""All that is checked before a byte of weights is read, in one order: settings, names, files, memory.

What is left for later needs the weights themselves: numbers that are not finite, tensors that an architecture
has no use for, matrices that a precision does not fit, and the trial of an architecture that no test covers.
Whether a prompt and its answer fit into the context is known with the prompt (`runtime/prompt_limits.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from specdec_cli.errors import InputError, MismatchError
from specdec_cli.models.eagle.checkpoint import require_quantizable, require_target
from specdec_cli.models.eagle.checkpoint import require_vocabulary as require_head_vocabulary
from specdec_cli.models.eagle.files import head_folder
from specdec_cli.models.hardware import require_memory, resolve_device
from specdec_cli.models.hf.checkpoint import read_config
from specdec_cli.models.hf.vocabulary import compare, require_compatible, require_same_tokens
from specdec_cli.models.hub.resolve import resolve
from specdec_cli.models.loader import CheckedModel, LoadedModel, check_model, load_tokenizer_only
from specdec_cli.models.quantization.linear import require_cpu
from specdec_cli.models.runner.tree_support import require_droppable_past
from specdec_cli.models.self_drafts.early_exit import require_fewer
from specdec_cli.progress import Report
from specdec_cli.registry.drafts import EARLY_EXIT, DraftSpec
from specdec_cli.registry.methods import METHODS
from specdec_cli.registry.precisions import OURS
from specdec_cli.runtime.build import largest_tree, tree_of
from specdec_cli.runtime.offload import device_of, offload_of
from specdec_cli.runtime.prompt_limits import require_chat
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import parse_draft, resolve_draft
from specdec_cli.settings.ensembles import member_names


@dataclass(frozen=True, slots=True)
class CheckedDraft:
    """A draft, or a member of an ensemble beside the first, that can be loaded.

    Attributes:
        spec: what was asked for, without what is copied first.
        head: its folder, where it reads the target's hidden states.
        model: where it is a model of its own.
    """

    spec: DraftSpec
    head: Path | None = None
    model: CheckedModel | None = None


@dataclass(frozen=True, slots=True)
class Preflight:
    """What settings name, checked.

    Attributes:
        target: the model whose text it will be.
        beside: what is to be loaded beside it, in the order of loading.
    """

    target: CheckedModel
    beside: tuple[CheckedDraft, ...]


def preflight_drafts(every: Iterable[Settings], report: Report) -> None:
    """Check what several settings of one run name beside its target, each draft once.

    A run loads its models as it comes to them; what is wrong with the last draft or tree of a sweep is then
    known before the first is loaded.

    Args:
        every: settings of one target.
        report: is told what takes time.

    Raises:
        InputError: a draft or a tree that is none, or cannot be had.
        MismatchError: token ids that mean different things.
    """
    checked: set[tuple[DraftSpec, bool]] = set()
    for settings in every:
        method = METHODS[settings.method]
        if method.takes_tree:
            tree_of(settings)
        resolve_draft(settings)
        for draft in _named(settings):
            require_usable(settings, draft)
            if (draft, method.is_ensemble) not in checked:
                _require_fit(settings, draft, report)
            checked.add((draft, method.is_ensemble))


def preflight(settings: Settings, report: Report) -> Preflight:
    """Check everything that the settings name.

    Args:
        settings: that were checked by themselves.
        report: is told what takes time.

    Raises:
        InputError: a draft, tree, device or precision that is none or cannot be had, or a damaged file.
        MismatchError: models that do not fit each other, or one that cannot be driven.
        ResourceError: not enough memory or disk.
        SpecdecError: a model cannot be found.
    """
    if METHODS[settings.method].takes_tree:
        tree_of(settings)
    draft, beside = resolve_draft(settings), _named(settings)
    for device in filter(None, (settings.device, settings.draft_device)):
        resolve_device(device)
    for each in beside:
        require_usable(settings, each)
    for each in beside:
        _require_fit(settings, each, report)
    offload = offload_of(settings, draft, largest_tree(settings), report)
    target = check_model(
        settings.target,
        device=device_of(settings),
        dtype=settings.dtype,
        quantize=settings.quantize,
        revision=settings.revision,
        trust_remote_code=settings.trust_remote_code,
        offload=offload,
        report=report,
    )
    require_droppable_past(target.name, target.config)
    if settings.algorithm is None:  # segments ask for one template among all models
        require_chat(settings.chat, settings.system, target.tokenizer.has_chat_template)
    checked = tuple(_check_files(settings, each, target, report) for each in beside)
    _require_memory_together([target, *(each.model for each in checked if each.model is not None)])
    return Preflight(target, checked)


def check_draft(settings: Settings, spec: DraftSpec, target: LoadedModel, report: Report) -> CheckedDraft:
    """Check a draft, or another member of an ensemble, for a target that is loaded already.

    Raises:
        SpecdecError: as `preflight`.
    """
    require_usable(settings, spec)
    _require_fit(settings, spec, report)
    return _check_files(settings, spec, target, report)


def require_usable(settings: Settings, draft: DraftSpec) -> None:
    """Check what is asked of a draft that has weights in common with the target.

    Raises:
        InputError: another device than the target's, or a precision that such a draft cannot have.
    """
    head = head_folder(draft.name)
    if not draft.is_of_target and head is None:
        return
    if settings.draft_quantize not in ("none", *OURS):
        problem = f"The draft {draft.name} cannot be rounded to {settings.draft_quantize}."
        raise InputError(problem, f"Choose {' or '.join(OURS)}.")
    if head is not None and settings.draft_quantize != "none":
        require_quantizable(head, draft.name)
    targets = resolve_device(device_of(settings))
    for precision in filter(None, (draft.precision, settings.draft_quantize)):
        if precision in OURS:
            require_cpu(precision, targets)
    if settings.draft_device is None:
        return
    own = resolve_device(settings.draft_device)
    if (own.type, own.index or 0) != (targets.type, targets.index or 0):
        problem = f"--draft-device {own} has no use: {draft.name} shares the target's weights on {targets}."
        raise InputError(problem, "Leave it out, or name a draft that is a model of its own.")


def _named(settings: Settings) -> list[DraftSpec]:
    """The draft, if a model is asked, and the members of an ensemble beside the first; each once."""
    draft = resolve_draft(settings)
    names = member_names(settings)[1:] if METHODS[settings.method].is_ensemble else ()
    others = [parse_draft(name) for name in names if name != settings.target]
    asked = [] if draft is None or draft.is_ngram else [draft.alone]
    return list(dict.fromkeys([*asked, *others]))


def _require_fit(settings: Settings, draft: DraftSpec, report: Report) -> None:
    """Check a draft against the target by its layers or its vocabulary, neither of which needs weights.

    Raises:
        InputError: the target has too few layers.
        MismatchError: token ids that mean different things.
    """
    if draft.kind == EARLY_EXIT:
        found = resolve(settings.target, revision=settings.revision, weights=False, report=report)
        config = read_config(found.folder, trust_remote_code=settings.trust_remote_code)
        total = config.get_text_config(decoder=True).num_hidden_layers
        require_fewer(settings.target, total, draft.layers)
    elif draft.is_model:
        _require_vocabulary(settings, draft.name, report)


def _require_vocabulary(settings: Settings, draft: str, report: Report) -> None:
    trusted = settings.trust_remote_code
    report("Comparing the vocabularies")
    target_tokenizer, target_size = load_tokenizer_only(
        settings.target, revision=settings.revision, trust_remote_code=trusted, report=report
    )
    is_member = METHODS[settings.method].is_ensemble and draft in member_names(settings)
    head = head_folder(draft)
    if head is not None:
        if is_member:
            problem = (
                f"{draft} guesses from the hidden states of {settings.target} and is no model by itself."
            )
            hint = "Let it propose: name it with --draft, beside --models and --exec sd."
            raise MismatchError(problem, hint)
        require_head_vocabulary(head, settings.target, target_tokenizer)
        return
    draft_tokenizer, draft_size = load_tokenizer_only(draft, trust_remote_code=trusted, report=report)
    found = compare(target_tokenizer, draft_tokenizer, target_size, draft_size)
    if is_member:
        require_same_tokens(settings.target, draft, found)
    require_compatible(settings.target, draft, found)


def _check_files(
    settings: Settings, draft: DraftSpec, target: CheckedModel | LoadedModel, report: Report
) -> CheckedDraft:
    """Check the files of a draft that has some."""
    if not draft.is_model:
        return CheckedDraft(draft)
    head = head_folder(draft.name)
    if head is not None:
        require_target(head, target.config, target.tokenizer, target.name)
        return CheckedDraft(draft, head=head)
    model = check_model(
        draft.name,
        device=settings.draft_device or device_of(settings),
        dtype=settings.dtype,
        quantize=settings.draft_quantize,
        trust_remote_code=settings.trust_remote_code,
        report=report,
    )
    require_droppable_past(model.name, model.config)
    return CheckedDraft(draft, model=model)


def _require_memory_together(models: Iterable[CheckedModel]) -> None:
    """Check that each device has room for all that is to lie there.

    Raises:
        ResourceError: it has not.
    """
    needed: dict[torch.device, int] = {}
    names: dict[torch.device, list[str]] = {}
    for model in models:
        needed[model.device] = needed.get(model.device, 0) + model.memory
        names.setdefault(model.device, []).append(model.name)
    for device, size in needed.items():
        require_memory(size, device, f"Loading {' and '.join(names[device])}")
