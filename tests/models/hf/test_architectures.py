"""What is known of architectures by name stands in one table, and nowhere else."""

import ast
from pathlib import Path

import pytest
from transformers import CONFIG_MAPPING, BertConfig

import specdec_cli
from specdec_cli.models.hf.architectures import ARCHITECTURES, Architecture, architecture_of

ROOT = Path(specdec_cli.__file__).parent
ELSEWHERE = {
    "models/hf/architectures.py": "the table",
    "models/gguf/": "a file format's own names, and what it makes of them",
    "models/eagle/files.py": "the kind of our own files, which stands in that field",
}


def named_architectures(source: str) -> list[str]:
    """Comparisons with `model_type` or with the name of an architecture, and tables of such names."""
    return [ast.unparse(node) for node in ast.walk(ast.parse(source)) if _names_one(node)]


def _names_one(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        return any(map(_names, (node.left, *node.comparators)))
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("startswith", "endswith"):
        return any(map(_names, (node.func, *node.args)))
    if isinstance(node, ast.Dict):
        return any(key is not None and _is_name(key) for key in node.keys)
    if isinstance(node, ast.Set | ast.List | ast.Tuple):
        return sum(map(_is_name, node.elts)) > 1
    return isinstance(node, ast.MatchValue) and _is_name(node.value)


def _is_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value in ARCHITECTURES


def _names(node: ast.AST) -> bool:
    """Whether an expression has a model's type in it, or the name of an architecture."""
    return any(
        _is_name(part)
        or (isinstance(part, ast.Attribute) and part.attr == "model_type")
        or (isinstance(part, ast.Constant) and part.value == "model_type")
        for part in ast.walk(node)
    )


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_but_the_table_compares_with_an_architectures_name(path):
    if not path.relative_to(ROOT).as_posix().startswith(tuple(ELSEWHERE)):
        assert named_architectures(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "config.model_type == 'gemma'",
        "'brand_new' != model.config.model_type",
        "config.model_type in KNOWN",
        "config['model_type'] == kind",
        "config.get('model_type', '').startswith('brand')",
        "kind = config.model_type\nif kind == 'gemma': pass",
        "kind.startswith('gemma')",
        "KNOWN = frozenset({'llama', 'mistral'})",
        "{'phi3': 1}[kind]",
        "match kind:\n    case 'qwen2': pass",
    ],
)
def test_a_comparison_with_an_architectures_name_is_seen(source):
    assert named_architectures(source) != []


@pytest.mark.parametrize(
    "source", ["f'a {config.model_type} model'", "{'model_type': KIND}", "architecture_of(config).fusable"]
)
def test_a_name_that_decides_nothing_is_let_pass(source):
    assert named_architectures(source) == []


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_row_is_found_by_transformers_own_configuration(name):
    assert CONFIG_MAPPING[name].model_type == name
    assert architecture_of(CONFIG_MAPPING[name]()) is ARCHITECTURES[name]


def test_of_an_architecture_without_a_row_nothing_is_claimed():
    assert architecture_of(BertConfig()) == Architecture("bert")
    claimed = {architecture_of(BertConfig()).tree_exact, architecture_of(BertConfig()).fusable}
    assert claimed == {False}
