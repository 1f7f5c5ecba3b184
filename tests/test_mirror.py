"""Tests mirror the package: who looks for the tests of a module finds them where its path says."""

import ast
from pathlib import Path

import pytest

import specdec_cli

TESTS, PACKAGE = Path(__file__).parent, Path(specdec_cli.__file__).parent

# Folders of tests that test no folder of the package.
BESIDE = {
    "docs": "the documents of the project, and stand-ins for what guides load",
    "fuzzing": "the program of `make fuzz`, which benchmarks/fuzz.py runs",
}
# Folders of the package without a folder of tests.
TESTED_ELSEWHERE = {
    "drafting/policies": "how guesses branch shows in trees: drafting/test_tree_drafter.py, "
    "verification/test_multi_draft.py",
}
# Files of tests that are about no single module of their room, and what they are about.
TOPICS = {
    "test_fuzz_sample": "a sample of `make fuzz`",
    "test_imports": "who may import whom",
    "test_kills": "whole commands, killed at random",
    "test_mirror": "this file",
    "test_one_place": "what stands in one module of the whole package",
    "test_other_python": "tools/other_python.py, which `make test-other-python` asks",
    "test_package": "what the wheel carries",
    "test_real_model": "the default target",
    "test_unreached": "the report of code that no test reaches",
    "benchmarking/test_damaged_logs": "whoever reads a log: bench, audits, replays",
    "cli/test_bench_logs": "logs under bench, compare and report",
    "cli/test_damaged_files": "every command that reads a file",
    "cli/test_ensemble_refusals": "everything that keeps `specdec ensemble` from running",
    "cli/test_generate_offloaded": "generate with a target that is streamed",
    "cli/test_generate_refusals": "everything that keeps `specdec generate` from running",
    "cli/test_not_finite": "every command that computes",
    "cli/test_numbers_in_laws": "every flag and file whose numbers enter a law",
    "cli/test_outputs": "every flag that names a file to write",
    "cli/test_settings_reach_runs": "every command that takes settings",
    "cli/test_settings_taken": "every command that takes settings",
    "cli/test_signals": "every command that can be broken off",
    "distillation/test_damaged_work": "all files that a distillation goes on from",
    "distillation/test_distillation": "a whole distillation",
    "distillation/test_full_disk": "all files that a distillation writes",
    "engine/test_same_seed": "a seed through drafters, verifiers and the loop",
    "engine/test_stop_strings": "stop strings from the options to the text",
    "ensemble/test_exactness": "every law and every execution",
    "evaluation/test_sandbox_walls": "what the sandbox and the child in it keep in together",
    "evaluation/test_shipped_prompts": "files of data/",
    "evaluation/metrics/test_metrics": "the scores of every metric beside its library's",
    "models/test_architectures": "a sample of `make architectures`",
    "models/test_loading_paths": "every way of loading a checkpoint",
    "models/test_misfit_weights": "every way of loading a checkpoint that does not fit",
    "models/eagle/test_shipped_drafts": "files of data/",
    "models/hf/test_damaged_configs": "everything that reads a model's small files",
    "models/hub/test_terms": "wheels in parts and under terms, from the registry to the cache",
    "models/offload/test_renamed_weights": "models that transformers renames weights of, streamed",
    "models/offload/test_streaming_failures": "what goes wrong between the disk and the pass",
    "models/quantization/test_damaged_gptq": "settings, layers and tensors of GPTQ checkpoints",
    "reporting/test_widths": "every table that is printed",
    "runtime/test_refused_sessions": "sessions that are refused: settings, prompts and models",
    "runtime/test_self_drafts": "sessions whose drafts are cut or copied from the target",
    "runtime/test_unread_tokens": "sessions whose drafts cannot read all of the target's tokens",
    "sampling/test_batch_invariance": "every function of the room that the emitted token depends on",
    "sampling/test_finite": "what every function of the room does with numbers that are not finite",
    "storage/test_kills": "every writer, killed at every operation",
    "tracing/test_damaged_traces": "whoever reads a trace",
    "verification/test_broken_multi_draft": "broken copies of policies, tree drafters and verifiers",
    "verification/test_exactness": "every verifier",
    "verification/test_multi_draft": "every policy with every verifier",
    "verification/test_not_finite": "every rule that reads a draft's probabilities",
    "verification/test_optimal_transport_numerics": "one module's numbers at their extremes",
    "verification/test_planted_bugs": "broken copies of every verifier",
    "verification/test_reduced_vocabulary": "verifiers and drafts that leave tokens out",
}


