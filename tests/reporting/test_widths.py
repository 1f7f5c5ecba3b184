"""Every table that the program prints is whole at 80 columns, and at others, whatever stands in it."""

import ast
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from specdec_cli import reporting
from specdec_cli.audit.exact import ExactCheck
from specdec_cli.audit.greedy import GreedyCheck
from specdec_cli.audit.models import BoundCheck
from specdec_cli.audit.run import AuditResult
from specdec_cli.audit.self_test import FaultVerdict
from specdec_cli.audit.statistical import StatisticalTest
from specdec_cli.benchmarking.detail import KINDS, Group
from specdec_cli.benchmarking.log_comparison import LogComparison
from specdec_cli.benchmarking.method_comparison import MethodComparison
from specdec_cli.benchmarking.replays import ReplayRow
from specdec_cli.benchmarking.streaming import StreamRow
from specdec_cli.benchmarking.summary import Ratio, Row
from specdec_cli.distillation.speedup_estimate import SpeedupEstimate, SpeedupReport
from specdec_cli.drafting.shapes import StaticTree
from specdec_cli.engine.roles import Step
from specdec_cli.engine.stats import RunStats
from specdec_cli.evaluation.scoring import Difference, Score, ScoreRow
from specdec_cli.models.hub.resolve import describe
from specdec_cli.models.memory_estimate import Estimate
from specdec_cli.reporting.audit import tables as audit_tables
from specdec_cli.reporting.bench import bench_tables
from specdec_cli.reporting.detail import detail_tables
from specdec_cli.reporting.distill import acceptance_table, estimate_table
from specdec_cli.reporting.evaluate import differences_table, scores_table
from specdec_cli.reporting.log_comparison import log_comparison_table
from specdec_cli.reporting.method_comparison import method_comparison_table
from specdec_cli.reporting.models import models_table
from specdec_cli.reporting.plan import plan_table
from specdec_cli.reporting.presets import presets_table, settings_table
from specdec_cli.reporting.replay import replay_tables
from specdec_cli.reporting.specem import Tally, tally_table
from specdec_cli.reporting.streaming import stream_table
from specdec_cli.reporting.table import Column, FittedTable, figures, names, texts
from specdec_cli.reporting.trees import shape_table
from specdec_cli.settings import Settings, list_presets, load_settings

WHOLE = Ratio(12.34, 10.01, 14.56)
SHARE = Ratio(1.0, 0.99, 1.0)
FOLDER = "/data/somebody/models/Meta-Llama-3.1-70B-Instruct-GPTQ-4bit"
LONG = f"specexec, budget 128, beams 16, depth 12, T 0.6, draft {FOLDER}"
CHAINS = "sps, gamma 12, verify block, draft ngram+smollm2-head, T 0.6"
ENSEMBLE = "we-chef, models Qwen/Qwen2.5-Coder-1.5B-Instruct, gamma 1/5"


def row(configuration, **changes):
    """A row whose figures are as long as they get."""
    figures: dict[str, Any] = {
        "prompts": 1000, "gen_rate": 12.34, "gen_speed": 12345.67, "acceptance_rate": 1.0, "speedup": WHOLE,
        "draft_seconds": 123.4567, "verify_seconds": 123.4567, "draft_share": 1.0, "verify_share": 1.0,
        "overhead_share": 1.0, "tree_depth": 128.5, "tree_size": 4096.5, "least_score": -123.45,
        "first_token_seconds": 1234.56, "memory_bytes": 1234 << 30, "seconds": 123456.7, "same_text": 1000,
    }  # fmt: skip
    return Row(configuration, **figures | changes)


def bench():
    settings = {
        LONG: Settings(min_log_prob=-12.5, max_budget=4096, max_branch_width=4096, max_n_beams=4096),
        CHAINS: Settings(method="sps", gamma=12),
        ENSEMBLE: Settings(method="we-chef", models=("a", "b")),
        "autoregressive": Settings(method="autoregressive"),
    }
    shares = {"calls_per_token": 12.34, "member_acceptance": (1.0, 0.99, 0.5)}
    rows = [row(LONG), row(CHAINS), row(ENSEMBLE, **shares), row("autoregressive", speedup=None)]
    title = f"{FOLDER}, bfloat16, 1000 prompts of spec-bench, up to 1024 tokens"
    return bench_tables(rows, settings, title)


