"""The model hub: whether it can be reached, what of it lies on this disk, and how to bring a model here.

Without a network every look-up of the hub's client retries for 23 seconds, so reachability is asked once
and, where the answer is no, the client is told to stay offline.
"""

from __future__ import annotations

import errno
import os
import threading
from functools import cache
from pathlib import Path

from specdec_cli.errors import InputError, ResourceError, SpecdecError
from specdec_cli.models.hf.quiet import first_line, quiet
from specdec_cli.progress import Report

SECONDS_TO_ANSWER = 2.0
LIGHT = ("*.json", "*.txt", "*.model", "*.jinja", "*.py", "*.tiktoken")
MAIN_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


@cache
def hub_reachable() -> bool:
    """Whether a model hub answers, within two seconds; asked once a process.

    HF_HUB_OFFLINE and HF_ENDPOINT are honoured. Where the answer is no, HF_HUB_OFFLINE is set for this
    process and its children.
    """
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE and _answers(constants.ENDPOINT):
        return True
    os.environ["HF_HUB_OFFLINE"] = "1"
    constants.HF_HUB_OFFLINE = True
    return False


def _answers(endpoint: str) -> bool:
    """Ask in a thread, since looking a name up can outlast any timeout of the request's."""
    from huggingface_hub import get_session

    answered = threading.Event()

    def ask() -> None:
        try:
            if get_session().head(endpoint, timeout=SECONDS_TO_ANSWER).status_code < 500:
                answered.set()
        except Exception:  # whatever went wrong, the hub has not answered
            return

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(SECONDS_TO_ANSWER)
    return answered.is_set()


def cached_folder(hub_id: str, revision: str | None = None, *, weights: bool = True) -> Path | None:
    """The folder in the hub client's own cache with that model's files, or None if they are not there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = {
            name: try_to_load_from_cache(hub_id, name, revision=revision)
            for name in ("config.json", *MAIN_FILES)
        }
    except HFValidationError:
        return None
    config = found.pop("config.json")
    if not isinstance(config, str) or (weights and not any(isinstance(path, str) for path in found.values())):
        return None
    return Path(config).parent


def download(hub_id: str, *, revision: str | None, weights: bool, report: Report) -> Path:
    """A folder with the model's files, those that are not in the hub client's cache downloaded.

    Args:
        hub_id: the model's name on the hub.
        revision: branch, tag or commit; None for the main branch.
        weights: False leaves the weights out, for those who only want the tokenizer.
        report: told when the hub is asked.

    Raises:
        InputError: no such model or revision, or a name that the hub cannot have.
        ResourceError: the disk filled up.
        SpecdecError: a model behind a licence, or a download that broke off.
    """
    from huggingface_hub import snapshot_download

    report(f"Looking up {hub_id} on the hub" + (", downloading what is not here yet" if weights else ""))
    try:
        with quiet():
            patterns = [*LIGHT, *(_weight_patterns(hub_id, revision) if weights else ())]
            return Path(snapshot_download(hub_id, revision=revision, allow_patterns=patterns))
    except Exception as error:
        raise _explained(error, hub_id, revision) from error


def _weight_patterns(hub_id: str, revision: str | None) -> tuple[str, ...]:
    """safetensors alone where the model has them: many repositories hold every weight twice."""
    from huggingface_hub import HfApi

    names = [name for name in HfApi().list_repo_files(hub_id, revision=revision) if "/" not in name]
    return ("*.safetensors",) if any(name.endswith(".safetensors") for name in names) else ("*.bin",)


def _explained(error: Exception, hub_id: str, revision: str | None) -> SpecdecError:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        hint = "Accept its licence on its hub page, then log in with `hf auth login`."
        return SpecdecError(f"{hub_id} is given only to those who accept its licence.", hint)
    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(
            f"{hub_id} has no revision {revision}.", "Leave --revision out for the main branch."
        )
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        hint = "Check the spelling, and run `hf auth login` first if it is a private model."
        return InputError(f"The hub has no model {hub_id}.", hint)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        hint = "Free some space, or set HF_HOME to a folder on a larger disk."
        return ResourceError(f"The disk filled up while {hub_id} was being downloaded.", hint)
    hint = "Run the command again to resume; HF_HUB_OFFLINE=1 uses only what is already here."
    return SpecdecError(f"{hub_id} could not be brought from the hub: {first_line(error)}.", hint)
