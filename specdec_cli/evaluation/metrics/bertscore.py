"""BERTScore by bert-score, with a model from a folder or the hub."""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from specdec_cli.errors import InputError
from specdec_cli.evaluation.metrics.base import (
    Encoder,
    Measure,
    MetricOptions,
    library,
    mean_measure,
    referenced,
)
from specdec_cli.evaluation.results import Answer

NAMES = ("bertscore-p", "bertscore-r", "bertscore-f")
LONGEST = 10**6  # a tokenizer that says more than this does not know its model's length


def encoder_of(model: str, layers: int | None) -> Encoder:
    """The encoder of a folder or of a hub name; a folder's last layer unless told otherwise.

    Raises:
        InputError: the folder holds no model, or has fewer layers than asked for.
    """
    path = Path(os.path.expanduser(model))
    if not path.is_dir():
        return Encoder(model, layers, model)
    config = path / "config.json"
    if not config.is_file():
        raise InputError(f"{path} holds no config.json.", "Give a model's folder with --bertscore-model.")
    import json

    depth = int(json.loads(config.read_text(encoding="utf-8")).get("num_hidden_layers", 0))
    if layers is not None and not 0 < layers <= depth:
        raise InputError(f"{path} has {depth} layers, not {layers}.", f"Give 1 to {depth}.")
    return Encoder(str(path), layers or depth, path.name)


def measure_bertscore(answers: Sequence[Answer], options: MetricOptions) -> list[Measure]:
    """Mean precision, recall and F of BERTScore (Zhang et al. 2020), not rescaled; an empty text scores 0.

    Of several references the library takes the best.
    """
    encoder = options.encoder(options.language)
    indexes = referenced(answers)
    filled = [index for index in indexes if not answers[index].is_empty]
    found = dict.fromkeys(indexes, (0.0, 0.0, 0.0))
    if filled:
        scorer = _scorer(encoder)
        columns = scorer.score(
            [answers[index].prediction for index in filled], [list(answers[index].good) for index in filled]
        )
        triples = zip(*(column.tolist() for column in columns), strict=True)
        found |= dict(zip(filled, triples, strict=True))
    note = f"bert-score, {encoder.name}, layer {encoder.layers or 'by default'}"
    return [
        mean_measure(name, [found[index][part] for index in indexes], indexes, note)
        for part, name in enumerate(NAMES)
    ]


def _scorer(encoder: Encoder) -> Any:
    module = library("bert_score", "bertscore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):  # bars and advice to developers
            warnings.simplefilter("ignore")
            scorer = module.BERTScorer(model_type=encoder.model, num_layers=encoder.layers)
    except Exception as error:  # whatever loading a model of any kind raises
        reason = str(error).partition("\n")[0]
        hint = "Give another with --bertscore-model: a folder, or a name on a hub that can be reached."
        raise InputError(f"bertscore cannot load {encoder.name}: {reason}", hint) from error
    tokenizer = scorer._tokenizer
    if tokenizer.model_max_length > LONGEST:  # the library hands it on as a length to cut at
        tokenizer.model_max_length = scorer._model.config.max_position_embeddings
    return scorer
