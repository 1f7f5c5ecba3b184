"""The program in an answer to HumanEval: found as the reference harnesses find it.

OpenAI's human-eval appends the answer to the prompt. EvalPlus' `sanitize` takes the definitions out of what
stands around them, and the harnesses of BigCode and EleutherAI stop a completion where something else begins.
Models that chat put drafts, shell commands and examples before the solution, so of several blocks of code the
last one that defines the function is the answer.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice

THOUGHT_ENDS = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
END_OF_TEXT = re.compile(r"<\|[\w-]+\|>|</s>|<(?:eos|end_of_turn)>")
TAGGED = re.compile(r"\[PYTHON\](.*?)(?:\[/PYTHON\]|\Z)", re.DOTALL)
OPENING = re.compile(r"(?P<before>[ \t]*(?:(?:>|[-*+]|\d+[.)])[ \t]+)*)(?P<mark>`{3,}|~{3,})[^`\n]*")
ANYWHERE = re.compile(
    r"```(?:[ \t]*(?:python|py)[\w.]*\b)?[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE
)
FENCE = re.compile(r"```|~~~")
GIVES_BACK = re.compile(r"\b(?:return|yield|raise)\b")
STARTS = re.compile(r"^(?:(?:from|import|def|async|class)\b|@)", re.MULTILINE)
CONTINUES = re.compile(r"(?:else|elif|except|finally)\b|[)\]}]")
KEPT_AFTER = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign,
              ast.AnnAssign, ast.AugAssign)  # fmt: skip
INDENT = "    "
MOST_CHARACTERS = 200_000  # of an answer: no function is longer, and what repeats itself for ever is
STARTS_TRIED = 50  # lines of a prompt that its code may begin at


def program_of(prompt: str, answer: str, name: str) -> str:
    """The code of the prompt and the answer that defines a function.

    Args:
        prompt: the beginning of a program, to the function's docstring; words may stand around it.
        answer: the whole function, in a block of code or bare, or the rest of what the prompt begins.
        name: of the function.

    Returns:
        a program without the calls, assertions and main guard that follow the function to show it off. It may
        be none that compiles: then the answer is none.
    """
    text = answer.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    text = END_OF_TEXT.split(without_thought(text), maxsplit=1)[0][:MOST_CHARACTERS]
    beginning = _code_of_prompt(prompt.replace("\r\n", "\n"), name)
    found = blocks(text)
    whole = _whole(found, text, name)
    if whole is not None:
        return _without_use(f"{_before_function(beginning, name)}\n{whole}\n", name)
    continued = (_joined(beginning, rest) for rest in _rests(text, found))
    program = next((each for each in continued if each is not None), None)
    return f"{beginning}\n{text}\n" if program is None else _without_use(program, name)


def without_thought(text: str) -> str:
    """What follows the thinking aloud of a reasoning model; all of it where nothing follows."""
    rest = THOUGHT_ENDS.split(text)[-1]
    return rest if rest.strip() else text


def blocks(text: str) -> list[str]:
    """The fenced blocks of code in a text, in order, at the left edge.

    A fence is three or more backticks or tildes, of any tag, indented or in a list or quotation; it is closed
    by as many, or by the end of the text. One that stands amid a line counts if no other does.
    """
    found: list[str] = []
    lines = iter(text.split("\n"))
    for line in lines:
        opening = OPENING.fullmatch(line)
        if opening is not None:
            inside = _until_closed(lines, opening["mark"])
            if ">" in opening["before"]:
                inside = [each.lstrip().removeprefix(">") for each in inside]
            found.append(textwrap.dedent("\n".join(inside)) + "\n")
    found += [textwrap.dedent(block) for block in TAGGED.findall(text)]
    return found or [textwrap.dedent(block) for block in ANYWHERE.findall(text)]


def _until_closed(lines: Iterator[str], mark: str) -> list[str]:
    """The lines up to the one that closes a fence, which is taken too; it may stand at the end of a line."""
    closing = re.compile(rf"[ \t>]*{mark[0]}{{{len(mark)},}}[ \t]*")
    inside: list[str] = []
    for line in lines:
        if closing.fullmatch(line):
            break
        if line.rstrip().endswith(mark):
            return [*inside, line.rstrip().removesuffix(mark)]
        inside.append(line)
    return inside


def _whole(found: Sequence[str], text: str, name: str) -> str | None:
    """The code that defines the function: the last block that does, else the text without its prose."""
    loose = [textwrap.dedent(block) for block in ANYWHERE.findall(text)]
    for candidates in (found, loose):
        defining = [position for position, block in enumerate(candidates) if _defines(block, name)]
        compiled = [position for position in defining if _compiles(candidates[position])]
        if compiled:
            return _with_helpers(candidates, compiled[-1])
        if defining:
            return _definitions(candidates[defining[-1]])
    for bare in (text, textwrap.dedent(text)):
        if _defines(bare, name):
            return bare if _compiles(bare) else _definitions(bare)
    return None


def _with_helpers(found: Sequence[str], chosen: int) -> str:
    """A block, after what it uses of the definitions in blocks before it."""
    tree = _tree(found[chosen])
    own, code = tree.body if tree is not None else [], found[chosen]
    needed = _loads(*own) - {name for node in own for name in _names_of(node)}
    for block in reversed(found[:chosen]):
        tree = _tree(block)
        for node in reversed(tree.body if tree is not None else []):
            names = _names_of(node)
            if isinstance(node, KEPT_AFTER) and names & needed:
                code, needed = f"{ast.unparse(node)}\n{code}", (needed - names) | (_loads(node) - names)
    return code


def _loads(*nodes: ast.AST) -> set[str]:
    """The names that some code reads."""
    within = (each for node in nodes for each in ast.walk(node))
    return {each.id for each in within if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)}


def _names_of(node: ast.stmt) -> set[str]:
    """What a statement at the left edge gives a name to."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(each.asname or each.name).partition(".")[0] for each in node.names}
    return {
        each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }


