"""Models beside the target: drafts and members of ensembles, by the names that options give them."""

from __future__ import annotations

from collections.abc import Callable

from specdec_cli.errors import InputError, MismatchError
from specdec_cli.models.eagle.checkpoint import load_feature_head, require_roundable
from specdec_cli.models.eagle.checkpoint import require_vocabulary as require_head_vocabulary
from specdec_cli.models.eagle.files import head_folder
from specdec_cli.models.eagle.head import FeatureHead
from specdec_cli.models.hardware import dtype_name, resolve_device
from specdec_cli.models.hf.checkpoint import logit_vocab_size, read_config
from specdec_cli.models.hf.vocabulary import compare, require_compatible, require_same_tokens
from specdec_cli.models.hub.resolve import resolve
from specdec_cli.models.loader import LoadedModel, load_model, load_tokenizer_only
from specdec_cli.models.quantization.linear import Int4Linear
from specdec_cli.models.runner.tree_support import require_tree_support
from specdec_cli.models.self_drafts.early_exit import first_layers, require_fewer
from specdec_cli.models.self_drafts.noisy import perturbed
from specdec_cli.models.self_drafts.quantized import rounded
from specdec_cli.registry.drafts import EARLY_EXIT, NOISY, DraftSpec
from specdec_cli.registry.methods import METHODS
from specdec_cli.registry.precisions import OURS
from specdec_cli.runtime.offload import device_of
from specdec_cli.settings import Settings
from specdec_cli.settings.ensembles import member_names


def load_partner(
    target: LoadedModel, spec: DraftSpec, settings: Settings, report: Callable[[str], None]
) -> tuple[LoadedModel, str | None]:
    """The draft or the member of an ensemble of that name, and a warning if there is something odd about it.

    Raises:
        SpecdecError: it cannot be had, or does not fit the target.
    """
    require_usable(settings, spec)
    name = spec.name
    if spec.kind == EARLY_EXIT:
        draft = first_layers(target, spec.layers)
        return rounded(draft, name, settings.draft_quantize, report), None
    if spec.is_of_target:
        report(f"Making a copy of {target.name}")
        if spec.kind == NOISY:
            return perturbed(target, name, spec.noise), None
        return rounded(target, name, spec.precision, report), None
    report(f"Loading {name}")
    head = head_folder(name)
    if head is not None:
        return load_feature_head(name, head, target, settings.draft_quantize), None
    draft = load_model(
        name,
        device=settings.draft_device or device_of(settings),
        dtype=settings.dtype,
        quantize=settings.draft_quantize,
        trust_remote_code=settings.trust_remote_code,
        drafts=not METHODS[settings.method].is_ensemble or name not in member_names(settings),
        report=report,
    )
    require_tree_support(draft)
    sizes = logit_vocab_size(target.model.config), logit_vocab_size(draft.model.config)
    vocabularies = compare(target.tokenizer, draft.tokenizer, *sizes)
    require_compatible(target.name, draft.name, vocabularies)
    swapped = draft.parameters >= target.parameters and settings.draft_quantize == "none"
    if not swapped or METHODS[settings.method].is_ensemble:
        return draft, None
    return draft, (
        f"The draft {name} has {draft.parameters:,} parameters, no fewer than the target "
        f"{target.name} with {target.parameters:,}; were they swapped?"
    )


def require_usable(settings: Settings, draft: DraftSpec) -> None:
    """Check what is asked of a draft that has weights in common with the target, before anything is loaded.

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
        require_roundable(head, draft.name)
    if settings.draft_device is None:
        return
    own, targets = resolve_device(settings.draft_device), resolve_device(device_of(settings))
    if (own.type, own.index or 0) != (targets.type, targets.index or 0):
        problem = f"--draft-device {own} has no use: {draft.name} shares the target's weights on {targets}."
        raise InputError(problem, "Leave it out, or name a draft that is a model of its own.")


def require_layers(settings: Settings, draft: DraftSpec, report: Callable[[str], None]) -> None:
    """Check that the target has more layers than a draft called `layers:N`, before any weights are read.

    Raises:
        InputError: it has not.
    """
    if draft.kind == EARLY_EXIT:
        found = resolve(settings.target, revision=settings.revision, weights=False, report=report)
        config = read_config(found.folder, trust_remote_code=settings.trust_remote_code)
        total = config.get_text_config(decoder=True).num_hidden_layers
        require_fewer(settings.target, total, draft.layers)


def model_record(loaded: LoadedModel, quantize: str) -> dict[str, object]:
    """What a result says of a model; a head may be in 4 bits whatever precision was asked for."""
    if isinstance(loaded.model, FeatureHead) and isinstance(loaded.model.fuse, Int4Linear):
        quantize = "int4"
    return {
        "name": loaded.name,
        "source": loaded.source,
        "parameters": loaded.parameters,
        "dtype": dtype_name(loaded.dtype),
        "device": str(loaded.device),
        "quantize": quantize,
    }


def require_vocabulary(settings: Settings, spec: DraftSpec, report: Callable[[str], None]) -> None:
    """Compare the two vocabularies before any weights are read."""
    trusted = settings.trust_remote_code
    report("Comparing the vocabularies")
    target_tokenizer, target_size = load_tokenizer_only(
        settings.target, revision=settings.revision, trust_remote_code=trusted, report=report
    )
    draft = spec.name
    head = head_folder(draft)
    if head is not None:
        if METHODS[settings.method].is_ensemble and draft in member_names(settings):
            problem = (
                f"{draft} guesses from the hidden states of {settings.target} and is no model by itself."
            )
            raise MismatchError(
                problem, "Let it propose: name it with --draft, beside --models and --exec sd."
            )
        require_head_vocabulary(head, settings.target, target_tokenizer)
        return
    draft_tokenizer, draft_size = load_tokenizer_only(draft, trust_remote_code=trusted, report=report)
    found = compare(target_tokenizer, draft_tokenizer, target_size, draft_size)
    if METHODS[settings.method].is_ensemble and draft in member_names(settings):
        require_same_tokens(settings.target, draft, found)
    require_compatible(settings.target, draft, found)
