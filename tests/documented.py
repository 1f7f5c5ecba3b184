"""What the project's documents say that can be checked: commands, make targets, Python, paths and links.

How documents write commands, which CONTRIBUTING.md says too:

- A block fenced as `console` holds commands. Where a line of it begins with `$ `, those are commands and the
  others what they print; else every line is one. A backslash at the end of a line goes on with the next.
- A code span that begins with `specdec ` is a command too. It may leave out arguments and the prompt, write
  alternatives as `list|show`, what may be left out in `[brackets]`, and end in `...`.
- A comment of a preset from `specdec ` on is one.
- A word in capital letters stands for what the reader puts there; N is a number.
"""

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|`[^`]*`)*\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.M)
RELEASE = re.compile(r"^## \[", re.M)
OPERATOR = re.compile(r"[();<>|&]+")
VARIABLE = re.compile(r"([A-Z_][A-Z0-9_]*)=(.*)", re.S)


@dataclass(frozen=True)
class Passage:
    """A piece of a document.

    Attributes:
        document: its path from the root of the project.
        line: where the piece begins.
        text: the piece.
        language: of a fenced block; empty for other pieces.
    """

    document: str
    line: int
    text: str
    language: str = ""

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command line as the shell would hand it over.

    Attributes:
        words: the program and its arguments.
        variables: what is set for it alone.
        piped: text comes in on standard input.
        is_whole: it can be typed as it stands; a mention in the prose may leave words out.
    """

    words: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()
    piped: bool = False
    is_whole: bool = True


def documents(root: Path = ROOT) -> dict[str, str]:
    """The text of every document, by path; of the changelog, what is newest."""
    paths = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("data/**/*.md")]
    paths += root.glob("findings/*.md")
    found = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in sorted(paths)}
    return {name: newest(text) if name == "CHANGELOG.md" else text for name, text in found.items()}


def newest(changelog: str) -> str:
    """What is not released yet, and the latest release."""
    starts = [match.start() for match in RELEASE.finditer(changelog)]
    return changelog[: starts[2]] if len(starts) > 2 else changelog


def blocks(document: str, text: str) -> list[Passage]:
    """The fenced blocks of a document."""
    return [
        Passage(document, _line(text, match.start(3)), match[3], match[2]) for match in FENCE.finditer(text)
    ]


def spans(document: str, text: str) -> list[Passage]:
    """The code spans in the prose of a document, on one line each."""
    prose = without_blocks(text)
    return [
        Passage(document, _line(prose, match.start()), " ".join(match[1].split()))
        for match in SPAN.finditer(prose)
    ]


def without_blocks(text: str) -> str:
    """The text with its fenced blocks empty, each line in its place."""
    return FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def lines_of(block: Passage) -> Iterator[Passage]:
    """The command lines of a console block, each in one piece."""
    lines = block.text.split("\n")
    has_prompts = any(line.lstrip().startswith("$ ") for line in lines)
    number = 0
    while number < len(lines):
        start, line = number, lines[number].strip()
        while line.endswith("\\") and number + 1 < len(lines):
            number += 1
            line = f"{line[:-1].rstrip()} {lines[number].strip()}"
        number += 1
        if line.startswith("$ ") or (line and not has_prompts):
            yield Passage(block.document, block.line + start, line.removeprefix("$ "))


def parts(line: str) -> list[Command]:
    """The commands of a line, between its pipes, semicolons and the like; files of > and < are left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[tuple[list[str], bool]] = [([], False)]
    redirected = False
    for word in lexer:
        if OPERATOR.fullmatch(word):
            redirected = ">" in word or "<" in word
            if redirected and found[-1][0] and found[-1][0][-1] in ("1", "2"):
                found[-1][0].pop()
            if not redirected:
                found.append(([], word == "|"))
        elif redirected:
            redirected = False
        else:
            found[-1][0].append(word)
    return [_command(words, piped) for words, piped in found if words]


def _command(words: list[str], piped: bool) -> Command:
    variables = []
    while words and (match := VARIABLE.fullmatch(words[0])):
        variables.append((match[1], match[2]))
        words = words[1:]
    return Command(tuple(map(_number, words)), tuple(variables), piped)


def _number(word: str) -> str:
    return re.sub(r"(?<![\w.+-])N(?![\w.+-])", "8", word)


def mentioned(span: str) -> list[Command]:
    """The commands that a code span stands for: one for each choice among alternatives."""
    words = [word.removesuffix(",...") for word in shlex.split(span.replace("[", " ").replace("]", " "))]
    choices = [word.split("|") if re.fullmatch(r"[\w-]+(\|[\w-]+)+", word) else [word] for word in words]
    return [Command(tuple(map(_number, _told(chosen))), is_whole=False) for chosen in product(*choices)]


def _told(words: Sequence[str]) -> list[str]:
    """Words without the dots that stand for more of them; as the value of an option they are a text."""
    before = ("", *words)
    return [word for word, last in zip(words, before, strict=False) if word != "..." or last.startswith("-")]


def commands(program: str, texts: dict[str, str]) -> list[tuple[Passage, Command]]:
    """Every command of a program in documents, and where it stands."""
    found = []
    for document, text in texts.items():
        for block in blocks(document, text):
            for line in lines_of(block) if block.language == "console" else ():
                found += [(line, command) for command in parts(line.text) if command.words[0] == program]
        for span in spans(document, text):
            if span.text.startswith(f"{program} "):
                found += [(span, command) for command in mentioned(span.text)]
    return found


def preset_commands(root: Path = ROOT) -> list[tuple[Passage, Command]]:
    """The commands in the heads of presets: in their comments, and in what they need."""
    found = []
    for path in sorted((root / "presets").glob("*.yaml")):
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            match = re.search(r"specdec [a-z].*", line) if line.startswith(("#", "needs:")) else None
            if match:
                text = match[0].partition(")")[0] if line.startswith("needs:") else match[0]
                passage = Passage(path.relative_to(root).as_posix(), number, text)
                found += [(passage, command) for command in parts(text)]
    return found


def benchmark_commands(root: Path = ROOT) -> list[tuple[Passage, Command]]:
    """The commands in the docstrings of benchmarks: lines by themselves, and code spans."""
    found = []
    for path in sorted((root / "benchmarks").glob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")), clean=True) or ""
        fenced = re.sub(r"(?m)^    (specdec .*)$", r"```console\n\1\n```", docstring)
        found += commands("specdec", {path.relative_to(root).as_posix(): fenced})
    return found


def told_commands(root: Path = ROOT) -> list[tuple[Passage, Command]]:
    """The commands that the program's texts and docstrings mention; what they fill in is left out."""
    found = []
    for path in sorted((root / "specdec_cli").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
        }
        for node in ast.walk(tree):
            text = "" if id(node) in inner else _literal(node)
            if "`specdec " in text and isinstance(node, ast.expr):
                name = f"{path.relative_to(root).as_posix()}:{node.lineno}"
                found += commands("specdec", {name: text})
    return found


