"""Every method, one line each: what guesses, and which verifiers may judge the guesses.

The settings, the help texts and the session read this table. Nothing heavy is imported here, so that
`specdec --help` stays quick; `assembly.py` turns the names into classes. docs/adding-a-method.md adds a line.
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
    """

    help: str
    verify: Mapping[str, str]
    policy: str | None = None
    tree: str | None = None

    @property
    def takes_tree(self) -> bool:
        """Whether `--tree` means anything."""
        return self.policy is not None


OWN_SAMPLE = {"token": "own_sample"}
REJECTION = {"token": "rejection", "traversal": "traversal"}

METHODS = {
    "autoregressive": Method("plain decoding", OWN_SAMPLE),
    "sps": Method("a chain of --gamma samples", {"token": "rejection", "block": "block"}),
    "specexec": Method("the likeliest --max-budget continuations as a tree", OWN_SAMPLE),
    "ngram": Method("what followed the same words before", OWN_SAMPLE),
    "specinfer": Method("independent samples", REJECTION, "with_replacement", "4x1x1x1"),
    "rrsw": Method("samples without replacement", REJECTION, "without_replacement", "2^4"),
    "sequoia": Method("a planned tree, samples without replacement", REJECTION, "without_replacement", ""),
    "spechub": Method("the likeliest tokens and one sample", REJECTION, "hub", "2^4"),
    "kseq": Method("independent samples, one threshold", {"token": "kseq"}, "with_replacement", "4x1x1x1"),
    "topk": Method("the likeliest tokens of each node", REJECTION, "top_k", "2^4"),
}
