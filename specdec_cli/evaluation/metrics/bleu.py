"""BLEU by sacrebleu: corpus scores with its signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from specdec_cli.evaluation.languages import CHINESE
from specdec_cli.evaluation.metrics.base import Measure, MetricOptions, library, referenced, rows_of
from specdec_cli.evaluation.results import Answer

if TYPE_CHECKING:
    from specdec_cli.evaluation.metrics.base import Numbers

ORDER = 4
TOKENIZERS = {CHINESE: "zh"}
USUAL_TOKENIZER = "13a"


def measure_bleu(answers: Sequence[Answer], options: MetricOptions) -> list[Measure]:
    """Corpus BLEU (Papineni et al. 2002; sacrebleu: Post 2018), and its n-gram precisions as details.

    An answer's row holds its matches of each order, its n-grams of each order, its length and its
    reference's (of several, the closest length), which add up to the corpus's.
    """
    bleu = library("sacrebleu.metrics", "bleu").BLEU
    metric = bleu(tokenize=TOKENIZERS.get(options.language, USUAL_TOKENIZER))
    indexes = tuple(referenced(answers))
    rows = rows_of(_row(metric, answers[index]) for index in indexes)
    signature = metric.get_signature().format() if indexes else ""
    measures = [Measure("bleu", rows, _statistic(bleu), indexes, signature)]
    for order in range(1, ORDER + 1):
        precision = _statistic(bleu, order)
        measures.append(Measure(f"bleu-{order}", rows, precision, indexes, signature, detail=True))
    return measures


def _row(metric: Any, answer: Answer) -> list[int]:
    counted = metric.corpus_score([answer.prediction], [[each] for each in answer.good])
    return [*counted.counts, *counted.totals, counted.sys_len, counted.ref_len]


def _statistic(bleu: Any, order: int | None = None) -> Callable[[Numbers], float]:
    """BLEU of some rows, or their precision of one order."""

    def statistic(rows: Numbers) -> float:
        sums = [int(value) for value in rows.sum(0)]
        counts, totals = sums[:ORDER], sums[ORDER : 2 * ORDER]
        found = bleu.compute_bleu(counts, totals, *sums[2 * ORDER :], smooth_method="exp")
        return float(found.score if order is None else found.precisions[order - 1])

    return statistic
