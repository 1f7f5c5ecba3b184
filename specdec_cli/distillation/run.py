"""A distillation from beginning to end: write, train, measure, put the draft in place."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from specdec_cli.distillation.acceptance import TEMPERATURES, AcceptanceProfile, measure_acceptance
from specdec_cli.distillation.chat_turns import Frame
from specdec_cli.distillation.checkpoint import read_checkpoint
from specdec_cli.distillation.corpus import Corpus, replace_text
from specdec_cli.distillation.data_generation import write_shard
from specdec_cli.distillation.feasibility import openings_that_fit, require_possible
from specdec_cli.distillation.recipe import Recipe, require_store
from specdec_cli.distillation.students import Student, new_student, trained
from specdec_cli.distillation.training import Training
from specdec_cli.models.eagle.checkpoint import vocabulary_digest
from specdec_cli.models.eagle.files import CONFIG, WEIGHTS
from specdec_cli.models.forward.batch import new_batch_forward
from specdec_cli.models.hardware import dtype_name
from specdec_cli.models.hub.cache import require_disk
from specdec_cli.models.hub.disk import writing
from specdec_cli.models.loader import LoadedModel
from specdec_cli.models.reduced_vocab_head import likely_tokens
from specdec_cli.resources import shipped_openings
from specdec_cli.storage.atomic import PART, sync_folder, sync_tree
from specdec_cli.storage.failures import MORE_ROOM
from specdec_cli.storage.output import claimed_folder

WORK = "work"
CHECKPOINT = "training.pt"
REPORT = "draft.json"
MEASUREMENTS = 20  # during a training
HELD_TEXTS = 16  # that are looked at each time; the end looks at all


class Watcher(Protocol):
    """Is told how far things are."""

    def phase(self, name: str, total: int, done: int) -> AbstractContextManager[None]:
        """A part of the work begins, of `total` units, some of them done before."""
        ...

    def advance(self, units: int) -> None:
        """Units of the part are done."""
        ...

    def measured(self, row: dict[str, float]) -> None:
        """Something was measured on the way."""
        ...

    def say(self, text: str) -> None:
        """A line of news."""
        ...


@dataclass(frozen=True)
class Distilled:
    """What came of it.

    Attributes:
        folder: the draft, for `--draft`.
        recipe: how it was made.
        acceptance: how often it is right.
        parameters: of the draft, the target's embedding not counted.
        vocabulary: tokens that it can propose.
        file_bytes: of its weights.
        store: what they are on disk.
        history: what was measured during the training.
        training_seconds: of this run.
    """

    folder: Path
    recipe: Recipe
    acceptance: AcceptanceProfile
    parameters: int
    vocabulary: int
    file_bytes: int
    store: str
    history: Sequence[dict[str, float]]
    training_seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For the report beside the weights."""
        return {
            "recipe": self.recipe.as_dict(),
            "parameters": self.parameters,
            "vocabulary": self.vocabulary,
            "store": self.store,
            "held_out": self.acceptance.as_dict(),
            "history": list(self.history),
        }


def distil(
    target: LoadedModel,
    recipe: Recipe,
    output: Path,
    text: Path | None,
    prompts: Sequence[str] | None,
    watch: Watcher,
    store: str = "float16",
) -> Distilled:
    """Make a draft for a loaded target, or go on with one that was begun.

    Args:
        target: the teacher.
        recipe: how.
        output: folder for the draft; checkpoints lie in a folder `work` inside it.
        text: folder of the target's text, which several drafts can learn from; None for one in `work`.
        prompts: user turns to answer; None where the target makes them up.
        watch: is told how far it is.
        store: what its weights are on disk, "float16", or "int4" for a head; measured as stored.

    Raises:
        InputError: the folder holds another distillation, or the recipe does not fit the target.
        MismatchError: a target that no draft can learn from.
        ResourceError: not enough disk.
        SpecdecError: a file is damaged.
    """
    require_possible(target, recipe)
    require_store(recipe.kind, store)
    recipe = replace(recipe, dtype=dtype_name(target.dtype), tokenizer=vocabulary_digest(target.tokenizer))
    frame = frame_of(target)
    openings = _openings(target, recipe, frame, prompts, watch)
    work = output / WORK
    with writing(f"The folder {work}"):
        work.mkdir(parents=True, exist_ok=True)
    corpus = Corpus(text or work / "text", recipe.corpus)
    if (work / CHECKPOINT).exists():
        read_checkpoint(work / CHECKPOINT, recipe)  # refused before hours of writing
    _write(target, recipe, corpus, frame, openings, prompts is not None, watch)
    student = _student(target, recipe, corpus, watch)
    training, seconds = _trained(student, target, recipe, corpus, work / CHECKPOINT, watch)
    put_in_place(student, output, store)
    head = target.model.get_output_embeddings().weight
    found = Distilled(
        folder=output,
        recipe=recipe,
        acceptance=measure_acceptance(student, head, corpus.read(0), recipe.unroll, target.device),
        parameters=sum(weight.numel() for weight in trained(student.module)),
        vocabulary=len(student.output.tokens),
        file_bytes=(output / WEIGHTS).stat().st_size,
        store=store,
        history=training.progress.history,
        training_seconds=seconds,
    )
    replace_text(output / REPORT, json.dumps(found.as_dict(), indent=2) + "\n")
    return found