def detail():
    rate = Ratio(0.5, 0.45, 0.55)
    rest: dict[str, Any] = {"tokens_per_pass": 12.34, "speedup": WHOLE}
    labels = {"position": "12", "category": "retrieval-augmented generation", "entropy": "4.0 and more"}
    return detail_tables(
        [
            Group(LONG, kind, labels.get(kind, "1024-2047"), 1000, 123456, 123456, rate, 1.0, **rest)
            for kind in KINDS
        ]
    )


def audit():
    test = StatisticalTest("token 12 given those before it", 123456, 4096, 0.99, None, 0.123, impossible=1234)
    sound = StatisticalTest("text", 123456, 4096, 0.99, 0.123, 0.123)
    greedy = GreedyCheck(123456, 123456, 12345, 12345, 1.2e-3, 1e-2, 1.2e-3, {})
    paths = ExactCheck("specinfer", "traversal", "[-1, -1, 0, 0, 1, 1]", "t0.7 top-p 0.9", 12345678, 1e-16)
    wrong = replace(paths, error="12345 paths of chance leave the tree")
    bug = FaultVerdict("accepts with the target's probability alone", "specinfer", True, True, True, False)
    result = AuditResult(
        exact=[paths, wrong], statistical={"specexec": [test, sound]}, greedy={"specexec": greedy},
        bound={"specexec": BoundCheck(123456, 0.999, 0.999, 12.34)}, self_test=[bug],
    )  # fmt: skip
    return audit_tables(result)


def demo():
    step = Step((1, 2, 3), 2, 4, 4, 0.5, 0.1, 0.3)
    stats = RunStats.of([step])
    drafts = ("autoregressive", "specexec, ngram", "sps, ngram+layers:15", f"sps, ngram+{FOLDER}")
    standings = [MethodComparison(name, stats, (12.34, 10.01, 14.56), 1234) for name in drafts]
    return method_comparison_table(standings, f"{FOLDER}, bfloat16, 80 tokens at most", "bfloat16", 0.0)


def scores():
    kinds = ("bleu", "rouge-1", "rouge-2", "rouge-l", "bertscore-p", "bertscore-r", "bertscore-f", "exact")
    note = "sacrebleu 2.6.0, signature nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp"
    each = {name: Score(100.0, 100.0, 100.0, 12345, note) for name in kinds}
    rows = [ScoreRow("retrieval-augmented generation", "multilingual", 12345, 12345, each)]
    return scores_table(Path(FOLDER) / "results.json", rows)


def differences():
    found = [
        Difference("bertscore-f", "en", 12345, 100.0, 100.0, -100.0, -100.0, 100.0),
        Difference("retrieval-augmented generation, exact", "zh", 12345, 100.0, 100.0, 12.0, 10.0, 14.0),
    ]
    return differences_table(Path(FOLDER) / "one.json", Path(FOLDER) / "other.json", found)


def distilled():
    shares = dict.fromkeys((0.0, 0.6, 1.0), (1.0,) * 8)
    return SimpleNamespace(acceptance=SimpleNamespace(positions=1234567, accepted=shares, ranks=shares))


def speedup_report():
    estimate = SpeedupEstimate(12, 12.34, 12.34, 4096, 12.34, 12.34)
    return SpeedupReport(0.1, 0.2, dict.fromkeys((0.0, 0.6, 1.0), estimate))


def tally():
    rounds: list[Any] = [SimpleNamespace(text="x" * 12345, winner=0, weights=(0.123, 0.877), candidates=())]
    found = Tally((FOLDER, "smollm2-135m"), ("smollm2-135m", "THUDM/glm-4-9b-chat-hf"), rounds)
    object.__setattr__(found, "wins", lambda place: 123456)
    return found


