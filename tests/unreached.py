"""Which modules of the package, and which of its functions, no test reaches: `make coverage` ends with this.

Reads what a run of the tests under coverage left behind. A module is reached if code in one of its functions
ran, or, where it has none, if it was imported. One that is not reached is an error unless it is named in
`KNOWN`; functions are only listed.
"""

import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "specdec_cli"
# Modules that no test on a CPU without a network can reach, and what reaches them instead.
KNOWN: dict[str, str] = {
    "specdec_cli/evaluation/sandbox_child.py": "runs without the environment by which coverage follows a"
    " program; tests/evaluation/test_sandbox.py runs it",
    "specdec_cli/models/offload/pinned.py": "copies to a CUDA device: make test-gpu",
    "specdec_cli/processes/leash_child.py": "runs with nothing imported but what it needs;"
    " tests/models/hub/test_wheels.py runs it",
}


@dataclass
class Reach:
    """What of a module was reached.

    Attributes:
        imported: whether any line ran.
        called: names of functions of which a line ran.
        uncalled: names of the others; of no use to a protocol, whose bodies are never run.
    """

    imported: bool
    called: list[str] = field(default_factory=list)
    uncalled: list[str] = field(default_factory=list)

    @property
    def is_reached(self) -> bool:
        """Whether a test used the module, and not merely imported it."""
        return bool(self.called) or (self.imported and not self.uncalled)


def reach_of(source: str, lines: set[int]) -> Reach:
    """What these executed lines reach of a module's source."""
    found = Reach(imported=bool(lines))
    for name, body in functions(ast.parse(source)):
        (found.called if lines & body else found.uncalled).append(name)
    return found


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, set[int]]]:
    """Each function that does something, by its name in the module, with the lines of its body."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            statements = [each for each in node.body if not _says_nothing(each)]
            if statements:
                yield prefix + node.name, set(range(statements[0].lineno, _end(statements[-1]) + 1))
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        else:
            yield from functions(node, prefix)


def _says_nothing(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring, `...` or `pass`."""
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return constant or isinstance(statement, ast.Pass)


def _end(statement: ast.stmt) -> int:
    return statement.end_lineno or statement.lineno


def reaches(lines_of: Callable[[str], Iterable[int] | None]) -> dict[str, Reach]:
    """What was reached of each module of the package, by its path from the root.

    Args:
        lines_of: a file's lines that ran; None where the file is not known.
    """
    return {
        path.relative_to(ROOT).as_posix(): reach_of(
            path.read_text(encoding="utf-8"), set(lines_of(str(path)) or ())
        )
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.read_text(encoding="utf-8").strip()
    }


def verdict(found: dict[str, Reach], known: dict[str, str]) -> list[str]:
    """What is wrong, a sentence each: a module that no test reaches, or one of `known` that is no such."""
    unreached = {module for module, reach in found.items() if not reach.is_reached}
    problems = [f"No test reaches {module}." for module in sorted(unreached - known.keys())]
    return problems + [f"{module} is reached, or is not there: strike it off KNOWN." for module in
                       sorted(known.keys() - unreached)]  # fmt: skip


def main() -> int:
    """Print what no test reaches; 1 if that is a module which is not known for it."""
    from coverage import CoverageData  # which the tests of this module do without

    data = CoverageData(str(ROOT / ".coverage"))
    data.read()
    found = reaches(data.lines)
    functions_found = [f"{module}: {name}" for module, reach in found.items() for name in reach.uncalled]
    print(f"{len(found)} modules. Functions that no test calls: {len(functions_found)}")
    print(*(f"  {each}" for each in functions_found), sep="\n")
    print(*(f"{module} is not reached: {reason}" for module, reason in KNOWN.items()), sep="\n")
    problems = verdict(found, KNOWN)
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