def frame_of(target: LoadedModel) -> Frame:
    """What the target's chat template puts around turns."""
    tokenizer = target.tokenizer
    if tokenizer.has_chat_template:
        before, after_user, after_answer = (tuple(piece) for piece in tokenizer.chat_frame())
        return Frame(before, after_user, after_answer, target.stop_tokens | tokenizer.turn_ends)
    first = tokenizer.encode("")[:1] or sorted(target.stop_tokens)[:1]
    return Frame(tuple(first), (), tuple(first), target.stop_tokens)


def _openings(
    target: LoadedModel, recipe: Recipe, frame: Frame, prompts: Sequence[str] | None, watch: Watcher
) -> list[Sequence[int]]:
    """What texts begin with: the user turns that were given, or first words of some."""
    said = prompts if prompts is not None else shipped_openings()
    openings = [target.tokenizer.encode_plain(text) for text in said]
    found = openings_that_fit(openings, frame, whole=prompts is not None, length=recipe.length)
    if prompts is not None and len(found) < len(openings):
        left = len(openings) - len(found)
        watch.say(
            f"{left:,} of {len(openings):,} prompts leave no room in --length {recipe.length}: left out"
        )
    return found


def _write(
    target: LoadedModel,
    recipe: Recipe,
    corpus: Corpus,
    frame: Frame,
    openings: Sequence[Sequence[int]],
    whole: bool,
    watch: Watcher,
) -> None:
    """Let the target write the shards that are missing."""
    shards, per_shard = recipe.shards, recipe.texts * recipe.length
    done = min(corpus.shards, shards)
    for number in range(done):
        corpus.check(number)
    hidden = target.model.get_output_embeddings().weight.shape[1]
    needed = (shards - done) * per_shard * (2 * hidden + 9)
    require_disk(corpus.folder, needed, "The target's text", MORE_ROOM)
    alone = claimed_folder(corpus.folder, f"The text in {corpus.folder}") if done < shards else nullcontext()
    with alone, watch.phase("Writing", shards * per_shard, done * per_shard):
        for number in range(done, shards):
            shard = write_shard(
                new_batch_forward(target.model, recipe.texts, recipe.length),
                frame,
                openings,
                whole=whole,
                texts=recipe.texts,
                length=recipe.length,
                seed=f"{recipe.seed}/{number}",
                tick=watch.advance,
            )
            corpus.add(number, shard)


def _student(target: LoadedModel, recipe: Recipe, corpus: Corpus, watch: Watcher) -> Student:
    vocab_size, hidden = target.model.get_output_embeddings().weight.shape
    counts = corpus.token_counts(vocab_size, hidden, recipe.shards)
    tokens = likely_tokens(counts, recipe.vocabulary, target.stop_tokens)
    share = counts[tokens].sum() / counts.sum()
    watch.say(f"The draft proposes {len(tokens):,} tokens, {share:.1%} of what the target says")
    torch.manual_seed(recipe.seed)
    return new_student(recipe.kind, target, tokens, recipe.layers)


def _trained(
    student: Student, target: LoadedModel, recipe: Recipe, corpus: Corpus, checkpoint: Path, watch: Watcher
) -> tuple[Training, float]:
    """The training of a student, brought to its end, and how many seconds of it were now."""
    head = target.model.get_output_embeddings().weight
    rows = head[student.output.tokens.to(head.device)]
    training = Training(student, rows, recipe, corpus, checkpoint)
    begun = time.monotonic()
    held_out = corpus.read(0, slice(0, HELD_TEXTS))
    for row in training.progress.history:
        watch.measured(row)

    def measure() -> dict[str, float]:
        found = measure_acceptance(student, head, held_out, 1, target.device)
        row = {"step": training.progress.step, "loss": training.progress.loss}
        row |= {f"accepted_{each:g}": found.accepted[each][0] for each in TEMPERATURES}
        row["top_4"] = sum(found.ranks[0.0][:4])
        watch.measured(row)
        return row

    with watch.phase("Training", recipe.steps, training.progress.step):
        training.run(max(1, recipe.steps // MEASUREMENTS), measure, lambda _: watch.advance(1))
    return training, time.monotonic() - begun


def put_in_place(student: Student, output: Path, store: str = "float16") -> None:
    """Write the draft's files elsewhere first, and its configuration last: a draft is never half there."""
    with writing(
        "The draft", f"What was made for {output} is kept: free some space, and the same command goes on."
    ):
        part = Path(tempfile.mkdtemp(prefix=".draft.", suffix=PART, dir=output / WORK))
        try:
            student.save(part, store)
            sync_tree(part)
            (output / CONFIG).unlink(missing_ok=True)  # of another draft, to other weights
            for path in sorted(part.iterdir(), key=lambda path: path.name == CONFIG):
                os.replace(path, output / path.name)
            sync_folder(output)
        finally:
            shutil.rmtree(part, ignore_errors=True)