def misplaced(tests: Path, package: Path) -> list[str]:
    """What of the tests is not where the package's own layout says, and which names above are out of date."""
    tested = {"." if folder == tests else folder.relative_to(tests).as_posix() for folder in _folders(tests)}
    rooms = {each.relative_to(package).as_posix() for each in _folders(package) if _has_code(each)}
    beside = {name for name in tested if name.partition("/")[0] in BESIDE}
    found = [f"{name}: no folder of the package" for name in sorted(tested - rooms - beside)]
    found += [f"{name}: no folder of tests" for name in sorted(rooms - tested - TESTED_ELSEWHERE.keys())]
    found += [f"{name}: has tests of its own" for name in sorted(TESTED_ELSEWHERE.keys() & tested)]
    files = [path for path in sorted(tests.rglob("*.py")) if _mirrors(path.relative_to(tests))]
    found += [offence for path in files for offence in _offence(path.relative_to(tests), package)]
    there = {path.relative_to(tests).with_suffix("").as_posix() for path in files}
    return found + [f"{name}: a topic without a file" for name in sorted(TOPICS.keys() - there)]


def _folders(root: Path) -> list[Path]:
    """The folder and all in it that hold Python files."""
    return sorted({path.parent for path in root.rglob("*.py")})


def _has_code(folder: Path) -> bool:
    """Whether any file of it has more than words on what the folder is."""
    texts = (path.read_text("utf-8") for path in folder.glob("*.py"))
    return any(not isinstance(each, ast.Expr) for text in texts for each in ast.parse(text).body)


def _mirrors(file: Path) -> bool:
    return file.parts[0] not in BESIDE and file.name != "conftest.py"


def _offence(file: Path, package: Path) -> list[str]:
    """What is wrong with where a file is, by its path among the tests."""
    name = file.with_suffix("").as_posix()
    if not file.name.startswith("test_"):  # helpers are found in one place, by their bare names
        return [] if len(file.parts) == 1 else [f"{name}: a helper, which belongs beside the folders"]
    module = package / file.parent / file.name.removeprefix("test_")
    if module.is_file() and module.name != "__init__.py":
        return [f"{name}: a module's own tests, and no topic"] if name in TOPICS else []
    return [] if name in TOPICS else [f"{name}: neither named after a module of its room nor a topic"]


def test_tests_mirror_the_package() -> None:
    assert misplaced(TESTS, PACKAGE) == []


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    """The names of all Python files of tests and package, in folders that may be changed."""
    copies = tmp_path / "tests", tmp_path / "specdec_cli"
    for root, copy in zip((TESTS, PACKAGE), copies, strict=True):
        for folder in _folders(root):
            text = "x = 1" if _has_code(folder) else ""
            to = copy / folder.relative_to(root)
            to.mkdir(parents=True, exist_ok=True)
            for path in folder.glob("*.py"):
                (to / path.name).write_text(text, "utf-8")
    return copies


def test_a_copy_of_the_names_alone_is_in_order(both: tuple[Path, Path]) -> None:
    assert misplaced(*both) == []


@pytest.mark.parametrize(
    ("file", "to", "offence"),
    [
        (
            "models/hf/test_vocabulary.py",
            "models/hub/test_vocabulary.py",
            "models/hub/test_vocabulary: neither named after a module of its room nor a topic",
        ),
        (
            "models/test_loader.py",
            "test_loader.py",
            "test_loader: neither named after a module of its room nor a topic",
        ),
        (
            "verification/test_exactness.py",
            "audit/test_exactness.py",
            "audit/test_exactness: neither named after a module of its room nor a topic",
        ),
        (
            "tree_toys.py",
            "drafting/tree_toys.py",
            "drafting/tree_toys: a helper, which belongs beside the folders",
        ),
        (
            "models/hf/test_vocabulary.py",
            "vocabularies/test_all.py",
            "vocabularies: no folder of the package",
        ),
    ],
)
def test_a_file_that_is_misplaced_is_seen(both: tuple[Path, Path], file: str, to: str, offence: str) -> None:
    tests, package = both
    (tests / to).parent.mkdir(exist_ok=True)
    (tests / file).rename(tests / to)
    assert offence in misplaced(tests, package)


def test_a_room_without_tests_is_seen(both: tuple[Path, Path]) -> None:
    tests, package = both
    (package / "models" / "speech").mkdir()
    (package / "models" / "speech" / "__init__.py").write_text('"""Only words: nothing to test."""')
    assert misplaced(tests, package) == []
    (package / "models" / "speech" / "sound.py").write_text("x = 1")
    assert misplaced(tests, package) == ["models/speech: no folder of tests"]


def test_a_topic_that_became_a_module_or_is_gone_is_seen(both: tuple[Path, Path]) -> None:
    tests, package = both
    (package / "engine" / "same_seed.py").write_text("x = 1")
    (tests / "engine" / "test_stop_strings.py").unlink()
    assert misplaced(tests, package) == [
        "engine/test_same_seed: a module's own tests, and no topic",
        "engine/test_stop_strings: a topic without a file",
    ]