def _rests(text: str, found: Sequence[str]) -> Iterator[str]:
    """What may continue the prompt, the likeliest first: before the fences, a block, the text."""
    head = FENCE.split(text, maxsplit=1)[0]
    for candidate in (head, *reversed(found)):
        if GIVES_BACK.search(candidate):
            yield candidate
    yield from reversed(found)
    yield head
    yield text


def _joined(beginning: str, rest: str) -> str | None:
    """The prompt's code and what continues it; None where that makes no program in any indentation."""
    start = beginning if beginning.endswith("\n") else f"{beginning}\n"
    level = textwrap.dedent(rest)
    ways = [rest, f"{INDENT}{rest.lstrip()}", textwrap.indent(level, INDENT)]
    if not rest[:1].isspace():  # the indent of the first line was lost with the white space before it
        ways = ways[1:]
    for way in ways:
        if way.strip() and _compiles(start + way):
            return start + way
    for way in ways:
        first, *others = _chunks(way)
        if first.strip() and _compiles(start + first):
            return start + first + "".join(f"{each}\n" for each in others if _is_definition(each))
    return None


def _code_of_prompt(prompt: str, name: str) -> str:
    """A prompt without the words around its code."""
    if _tree(prompt) is not None:
        return prompt
    for block in blocks(prompt):
        if _defines(block, name):
            return block
    for start in islice(STARTS.finditer(prompt), STARTS_TRIED):
        if _defines(prompt[start.start() :], name) and _tree(prompt[start.start() :]) is not None:
            return prompt[start.start() :]
    return prompt


def _before_function(prompt: str, name: str) -> str:
    """The imports and helpers of the prompt, without the function that it only begins."""
    head = re.split(rf"^(?:async\s+)?def\s+{re.escape(name)}\b", prompt, maxsplit=1, flags=re.MULTILINE)[0]
    return head if _tree(head) is not None else ""  # words around the code, as in an instruction


def _without_use(code: str, name: str) -> str:
    """A program without what only shows the function off: what follows it and defines nothing."""
    tree = _tree(code)
    if tree is None:
        return code
    positions = [position for position, node in enumerate(tree.body) if name in _names_of(node)]
    last = positions[-1] if positions else len(tree.body)
    kept = [
        node
        for position, node in enumerate(tree.body)
        if (position <= last or isinstance(node, KEPT_AFTER)) and not _asks_or_checks(node)
    ]
    kept.sort(key=lambda node: not (isinstance(node, ast.ImportFrom) and node.module == "__future__"))
    return ast.unparse(ast.Module(kept, tree.type_ignores))


def _asks_or_checks(node: ast.stmt) -> bool:
    """Whether a statement outside all functions is an assertion, a main guard, or reads what nobody types."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    return (
        isinstance(node, ast.Assert) or "input" in names or (isinstance(node, ast.If) and "__name__" in names)
    )


def _definitions(code: str) -> str:
    """The definitions, imports and assignments of a text that is no program as a whole."""
    return "".join(f"{each}\n" for each in _chunks(code) if _is_definition(each))


def _chunks(code: str) -> list[str]:
    """A text cut before each line at the left edge that begins something."""
    found: list[list[str]] = [[]]
    decorating = False
    for line in code.split("\n"):
        begins = bool(line) and not line[0].isspace() and not CONTINUES.match(line)
        if begins and not decorating and any(each.strip() for each in found[-1]):
            found.append([])
        if begins:
            decorating = line.startswith("@")
        found[-1].append(line)
    return ["".join(f"{line}\n" for line in lines) for lines in found]


def _is_definition(chunk: str) -> bool:
    tree = _tree(chunk)
    return tree is not None and bool(tree.body) and all(isinstance(node, KEPT_AFTER) for node in tree.body)


def _defines(code: str, name: str) -> bool:
    """Whether a name is given at the left edge to a function, or to something else that can be called."""
    begins = (
        rf"(?:(?:async[ \t]+)?def|class)[ \t]+{re.escape(name)}\b|{re.escape(name)}[ \t]*(?::[^=\n]+)?=(?!=)"
    )
    return re.search(rf"^(?:{begins})", code, re.MULTILINE) is not None


def _tree(code: str) -> ast.Module | None:
    """The syntax tree; None where the code has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as of backslashes in the answer's strings
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _compiles(code: str) -> bool:
    """Whether code compiles; a tree alone may have a `return` outside all functions."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(code, "<answer>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
