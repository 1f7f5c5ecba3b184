"""Every causal architecture of transformers on a tiny random model: right, or refused in one line?

For each one a tiny checkpoint is written, in float32, with windows and chunks shorter than the text. Right
means: plain decoding writes what transformers' own greedy decoding writes, every method writes what plain
decoding writes, also with layers of its own as draft, from disk and with 8-bit weights. The same holds past
the length at which LongRoPE and dynamic scaling change rotary positions, where the architecture has these.
`make architectures`.

Exits with 1 if anything is wrong, ends in an error of no kind of ours, or takes too long.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from specdec_cli.errors import SpecdecError
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent / "tests")]

from tiny_checkpoints import WORDS, tokenizer  # noqa: E402

from benchmarks.architecture_process import in_its_own_process  # noqa: E402
from benchmarks.architecture_table import (  # noqa: E402
    ABSENT,
    CRASH,
    REFUSED,
    RIGHT,
    TIED,
    WRONG,
    Row,
    line,
    markdown,
    summary,
)
from benchmarks.tiny_architectures import (  # noqa: E402
    causal_architectures,
    distinct,
    rope_changes,
    tiny_config,
    tiny_model,
)

PROMPT = "The old boat"
VOCABULARY = (*WORDS, *(f"<{number}>" for number in range(288 - len(WORDS))))  # sizes that 8 and 4 bits like
LENGTH = 48
TIE = 1e-4  # of the largest logit: two tokens this close may change places between passes of other shapes
TIE_OF_8_BITS = 2.0**-7  # two units of bfloat16, in which the 8-bit product gives its sums
DULL = 5  # a model whose text has fewer different tokens proves too little
NOISY = "self:noise:0.05"
BASE = Settings(max_tokens=LENGTH, ignore_eos=True, chat=False, dtype="float32", threads=1)
METHODS: dict[str, dict[str, Any]] = {
    "autoregressive": {"method": "autoregressive"},
    "ngram": {"method": "ngram"},
    "sps": {"method": "sps", "draft": NOISY},
    "specexec": {"method": "specexec", "draft": NOISY},
    "sequoia": {"method": "sequoia", "draft": NOISY},
    "specinfer": {"method": "specinfer", "draft": NOISY},
}
WAYS: dict[str, dict[str, Any]] = {
    "layers:2": {"method": "specexec", "draft": "layers:2"},
    "self:int4": {"method": "sps", "draft": "self:int4"},
    "offload": {"method": "specexec", "draft": "ngram", "offload": "disk"},
    "int8": {"method": "specexec", "draft": "ngram", "quantize": "int8"},
}
ROPES = ("longrope", "dynamic")
ROPE_WAYS = ("autoregressive", "sps", "specexec", "sequoia", "layers:2", "offload")
NO_REFERENCE = {"phi4_multimodal": "past the switch transformers itself forgets the text: see findings"}
COLUMNS = (*METHODS, *WAYS, *ROPES)


@dataclass
class Reference:
    """What another way of decoding writes.

    Attributes:
        tokens: the text's ids.
        margins: how far the best logit is above the second best, as a part of the largest, for each of them.
        tie: margin up to which passes of other shapes may choose otherwise.
    """

    tokens: list[int]
    margins: list[float]
    tie: float = TIE


def main() -> None:
    """Try the architectures and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="this one; may be given again")
    parser.add_argument("--column", action="append", choices=COLUMNS, help="this column; may be given again")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--output", type=Path, help="write the table there as Markdown")
    parser.add_argument("--seconds", type=float, default=120, help="time for one architecture")
    options = parser.parse_args()
    known = causal_architectures()
    if options.list:
        print("\n".join(known))
        return
    names = options.only or known
    if unknown := set(names) - set(known):
        parser.error(f"transformers has no causal architecture {', '.join(sorted(unknown))}; see --list")
    rows = []
    for name in names:
        rows.append(in_its_own_process(trial, name, options.column or COLUMNS, options.seconds))
        print(line(rows[-1]), flush=True)
    if options.output:
        options.output.write_text(markdown(rows, COLUMNS))
    print(summary(rows))
    sys.exit(any(row.faults for row in rows))


