"""Every metric, one line each; docs/adding-a-metric.md adds one.

`specdec evaluate` reads its names, and its tables their headings, from here.
"""

from __future__ import annotations

from specdec_cli.evaluation.metrics.answers import measure_exact, measure_gsm8k, measure_mmlu
from specdec_cli.evaluation.metrics.base import Metric
from specdec_cli.evaluation.metrics.bertscore import measure_bertscore
from specdec_cli.evaluation.metrics.bleu import measure_bleu
from specdec_cli.evaluation.metrics.humaneval import FIELDS, measure_humaneval
from specdec_cli.evaluation.metrics.rouge import measure_rouge

ROUGE = {"rouge-1": "ROUGE-1", "rouge-2": "ROUGE-2", "rouge-l": "ROUGE-L"}
BERTSCORE = {"bertscore-p": "BERTScore P", "bertscore-r": "BERTScore R", "bertscore-f": "BERTScore F"}

METRICS = {
    "bleu": Metric(measure_bleu, {"bleu": "BLEU"}),
    "rouge": Metric(measure_rouge, ROUGE),
    "bertscore": Metric(measure_bertscore, BERTSCORE),
    "exact": Metric(measure_exact),
    "gsm8k": Metric(measure_gsm8k),
    "humaneval": Metric(measure_humaneval, needs=FIELDS, runs_programs=True),
    "mmlu": Metric(measure_mmlu),
}


def heading(score: str) -> str:
    """What tables call a score."""
    return next((row.headings[score] for row in METRICS.values() if score in row.headings), score)


def needs_in_words() -> str:
    """What answers need to be scored, as a hint."""
    others = {name: row.needs for name, row in METRICS.items() if row.needs != ("reference",)}
    parts = ["Most metrics need a `reference`"]
    parts += [f"{name} needs {' and '.join(f'`{each}`' for each in needs)}" for name, needs in others.items()]
    return "; ".join(parts) + "."
