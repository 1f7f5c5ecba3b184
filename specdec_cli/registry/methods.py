"""Every method, one line each: what guesses, and which verifiers may judge the guesses.

The settings, the help texts and the session read this table. Nothing heavy is imported here, so that
`specdec --help` stays quick; `runtime/build.py` turns the names into classes. docs/adding-a-method.md
adds a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PLAIN = "autoregressive"  # what every other method is compared with


@dataclass(frozen=True, slots=True)
class Method:
    """A choice of drafter and verifiers, and all that is asked of it elsewhere.

    Attributes:
        help: what it does, in one phrase.
        drafter: "none"; "chain", "best first" or "tree", which ask a draft model; "ngram", which asks the
            text; or "members", where the models of an ensemble propose themselves.
        verify: what `--verify` may say, the first being the default, and the verifier that it means.
        reads: settings of its shape that it reads: a sweep over others would measure the same thing again.
        policy: module of `drafting/policies` by which a draft model chooses the children of a node of a
            static tree; None where the drafter is of another kind.
        tree: the tree that is drafted unless `--tree` says otherwise; empty for one that is planned.
        may_copy_first: whether guesses may be copied from the text before a draft is asked (`ngram+`): its
            drafter and verifier take guesses of either kind.
        plannable: whether acceptance by the order of siblings, which trees are planned from, is its own.
        combine: for an ensemble, how the models become one law unless `--ensemble-fn` says otherwise.
        execution: for an ensemble, how that law is sampled; None leaves it to `--exec`.
        general: for an ensemble whose execution is fixed, the method of the same law that leaves it open.
    """

    help: str
    drafter: str
    verify: Mapping[str, str]
    reads: tuple[str, ...] = ()
    policy: str | None = None
    tree: str | None = None
    may_copy_first: bool = False
    plannable: bool = False
    combine: str | None = None
    execution: str | None = None
    general: str | None = None

    @property
    def takes_tree(self) -> bool:
        """Whether `--tree` means anything: a static tree is filled."""
        return self.drafter == "tree"

    @property
    def plans_tree(self) -> bool:
        """Whether a tree is planned from the budget, unless `--tree` names one."""
        return self.tree == ""

    @property
    def is_ensemble(self) -> bool:
        """Whether several models are one target."""
        return self.combine is not None

    @property
    def is_plain(self) -> bool:
        """Whether nothing is drafted."""
        return self.drafter == "none"

    @property
    def asks_draft(self) -> bool:
        """Whether `--draft` says who guesses."""
        return self.drafter in ("chain", "best first", "tree")

    @property
    def takes_ngram(self) -> bool:
        """Whether n-grams may stand for a draft model."""
        return self.drafter in ("chain", "best first")

    @property
    def ranks_guesses(self) -> bool:
        """Whether a tree grows by the probabilities of its guesses."""
        return self.drafter == "best first"

    @property
    def has_hubs(self) -> bool:
        """Whether `--hub-above` means anything."""
        return self.policy == "hub"

    @property
    def draws_guesses(self) -> bool:
        """Whether guesses are drawn by chance, so that another seed makes another tree."""
        return self.drafter == "chain" or self.policy not in (None, "top_k")

    @property
    def emits_own_sample(self) -> bool:
        """Whether tokens are the target's own samples: a seed gives the same text, whatever drafts."""
        return set(self.verify.values()) == {"own_sample"}


OWN_SAMPLE = {"token": "own_sample"}
CHAIN = {"token": "rejection", "block": "block"}
REJECTION = {"token": "rejection", "traversal": "traversal"}
TREE = ("tree", "draft", "verify")
BUDGET = ("max_budget", "max_beam_len")


def _multi_draft(help: str, policy: str, tree: str, **more: Any) -> Method:
    return Method(help, "tree", **{"verify": REJECTION, "reads": TREE, **more}, policy=policy, tree=tree)


def _ensemble(help: str, combine: str, execution: str | None = None, general: str | None = None) -> Method:
    return Method(help, "members", CHAIN, combine=combine, execution=execution, general=general)


METHODS = {
    PLAIN: Method("plain decoding", "none", OWN_SAMPLE),
    "sps": Method(
        "a chain of --gamma samples", "chain", CHAIN, ("gamma", "draft", "verify"), may_copy_first=True
    ),
    "specexec": Method(
        "the likeliest --max-budget continuations as a tree",
        "best first",
        OWN_SAMPLE,
        ("max_budget", "max_n_beams", "max_beam_len", "max_branch_width", "min_log_prob", "decay", "draft"),
        may_copy_first=True,
    ),
    "ngram": Method(
        "what followed the same words before", "ngram", OWN_SAMPLE, (*BUDGET, "max_branch_width")
    ),
    "specinfer": _multi_draft("independent samples", "with_replacement", "4x1x1x1", plannable=True),
    "rrsw": _multi_draft("samples without replacement", "without_replacement", "2^4", plannable=True),
    "sequoia": _multi_draft(
        "a planned tree, samples without replacement", "without_replacement", "", plannable=True,
        reads=("tree", *BUDGET, "draft", "verify"),
    ),
    "spechub": _multi_draft("the likeliest tokens and one sample", "hub", "2^4"),
    "kseq": _multi_draft(
        "independent samples, one threshold", "with_replacement", "4x1x1x1", verify={"token": "kseq"}
    ),
    "topk": _multi_draft("the likeliest tokens of each node", "top_k", "2^4", plannable=True),
    "we": _ensemble("a weighted average of --models", "weighted"),
    "we-sd": _ensemble("the same, one model proposes", "weighted", "sd", general="we"),
    "we-chef": _ensemble("the same, all propose in turn", "weighted", "chef", general="we"),
    "cd": _ensemble("--target against --amateur", "contrastive"),
    "cd-sd": _ensemble("the same, one model proposes", "contrastive", "sd", general="cd"),
    "cd-chef": _ensemble("the same, both propose in turn", "contrastive", "chef", general="cd"),
}  # fmt: skip
# Other names of methods, as other programs have them.
ALIASES = {
    "si": "specinfer",
    "large_model": PLAIN,
    "ensemble": "we",
    "ensemble_sd": "we-sd",
    "ensemble_chef": "we-chef",
    **{name.replace("-", "_"): name for name in METHODS if "-" in name},
}


def canonical(name: str) -> str:
    """The name in `METHODS` of a method that may go by another one; unknown names as they are."""
    return ALIASES.get(name, name)
