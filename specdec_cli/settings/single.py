"""The settings of a run of one target: models, sampling, method."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from specdec_cli.registry.methods import METHODS
from specdec_cli.registry.precisions import BITSANDBYTES, OURS
from specdec_cli.settings.rules import Rule

VERIFIERS = ("token", "block", "traversal")
PRECISIONS = ("none", *OURS, *BITSANDBYTES)
AUTO = 0  # of `max_budget`, in files too; elsewhere `node_budget` says it
OFFLOADS = ("none", "cpu", "disk")
DTYPES = ("auto", "float32", "bfloat16", "float16")


def _models(help: str, **limits: Any) -> dict[str, Rule]:
    return {"rule": Rule("Models", help, **limits)}


def _sampling(help: str, **limits: Any) -> dict[str, Rule]:
    return {"rule": Rule("Sampling", help, **limits)}


def _method(help: str, **limits: Any) -> dict[str, Rule]:
    return {"rule": Rule("Method", help, **limits)}


LONGEST_STOP = 1000  # characters: every step looks for its beginnings at the end of the text
LONGEST_SYSTEM = 1 << 20
LONGEST_TREE = 1 << 16  # the parents of the 4,096 guesses that a tree may have, written out
NO_BUDGET = "A budget of 0 would draft nothing: for that, use --method autoregressive."
ANY_MODEL = "a name from `specdec models list`, a hub id, a folder or a .gguf file"


@dataclass(frozen=True, slots=True)
class SingleSettings:
    """What decides what a run of one target does."""

    target: str = field(
        default="smollm2-135m",
        metadata=_models(f"Model whose text it is: {ANY_MODEL}.", flags=("--target", "-m")),
    )
    draft: str | None = field(
        default=None,
        metadata=_models(
            "What guesses ahead: a model like the target, layers:N (the target's first N layers), self:int4 "
            "(its own 4-bit copy; self:int8, self:noise:0.01), or ngram; "
            "ngram+NAME copies where the text repeats itself (sps, specexec).",
            unset="the target's own default",
            flags=("--draft", "-d"),
        ),
    )
    device: str = field(default="auto", metadata=_models("Where the target runs: auto, cpu, cuda or cuda:1."))
    draft_device: str | None = field(
        default=None, metadata=_models("Where the draft runs.", unset="the target's device")
    )
    dtype: str = field(default="auto", metadata=_models("Number format of the weights.", choices=DTYPES))
    quantize: str = field(
        default="none",
        metadata=_models(
            "Round the target's weights (int8, int4 on the CPU): its text changes.", choices=PRECISIONS
        ),
    )
    draft_quantize: str = field(
        default="none",
        metadata=_models(
            "Round the draft's weights (int8, int4 on the CPU): only guesses change.", choices=PRECISIONS
        ),
    )
    offload: str = field(
        default="none",
        metadata=_models(
            "Keep most of the target's layers out of memory: on disk (computed on the CPU) or in cpu memory "
            "(streamed to the GPU).",
            choices=OFFLOADS,
        ),
    )
    resident_layers: int | None = field(
        default=None,
        metadata=_models(
            "Layers of an offloaded target that stay in memory.",
            low=0,
            high=4096,
            unset="as many as memory allows",
        ),
    )
    memory_limit: str | None = field(
        default=None,
        metadata=_models(
            "Memory that an offloaded run may take in all, such as 2GiB.", unset="what is free, less a tenth"
        ),
    )
    link_gbps: float | None = field(
        default=None,
        metadata=_models(
            "Slow the streaming of an offloaded target down to this many gigabytes per second: a simulation.",
            above=0,
            unset="as fast as it goes",
        ),
    )
    compile: bool = field(
        default=False,
        metadata=_models(
            "Compile the forward pass: on the CPU once, a minute long, with a C++ compiler; on CUDA graphs."
        ),
    )
    revision: str | None = field(
        default=None,
        metadata=_models("Branch, tag or commit of the target on the hub.", unset="the main branch"),
    )
    trust_remote_code: bool = field(
        default=False, metadata=_models("Run Python code that comes with a model.")
    )
    threads: int | None = field(
        default=None,
        metadata=_models("CPU threads for the models.", low=1, high=1024, unset="one for each physical core"),
    )

    temperature: float = field(
        default=0.0,
        metadata=_sampling("Divides the logits; 0 is greedy.", low=0, flags=("--temperature", "-t")),
    )
    top_p: float = field(
        default=1.0,
        metadata=_sampling(
            "Keep the likeliest tokens whose mass reaches this; 1 keeps all.", above=0, high=1
        ),
    )
    top_k: int = field(
        default=0, metadata=_sampling("Keep this many likeliest tokens; 0 keeps all.", low=0, high=2**31)
    )
    min_p: float = field(
        default=0.0,
        metadata=_sampling("Keep tokens this likely relative to the likeliest; 0 keeps all.", low=0, high=1),
    )
    seed: int = field(default=0, metadata=_sampling("Where the randomness starts.", low=0, high=2**63 - 1))
    max_tokens: int = field(
        default=128,
        metadata=_sampling("Longest answer, in tokens.", low=1, high=2**31, flags=("--max-tokens", "-n")),
    )
    stop: tuple[str, ...] = field(
        default=(),
        metadata=_sampling(
            "Text or special token that ends the answer and is left out of it; may be repeated.",
            longest=LONGEST_STOP,
        ),
    )
    ignore_eos: bool = field(default=False, metadata=_sampling("Go on after the model's end-of-text token."))
    chat: bool | None = field(
        default=None,
        metadata=_sampling(
            "Put the prompt in the model's chat template, or continue it as it is.",
            unset="chat if the model has a template",
            flags=("--chat/--raw",),
        ),
    )
    system: str | None = field(
        default=None,
        metadata=_sampling(
            "System message before the prompt.",
            empty=True,
            unset="the chat template's",
            longest=LONGEST_SYSTEM,
        ),
    )

    method: str = field(
        default="specexec", metadata=_method("How to draft and verify.", choices=tuple(METHODS))
    )
    verify: str = field(
        default="token",
        metadata=_method(
            "How guesses are accepted: token by token, a chain as a block (sps), a tree from its leaves up "
            "(methods that take --tree).",
            choices=VERIFIERS,
        ),
    )
    gamma: int = field(
        default=4,
        metadata=_method(
            "Tokens that sps drafts in a chain; an ensemble's models may differ: 1,5.",
            low=1,
            high=4096,
            flags=("--gamma", "-k"),
            text=True,
        ),
    )
    tree: str | None = field(
        default=None,
        metadata=_method(
            "Tree that is drafted: 4x2x2 (children of each level), 2^5 (binary, five levels with the "
            "root's), a .json file, or a Sequoia .pt file.",
            unset="the method's own",
            longest=LONGEST_TREE,
        ),
    )
    hub_above: float = field(
        default=0.0,
        metadata=_method(
            "Use hubs where the draft's likeliest token has more probability than this, samples without "
            "replacement elsewhere (spechub).",
            low=0,
            high=1,
        ),
    )
    max_budget: int = field(
        default=7,  # eight rows with the root, which cost little more than one (docs/results.md)
        metadata=_method(
            "Tokens in the drafted tree (specexec, ngram, sequoia); auto grows it while it pays (specexec).",
            low=1,
            high=4096,
            hint=NO_BUDGET,
            words={"auto": AUTO},
        ),
    )
    max_n_beams: int = field(
        default=16,
        metadata=_method("Tree nodes that the draft expands in one pass (specexec).", low=1, high=4096),
    )
    max_beam_len: int = field(
        default=8, metadata=_method("Depth of the drafted tree (specexec, ngram, sequoia).", low=1, high=4096)
    )
    max_branch_width: int = field(
        default=4,
        metadata=_method("Children of a tree node; places that ngram copies from.", low=1, high=4096),
    )
    min_log_prob: float | None = field(
        default=None,
        metadata=_method("Least log-probability of a path in the tree (specexec).", high=0, unset="no limit"),
    )
    decay: float = field(
        default=0.95,
        metadata=_method(
            "Factor on the probability of each tree level; below 1 favours shallow nodes (specexec).",
            above=0,
            high=1,
        ),
    )
    coupled: bool = field(
        default=False,
        metadata=_method("Rank guesses with the noise that the target will draw by (specexec, above 0)."),
    )
    ngram_size: int = field(
        default=3,
        metadata=_method(
            "Longest run of tokens that ngram looks up; the only one for ngram+NAME.", low=1, high=4096
        ),
    )

    @property
    def node_budget(self) -> int | None:
        """Nodes of a drafted tree; None where it grows for as long as that pays."""
        return None if self.max_budget == AUTO else self.max_budget