def plan():
    size = 284_000_000_000
    models = [
        Estimate(
            "target", "meta-llama/Meta-Llama-3-70B-Instruct", 70_000_000_000, size, size, True, True, True
        ),
        Estimate("draft", FOLDER, None, None, None, False),
        Estimate("second of the models", "layers:12", 1_000_000, 0, 0, False),
    ]
    return plan_table(models, 2)


def replayed():
    own = ReplayRow(LONG, "", 1000, 123456, 12.345, 12.01, 12.99, 4096.5, 1.0, 12.345, 12.345)
    return replay_tables([own, replace(own, method="specinfer, tree 4x2x2x1, verify traversal")])


LONGEST = sorted(list_presets(), key=lambda preset: len(str(preset.values)))[-3:]
CASES = {
    "audit": audit,
    "bench": bench,
    "compare": lambda: log_comparison_table(
        [LogComparison(LONG, 1000, 12345.6, 12345.6, WHOLE, (12.34, 12.34), 999)], 0.95
    ),
    "demo": demo,
    "detail": detail,
    "distill, acceptance": lambda: acceptance_table(distilled()),
    "distill, estimate": lambda: estimate_table(speedup_report()),
    "evaluate": scores,
    "evaluate, differences": differences,
    "models list": lambda: models_table(describe()),
    "plan": plan,
    "presets list": lambda: presets_table(list_presets()),
    "presets show": lambda: [
        settings_table(load_settings(each.name, flags={}, environ={}), each) for each in LONGEST
    ],
    "replay": replayed,
    "specem": lambda: tally_table(tally()),
    "offload-bench": lambda: stream_table(
        [StreamRow(LONG, 123456.7e6, 123.45e9, 123.45e9, 1.0, 1.0, 12345.67, 12345.67, 1.0)],
        "reading past the page cache of the system",
        12.5,
    ),
    "trees": lambda: shape_table(StaticTree((-1,) * 64 + tuple(range(64))), f"{FOLDER}/tree.json"),
}


def tables_of(name: str) -> list[FittedTable]:
    made = CASES[name]()
    return made if isinstance(made, list) else [made]


def shown(table: FittedTable, width: int) -> list[str]:
    console = Console(width=width, file=open("/dev/null", "w"), record=True, color_system=None)  # noqa: SIM115
    with console.file:
        console.print(table)
        return console.export_text().splitlines()


def plain(cell: str | Text) -> str:
    return cell if isinstance(cell, str) else cell.plain


def missing(table: FittedTable, width: int) -> list[str]:
    """The words of headings and the figures that are not whole on a screen, each with its cell."""
    lines = shown(table, width)
    words = {word for line in lines for word in line.split()}
    whole = "\n".join(" ".join(line.split()) for line in lines)
    lost = [word for column in table.columns for word in column.heading.split() if word not in words]
    for place, column in enumerate(table.columns):
        for row in table.rows:
            cell = plain(row[place])
            if column.figures:
                parts = [part for line in cell.split("\n") for part in line.replace(" (", "\n(").split("\n")]
                lost += [part for part in parts if part not in whole]
            elif width >= 80:  # a path may be longer than half of the screen, and is folded
                lost += [word for word in cell.split() if len(word) <= 24 and word not in words]
    return lost


@pytest.mark.parametrize("width", [60, 80, 100, 160])
@pytest.mark.parametrize("name", CASES)
def test_no_heading_and_no_figure_is_cut(name: str, width: int) -> None:
    for table in tables_of(name):
        lines = shown(table, width)
        assert max(map(cell_len, lines)) <= width
        assert not any("…" in line for line in lines)
        assert missing(table, width) == []


@pytest.mark.parametrize("width", [20, 40])
@pytest.mark.parametrize("name", CASES)
def test_a_very_narrow_screen_gets_every_character_too(name: str, width: int) -> None:
    for table in tables_of(name):
        letters = "".join("".join(shown(table, width)).split())
        for row in table.rows:
            assert sum(map(len, "".join(map(plain, row)).split())) <= len(letters)
        assert "…" not in letters


