"""The longest contents of every table that the program prints: what tests of its layout look at."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from specdec_cli.audit.exact import ExactCheck
from specdec_cli.audit.greedy import BitCheck, GreedyCheck
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
        "identical": "up to ties",
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
    bits = replace(greedy, bits=BitCheck(123456, 2, 0))
    paths = ExactCheck("specinfer", "traversal", "[-1, -1, 0, 0, 1, 1]", "t0.7 top-p 0.9", 12345678, 1e-16)
    wrong = replace(paths, error="12345 paths of chance leave the tree")
    bug = FaultVerdict("accepts with the target's probability alone", "specinfer", True, True, True, False)
    result = AuditResult(
        exact=[paths, wrong], statistical={"specexec": [test, sound]},
        greedy={"specexec": greedy, "sps": bits},
        bound={"specexec": BoundCheck(123456, 0.999, 0.999, 12.34)}, self_test=[bug],
    )  # fmt: skip
    return audit_tables(result)


def demo():
    step = Step((1, 2, 3), 2, 4, 4, 0.5, 0.1, 0.3)
    stats = RunStats.of([step])
    drafts = ("autoregressive", "specexec, ngram", "sps, ngram+layers:15", f"sps, ngram+{FOLDER}")
    standings = [MethodComparison(name, stats, (12.34, 10.01, 14.56), 1234, "up to ties") for name in drafts]
    return method_comparison_table(standings, f"{FOLDER}, bfloat16, 80 tokens at most", "bfloat16")


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
    object.__setattr__(found, "wins", lambda index: 123456)
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