def _literal(node: ast.AST) -> str:
    """The text of a literal; what it is formatted with stands as `...`."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_literal(part) or "..." for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def make_commands(targets: Sequence[str], root: Path = ROOT) -> list[tuple[Passage, Command]]:
    """The commands that targets of the Makefile run, its variables filled in; nothing is made."""
    printed = subprocess.run(
        ["make", "--dry-run", "--always-make", *targets], cwd=root, capture_output=True, text=True, check=True
    ).stdout.replace(".venv/bin/specdec ", "specdec ")
    block = Passage("Makefile", 1, "".join(f"$ {line}\n" for line in joined(printed) if "specdec " in line))
    return [
        (line, each) for line in lines_of(block) for each in parts(line.text) if each.words[0] == "specdec"
    ]


def joined(text: str) -> list[str]:
    """The lines of a text, those that end in a backslash in one with the next."""
    return text.replace("\\\n", " ").splitlines()


def links(document: str, text: str) -> list[Passage]:
    """Where the links of a document lead that lead to no address of the web."""
    prose = without_blocks(text)
    return [
        Passage(document, _line(prose, match.start()), match[1])
        for match in LINK.finditer(prose)
        if "://" not in match[1] and not match[1].startswith("mailto:")
    ]


def anchors(text: str) -> set[str]:
    """The names under which a document's headings can be linked to."""
    found: set[str] = set()
    for title in HEADING.findall(without_blocks(text)):
        plain = re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
        name, again = plain, 0
        while name in found:
            again += 1
            name = f"{plain}-{again}"
        found.add(name)
    return found
