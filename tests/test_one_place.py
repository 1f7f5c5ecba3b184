"""What is asked of a method stands in its row, and a draft's text is read in one module."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

import specdec_cli
from specdec_cli.registry.methods import METHODS

ROOT = Path(specdec_cli.__file__).parent
PREFIXES = {"ngram+", "layers:", "self:", "self:noise:"}
DRAFTS_ARE_PARSED_IN = {"registry/drafts.py", "settings/draft_spec.py"}


def compared_methods(source: str) -> list[str]:
    """Names of methods that code compares with, looks for, or keys a table by."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            found += _names(*node.comparators, node.left)
        elif isinstance(node, ast.Dict) and len(_names(*filter(None, node.keys))) > 1:
            found += _names(*filter(None, node.keys))
        elif isinstance(node, ast.MatchValue):
            found += _names(node.value)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("startswith", "endswith"):
            found += _names(*node.args)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple | ast.List | ast.Set):
            found += _names(node.value)
    return found


def _names(*nodes: ast.AST) -> list[str]:
    literal = ast.Tuple | ast.List | ast.Set
    parts = [part for node in nodes for part in (node.elts if isinstance(node, literal) else [node])]
    constants = [part.value for part in parts if isinstance(part, ast.Constant)]
    return [each for each in constants if isinstance(each, str) and each in METHODS]


def draft_prefixes(source: str) -> list[str]:
    """What code needs to read a draft's text by itself; what writes one is left out."""
    nodes = list(ast.walk(ast.parse(source)))
    written = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    constants = [node.value for node in nodes if isinstance(node, ast.Constant) and id(node) not in written]
    return [each for each in constants if each in PREFIXES]


def found_by(look: Callable[[str], list[str]], but: Callable[[str], bool]) -> dict[str, list[str]]:
    """What is found in each file, by its path in the package; files of which `but` holds are left out."""
    sources = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py")}
    found = {file: look(source) for file, source in sources.items() if not but(file)}
    return {file: each for file, each in found.items() if each}


def test_only_the_registry_compares_with_a_methods_name() -> None:
    assert found_by(compared_methods, but=lambda file: file.startswith("registry/")) == {}


def test_a_drafts_text_is_parsed_in_one_module() -> None:
    assert found_by(draft_prefixes, but=DRAFTS_ARE_PARSED_IN.__contains__) == {}


@pytest.mark.parametrize(
    "source",
    [
        "settings.method == 'sps'",
        "'sps' != method",
        "method in ('specexec', 'other')",
        "SEEDED = ('specexec', 'ngram')",
        "{'sps': 1, 'kseq': 2}[method]",
        "match method:\n    case 'sps': pass",
        "name.startswith('we')",
    ],
)
def test_a_comparison_with_a_methods_name_is_seen(source: str) -> None:
    assert compared_methods(source) != []


def test_a_draft_that_is_parsed_elsewhere_is_seen() -> None:
    assert draft_prefixes("name.startswith('layers:')") == ["layers:"]
