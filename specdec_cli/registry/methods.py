"""Every method, one line each: what guesses, and which verifiers may judge the guesses.

The settings, the help texts and the session read this table. Nothing heavy is imported here, so that
`specdec --help` stays quick; `runtime/build.py` turns the names into classes. docs/adding-a-method.md
adds a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Method:
    """A choice of drafter and verifiers.

    Attributes:
        help: what it does, in one phrase.
        verify: what `--verify` may say, the first being the default, and the verifier that it means.
        policy: module of `drafting/policies` by which a draft model chooses the children of a node of a
            static tree; None where the drafter is of another kind.
        tree: the tree that is drafted unless `--tree` says otherwise.
        combine: for an ensemble, how the models become one law unless `--ensemble-fn` says otherwise.
        execution: for an ensemble, how that law is sampled; None leaves it to `--exec`.
    """

    help: str
    verify: Mapping[str, str]
    policy: str | None = None
    tree: str | None = None
    combine: str | None = None
    execution: str | None = None

    @property
    def takes_tree(self) -> bool:
        """Whether `--tree` means anything."""
        return self.policy is not None

    @property
    def is_ensemble(self) -> bool:
        """Whether several models are one target."""
        return self.combine is not None


OWN_SAMPLE = {"token": "own_sample"}
CHAIN = {"token": "rejection", "block": "block"}
REJECTION = {"token": "rejection", "traversal": "traversal"}

METHODS = {
    "autoregressive": Method("plain decoding", OWN_SAMPLE),
    "sps": Method("a chain of --gamma samples", CHAIN),
    "specexec": Method("the likeliest --max-budget continuations as a tree", OWN_SAMPLE),
    "ngram": Method("what followed the same words before", OWN_SAMPLE),
    "specinfer": Method("independent samples", REJECTION, "with_replacement", "4x1x1x1"),
    "rrsw": Method("samples without replacement", REJECTION, "without_replacement", "2^4"),
    "sequoia": Method("a planned tree, samples without replacement", REJECTION, "without_replacement", ""),
    "spechub": Method("the likeliest tokens and one sample", REJECTION, "hub", "2^4"),
    "kseq": Method("independent samples, one threshold", {"token": "kseq"}, "with_replacement", "4x1x1x1"),
    "topk": Method("the likeliest tokens of each node", REJECTION, "top_k", "2^4"),
    "we": Method("a weighted average of --models", CHAIN, combine="weighted"),
    "we-sd": Method("the same, one model proposes", CHAIN, combine="weighted", execution="sd"),
    "we-chef": Method("the same, all propose in turn", CHAIN, combine="weighted", execution="chef"),
    "cd": Method("--target against --amateur", CHAIN, combine="contrastive"),
    "cd-sd": Method("the same, one model proposes", CHAIN, combine="contrastive", execution="sd"),
    "cd-chef": Method("the same, both propose in turn", CHAIN, combine="contrastive", execution="chef"),
}
# Other names of methods, as other programs have them.
ALIASES = {
    "si": "specinfer",
    "large_model": "autoregressive",
    "ensemble": "we",
    "ensemble_sd": "we-sd",
    "ensemble_chef": "we-chef",
    **{name.replace("-", "_"): name for name in METHODS if "-" in name},
}


def canonical(name: str) -> str:
    """The name in `METHODS` of a method that may go by another one; unknown names as they are."""
    return ALIASES.get(name, name)
