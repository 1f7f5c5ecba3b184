"""The registry and vocabulary comparisons as tables and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from specdec_cli.models.hf.vocabulary import VocabularyReport
from specdec_cli.models.hub.resolve import ModelListing
from specdec_cli.reporting.table import FittedTable, figures, names, texts


def models_table(listings: Sequence[ModelListing]) -> FittedTable:
    """One row a model of the registry."""
    sizes = figures("Parameters (M)", "Download (MB)")
    columns = [*names("Name"), *texts("Description"), *sizes, *texts("Draft\nState")]
    table = FittedTable(columns, "Models", "Hub ids, folders and .gguf files work too.")
    for model in listings:
        table.add_row(
            model.name,
            f"{model.description} ({model.licence})",
            f"{model.parameters / 1e6:,.0f}",
            f"{model.download_bytes / 1e6:,.0f}",
            f"{model.default_draft or '-'}\n{model.state}",
        )
    return table


def models_record(listings: Sequence[ModelListing]) -> list[dict[str, object]]:
    """The same for JSON, with each model's folder."""
    return [asdict(model) | {"folder": str(model.folder)} for model in listings]


def vocabulary_lines(target: str, draft: str, report: VocabularyReport) -> str:
    """Whether the draft fits, in what way, and the first ids that differ."""
    verdict = "can" if report.compatible else "cannot"
    lines = [f"{draft} {verdict} draft for {target}: {report.summary}"]
    for token, theirs, ours in report.differing:
        lines.append(f"  id {token}: {theirs!r} to the target, {ours!r} to the draft")
    for part, target_token, draft_token in report.special:
        lines.append(f"  {part}: {_shown(target_token)} of the target, {_shown(draft_token)} of the draft")
    return "\n".join(lines)


def vocabulary_record(target: str, draft: str, report: VocabularyReport) -> dict[str, object]:
    """The same for JSON."""
    return {"target": target, "draft": draft} | asdict(report)


def _shown(token: str | None) -> str:
    return "none" if token is None else repr(token)