def test_every_table_of_the_program_is_among_them() -> None:
    """Only reporting/table.py makes tables, and each function that gives one is called by a case."""
    folder = Path(reporting.__file__).parent
    called = Path(__file__).read_text(encoding="utf-8")
    makers = []
    for path in sorted(folder.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        if path.name != "table.py":
            assert "rich.table" not in source, path.name
            makers += [
                node.name
                for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.FunctionDef)
                and node.returns is not None
                and "FittedTable" in ast.unparse(node.returns)
                and not node.name.startswith("_")
            ]
    one_by_one = {"exact_table", "statistical_table", "greedy_table", "bound_table", "self_test_table"}
    assert len(makers) > 15
    assert [name for name in makers if name not in called and name not in one_by_one] == []


SPECEXEC = (
    "beams", "max_h", "budget", "minLP", "branch", "t0", "t1", "tree_h", "tree_size", "min_CLP", "exp_time",
    "gen_rate", "gen_speed", "mem_use",
)  # fmt: skip


def test_the_columns_of_specexecs_table_are_all_there_at_80_columns() -> None:
    words = {word for table in bench() for line in shown(table, 80) for word in line.split()}
    assert set(SPECEXEC) <= words
    assert {"4096", "-12.5", "123.4567", "12345.67", "12.34", "-123.45", "123456.7", "1234.00"} <= words


def two_figures(heading: str = "tokens per pass", figure: str = "1.63x (1.24-2.41)") -> FittedTable:
    table = FittedTable(
        [*names("name"), *figures(heading, "other heading"), *texts("remark")], "Title", "End."
    )
    table.add_row("autoregressive", figure, "12.3", "words that may go below each other")
    return table


BREAKS = {
    100: [
        "name              tokens per pass  other heading  remark",
        "autoregressive  1.63x (1.24-2.41)           12.3  words that may go below each other",
    ],
    80: [
        "                                     other",
        "name              tokens per pass  heading  remark",
        "autoregressive  1.63x (1.24-2.41)     12.3  words that may go below each other",
    ],
    60: [
        "                                     other",
        "name              tokens per pass  heading  remark",
        "autoregressive  1.63x (1.24-2.41)     12.3  words that may",
        "                                            go below each",
        "                                            other",
    ],
    56: [
        "                 tokens per    other",
        "name                   pass  heading  remark",
        "autoregressive        1.63x     12.3  words that may go",
        "                (1.24-2.41)           below each other",
    ],
    44: [
        "                                     other",
        "name              tokens per pass  heading",
        "autoregressive  1.63x (1.24-2.41)     12.3",
        "name            remark",
        "autoregressive  words that may go below",
        "                each other",
    ],
}


@pytest.mark.parametrize("width", BREAKS)
def test_as_little_as_will_do_is_broken(width: int) -> None:
    """Headings first, then text, then intervals, and columns go below each other last."""
    lines = [line.rstrip() for line in shown(two_figures(), width)]
    assert lines[0] == "Title"
    assert [line for line in lines[1:] if line and not line.startswith("─")] == [*BREAKS[width], "End."]


def test_the_name_of_a_row_stands_in_each_block_at_the_same_width() -> None:
    columns = [Column("temperature", key=True), *figures(*(f"guess {depth}" for depth in range(1, 13)))]
    table = FittedTable(columns)
    table.add_row("0.6", *(f"{depth}.5%" for depth in range(1, 13)))
    lines = shown(table, 60)
    assert sum("temperature" in line for line in lines) == 2
    assert [line.index("0.6") for line in lines if "0.6" in line] == [8, 8]
    assert [f"{depth}.5%" for depth in range(1, 13)] == [
        word for line in lines for word in line.split() if word.endswith("%")
    ]


def test_markup_in_a_name_is_text() -> None:
    table = FittedTable(names("[b]name[/b]"), "[i]title[/i]")
    table.add_row("[red]x[/red] :smile:")
    console = Console(width=80, markup=False, emoji=False, file=open("/dev/null", "w"), record=True)  # noqa: SIM115
    with console.file:
        console.print(table)
        whole = console.export_text()
    for text in ("[b]name[/b]", "[i]title[/i]", "[red]x[/red] :smile:"):
        assert text in whole


def test_a_row_has_a_cell_for_each_column() -> None:
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        FittedTable(names("a", "b")).add_row("one")