def trial(name: str, columns: Sequence[str] = COLUMNS) -> Iterator[Row]:
    """Try one architecture, column by column: the row so far after each."""
    row = Row(name)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as parent:
        warnings.simplefilter("ignore")
        folder = Path(parent) / name
        try:
            reference = build(name, folder)
        except Exception as error:  # whatever an architecture says of a configuration that it does not like
            row.unbuilt = _first_line(error)
            yield row
            return
        plain = Outcome()
        for column in (column for column in COLUMNS if column in columns and column not in ROPES):
            fields = {**METHODS, **WAYS}[column]
            if plain.refused and column != "autoregressive":
                row.add(column, REFUSED, plain.refused)
                continue
            expected = reference if column != "int8" else _plain_text(folder, quantize="int8")
            outcome = decoded(folder, fields, expected)
            row.add(column, outcome.verdict, outcome.reason)
            if fields["method"] == "autoregressive" and outcome.verdict == REFUSED:
                plain = outcome
            yield row
        for rope in (rope for rope in ROPES if rope in columns):
            row.add(rope, *_with_rope(name, rope, folder.with_name(f"{name}-{rope}")))
            yield row
        yield row


@dataclass
class Outcome:
    """What came of one run."""

    verdict: str = RIGHT
    reason: str = ""

    @property
    def refused(self) -> str:
        """The reason of a refusal."""
        return self.reason if self.verdict == REFUSED else ""


def build(name: str, folder: Path, changes: dict[str, Any] | None = None) -> Reference:
    """Write a tiny checkpoint of the architecture; what transformers writes with it."""
    for more in ({}, {"tie_word_embeddings": False}):
        model = tiny_model(tiny_config(name, len(VOCABULARY), {**(changes or {}), **more}))
        model.save_pretrained(folder)
        tokenizer(VOCABULARY, template=None).save_pretrained(folder)
        reference = greedy(folder)
        if distinct(reference.tokens) >= DULL:
            break
    return reference


def greedy(folder: Path) -> Reference:
    """Greedy decoding by transformers, with a cache, from the checkpoint as it is stored."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.tensor([transformers.AutoTokenizer.from_pretrained(folder)(PROMPT)["input_ids"]])
    with torch.inference_mode():
        output = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=LENGTH,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=2,
            output_logits=True,
            return_dict_in_generate=True,
        )
    margins = [margin(logits[0]) for logits in output.logits]
    return Reference(output.sequences[0, ids.shape[1] :].tolist(), margins)


def margin(logits: Tensor) -> float:
    """How far the best logit (V,) is above the second best, as a part of the largest."""
    best = logits.float().topk(2).values
    return float((best[0] - best[1]) / logits.abs().max().clamp_min(1e-9))


def _plain_text(folder: Path, **fields: Any) -> Reference | None:
    """Plain decoding's own text, which is not judged; None where it is refused."""
    settings = replace(BASE, target=str(folder), method="autoregressive", **fields)
    try:
        tokens = _tokens(settings)
    except SpecdecError:
        return None
    session = Session.load(settings)
    rows = session.logits(session.encode(PROMPT), tokens, together=False)
    return Reference(tokens, [margin(row) for row in rows], TIE_OF_8_BITS)


def decoded(folder: Path, fields: dict[str, Any], expected: Reference | None) -> Outcome:
    """Decode with these settings and compare."""
    try:
        tokens = _tokens(replace(BASE, target=str(folder), **fields))
    except SpecdecError as error:
        one_line = "\n" not in error.problem
        return Outcome(REFUSED if one_line else CRASH, error.problem.replace(str(folder), "it"))
    except Exception as error:
        return Outcome(CRASH, f"{type(error).__name__}: {_first_line(error)}")
    if expected is None:
        return Outcome(WRONG, "plain decoding is refused, this is not")
    if tokens == expected.tokens:
        return Outcome()
    pairs = enumerate(zip(tokens, expected.tokens, strict=False))
    index = next((index for index, (ours, theirs) in pairs if ours != theirs), len(tokens))
    if index < len(tokens) and expected.margins[index] < expected.tie:
        return Outcome(TIED, f"at token {index}")
    return Outcome(WRONG, f"from token {index} on")


def _tokens(settings: Settings) -> list[int]:
    session = Session.load(settings)
    return [token for step in session.steps(session.encode(PROMPT)) for token in step.tokens]


def _with_rope(name: str, rope: str, folder: Path) -> tuple[str, str]:
    """The verdict over a few methods past the length at which the rotary positions change."""
    changes = rope_changes(tiny_config(name, len(VOCABULARY)), rope)
    if changes is None or name in NO_REFERENCE:
        return ABSENT, NO_REFERENCE.get(name, "")
    try:
        reference = build(name, folder, changes)
    except Exception as error:
        return ABSENT, _first_line(error)
    for way in ROPE_WAYS:
        outcome = decoded(folder, {**METHODS, **WAYS}[way], reference)
        if outcome.verdict != RIGHT and (way in METHODS or outcome.verdict != REFUSED):
            return outcome.verdict, f"{way}: {outcome.reason}"
    return RIGHT, ""


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


if __name__ == "__main__":
    main()
