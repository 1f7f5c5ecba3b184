"""From what the user typed to a folder with a model in it; and what is there to type."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from specdec_cli.errors import InputError, ResourceError, SpecdecError
from specdec_cli.models.hub import hf_hub
from specdec_cli.models.hub.cache import cache_root
from specdec_cli.models.hub.manifest import converted_folder, is_whole
from specdec_cli.models.hub.wheels import fetch
from specdec_cli.progress import Report
from specdec_cli.registry import models as registry
from specdec_cli.registry.models import REGISTRY, ModelEntry, Terms

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A folder that can be loaded, and where it came from in words."""

    folder: Path
    source: str


@dataclass(frozen=True, slots=True)
class ModelListing:
    """A row of `specdec models list`."""

    name: str
    description: str
    parameters: int
    download_bytes: int
    licence: str
    state: str
    folder: Path
    default_draft: str | None


def resolve(
    name: str,
    *,
    revision: str | None = None,
    weights: bool = True,
    accept_terms: bool = False,
    report: Report,
) -> Resolved:
    """The folder that holds model `name`, fetched or converted if need be.

    A name is, in this order: one of the registry's, a folder, a `.gguf` file, a hub id.

    Args:
        name: what the user typed.
        revision: of a hub model; a folder or a file has none.
        weights: False may give a folder without the weights, for those who only want the tokenizer.
        accept_terms: the user agrees to the terms of a model that has some and is not here yet.
        report: told of anything that takes time.

    Raises:
        InputError: a path where nothing lies, or a revision of something that has none.
        SpecdecError: not to be found, or not to be brought here.
    """
    entry = registry.find(name)
    if entry is not None:
        if entry.terms is not None and not accept_terms and not _is_here(entry):
            raise _unaccepted(entry, entry.terms)
        return _registered(entry, revision, weights, report)
    path = Path(os.path.expanduser(name))
    if path.exists():
        if revision is not None:
            raise InputError(f"{name} is on this disk and has no revisions.", "Leave --revision out.")
        return _local(path, weights, report)
    if _looks_like_a_path(name):
        hint = "Give a model folder, a .gguf file, a hub id, or a name from `specdec models list`."
        raise InputError(f"There is no file or folder {name}.", hint)
    folder = _from_hub(name, revision, weights, report)
    if folder is None:
        raise _unknown(name)
    return Resolved(folder, "hub")


def pull(name: str, report: Report, *, revision: str | None = None, accept_terms: bool = False) -> Path:
    """The folder of model `name`, after bringing here what is not here yet. Doing it twice does no harm."""
    entry = registry.find(name)
    if entry is not None and revision is None and is_whole(_folder(entry), entry.gguf_sha256):
        report(f"{name} is already there")
    return resolve(name, revision=revision, accept_terms=accept_terms, report=report).folder


def describe() -> list[ModelListing]:
    """What the registry offers, and what of it is on this disk."""
    return [
        ModelListing(
            name=entry.name,
            description=entry.description,
            parameters=entry.parameters,
            download_bytes=entry.download_bytes,
            licence=entry.licence,
            state="cached" if _is_here(entry) else "not fetched",
            folder=_folder(entry),
            default_draft=entry.default_draft,
        )
        for entry in REGISTRY.values()
    ]


def _registered(entry: ModelEntry, revision: str | None, weights: bool, report: Report) -> Resolved:
    folder = _folder(entry)
    if revision is None and is_whole(folder, entry.gguf_sha256):
        return Resolved(folder, "package index")
    try:
        found = _from_hub(entry.hub_id, revision, weights, report)
    except ResourceError:
        raise
    except SpecdecError as error:  # a proxy that answers for the hub, or a hub that refuses
        if revision is not None:
            raise
        report(f"{error.problem} Trying the package index")
        found = None
    if found is not None:
        return Resolved(found, "hub")
    if revision is not None:
        problem = f"--revision {revision} needs a model hub, and none can be reached."
        raise InputError(problem, f"Leave it out to get {entry.name} from the package index.")
    from specdec_cli.models.hub.gguf import convert_gguf

    gguf = fetch(entry, report=report)
    where = folder if weights else _words_alone(folder)
    converted = convert_gguf(gguf, where, report, source=entry.gguf_sha256, weights=weights)
    return Resolved(converted, "package index")


def _from_hub(hub_id: str, revision: str | None, weights: bool, report: Report) -> Path | None:
    if hf_hub.hub_reachable():
        return hf_hub.download(hub_id, revision=revision, weights=weights, report=report)
    return hf_hub.cached_folder(hub_id, revision, weights=weights)


def _local(path: Path, weights: bool, report: Report) -> Resolved:
    if path.is_dir():
        return Resolved(path, str(path))
    if path.suffix.lower() != ".gguf":
        hint = "Give the folder that holds config.json, or a .gguf file."
        raise InputError(f"{path} is a file, but no .gguf file.", hint)
    from specdec_cli.models.hub.gguf import convert_gguf

    folder, source = converted_folder(path)
    if not weights and not is_whole(folder, source):
        folder = _words_alone(folder)
    return Resolved(convert_gguf(path, folder, report, source=source, weights=weights), str(path))


def _words_alone(folder: Path) -> Path:
    """Where a conversion without weights lies: beside the whole one, which may come later."""
    return folder.with_name(f"{folder.name}-words")


def _folder(entry: ModelEntry) -> Path:
    return cache_root() / "models" / entry.name


def _is_here(entry: ModelEntry) -> bool:
    return is_whole(_folder(entry), entry.gguf_sha256) or hf_hub.cached_folder(entry.hub_id) is not None


def _looks_like_a_path(name: str) -> bool:
    """Hub ids have one slash at most, none at an end, and no file's ending."""
    return (
        name.count("/") > 1
        or name.startswith((".", "/", "~"))
        or name.endswith(("/", ".gguf", ".safetensors", ".bin"))
        or "\\" in name
    )


def _unaccepted(entry: ModelEntry, terms: Terms) -> InputError:
    problem = f"{entry.name} is given under the {terms.name} ({terms.url}), which must be accepted first."
    return InputError(problem, f"Read them, then: specdec models pull {entry.name} --accept-terms")


def _unknown(name: str) -> SpecdecError:
    near = registry.suggest(name)
    if HUB_ID.fullmatch(name) is None:
        problem = f"{name} is neither a folder nor a registry name, and no name that a hub can have."
        return InputError(problem, f"Did you mean {near}?" if near else "`specdec models list` shows names.")
    problem = f"{name} is neither a folder nor a registry name, and no model hub can be reached."
    if near is not None:
        return SpecdecError(problem, f"Did you mean {near}? `specdec models list` shows every name.")
    return SpecdecError(problem, "`specdec models list` shows the models that need no hub.")
