"""What the documents refer to is there: links and their anchors, files, make targets, options."""

import re
from pathlib import Path
from typing import Any

import documented
import pytest
from documented import ROOT, Passage
from typer.main import get_command

from specdec_cli.cli.app import app

TEXTS = documented.documents()
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PATH = re.compile(r"[\w.-]+(/[\w.-]+)*(/|\.(py|md|yaml|toml|sh|cff))")
LAYOUT = re.compile(r"^( *)(\S+)", re.M)
ROOMS = ("specdec_cli", "benchmarks", "data", "docs", "findings", "presets", "tests", "tools", ".ci")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
FLAGS_OF_OTHERS = "docs/from-other-tools.md"  # its first column has the flags of other programs

# Paths from the root wherever they stand, in prose and comments too; links are looked up by themselves.
FROM_ROOT = re.compile(rf"(?<![\w./-])(?:{'|'.join(map(re.escape, ROOMS))})/[\w./-]*\w")
PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b")

# Files that a command makes, by how their paths begin.
MADE = {
    "compiled/": "passes of --compile, in the cache folder",
    "folder/": "files to evaluate",
    "logs/": "logs of bench",
    "work/": "what a distillation goes on from, in the folder of its draft",
}


def broken_links(document: str, text: str, texts: dict[str, str], root: Path = ROOT) -> list[str]:
    """Links of a document that lead nowhere."""
    found = []
    for link in documented.links(document, text):
        path, _, anchor = link.text.partition("#")
        target = ((root / document).parent / path).resolve()
        name = target.relative_to(root).as_posix() if path else document
        is_there = target.exists() if path else True
        if not is_there or (anchor and anchor not in documented.anchors(texts.get(name, ""))):
            found.append(f"{link}: {link.text}")
    return found


def missing_files(document: str, text: str, root: Path = ROOT) -> list[str]:
    """Files and folders in code spans that neither are in the project nor end one of its paths."""
    added = re.findall(r"^\+\+\+ b/(.*)$", text, re.M)  # by a guide's diff
    there = [path.relative_to(root).as_posix() for name in ROOMS for path in (root / name).rglob("*")]
    there += [path.name for path in root.glob("*")]
    tails = [f"/{path}" for path in (*there, *added)]
    return [
        f"{span}: {span.text}"
        for span in documented.spans(document, text)
        if "/" in span.text and PATH.fullmatch(span.text) and not span.text.startswith(tuple(MADE))
        if not any(tail.endswith(f"/{span.text.rstrip('/')}") for tail in tails)
    ]


def missing_from_root(document: str, text: str, root: Path = ROOT) -> list[str]:
    """Paths from the root, in code spans or not, that the project lacks; a guide's diff may add them."""
    added = re.findall(r"^\+\+\+ b/(.*)$", text, re.M)
    shown = documented.LINK.sub(lambda match: "\n" * match[0].count("\n"), text)
    return [
        f"{document}:{shown.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for match in FROM_ROOT.finditer(shown)
        if not (root / match[0]).exists() and match[0] not in added and not PLACEHOLDER.search(match[0])
    ]


def layout_problems(block: Passage, root: Path = ROOT) -> list[str]:
    """Entries of a picture of folders that are not there; what is indented lies in the last one before it."""
    found, parents = [], [(-1, root)]
    for line in block.text.split("\n"):
        match = LAYOUT.match(line)
        if match is None:
            continue
        indent, name = len(match[1]), match[2]
        if indent > 4:
            continue  # a description goes on
        while parents[-1][0] >= indent:
            parents.pop()
        path = parents[-1][1] / name
        if not path.exists():
            found.append(f"{block}: {name}")
        if name.endswith("/"):
            parents.append((indent, path))
    return found


def unknown_targets(document: str, text: str, makefile: str = MAKEFILE) -> list[str]:
    """What documents let make do that the Makefile cannot, variables that it does not read included."""
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.M))
    variables = {
        *re.findall(r"^([A-Z_]+) *[?:]?=", makefile, re.M),
        *re.findall(r"\$\(([A-Z_]+)\)", makefile),
    }
    found = []
    for where, command in documented.commands("make", {document: text}):
        for word in command.words[1:]:
            name, given, _ = word.partition("=")
            known = variables if given else targets
            if name not in known:
                found.append(f"{where}: make {word}")
    return found


def missing_programs(document: str, text: str) -> list[str]:
    """Programs of the project that documents run and that are not there."""
    run = [
        (where, command.words[1])
        for interpreter in ("python", "bash")
        for where, command in documented.commands(interpreter, {document: text})
        if len(command.words) > 1
    ]
    return [
        f"{where}: {name}"
        for where, name in run
        if PATH.fullmatch(name) and not PLACEHOLDER.search(name) and not (ROOT / name).is_file()
    ]


def options_of(click: Any) -> dict[str, set[str]]:
    """Every option of every command, by the words that name the command."""
    subcommands = getattr(click, "commands", None)
    own = {name for each in click.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
    found = {"": own}
    for name, each in (subcommands or {}).items():
        for path, options in options_of(each).items():
            found[f"{name} {path}".strip()] = options | {"--debug"}
    return found


OPTIONS = options_of(get_command(app))


def unknown_options(document: str, text: str) -> list[str]:
    """Options in code spans that no command takes, or not the one that the span begins with."""
    found = []
    for span in documented.spans(document, text):
        words = span.text.removeprefix("specdec ").split()
        command = next((name for name in (" ".join(words[:2]), words[0]) if name in OPTIONS), None)
        if command is None and not span.text.startswith("--"):
            continue
        known = OPTIONS[command] if command else set().union(*OPTIONS.values())
        found += [f"{span}: {each}" for each in OPTION.findall(span.text) if each not in known]
    return found


@pytest.mark.parametrize("document", TEXTS)
def test_links_lead_somewhere(document: str) -> None:
    assert broken_links(document, TEXTS[document], TEXTS) == []


@pytest.mark.parametrize("document", TEXTS)
def test_files_that_are_named_are_there(document: str) -> None:
    assert missing_files(document, TEXTS[document]) == []
    assert missing_from_root(document, TEXTS[document]) == []


@pytest.mark.parametrize("document", TEXTS)
def test_programs_that_are_run_are_there(document: str) -> None:
    assert missing_programs(document, TEXTS[document]) == []


@pytest.mark.parametrize("document", TEXTS)
def test_make_has_what_it_is_asked_for(document: str) -> None:
    assert unknown_targets(document, TEXTS[document]) == []


@pytest.mark.parametrize("document", [name for name in TEXTS if name != FLAGS_OF_OTHERS])
def test_options_that_are_named_are_options(document: str) -> None:
    assert unknown_options(document, TEXTS[document]) == []


@pytest.mark.parametrize("document", TEXTS)
def test_pictures_of_folders_show_what_is_there(document: str) -> None:
    pictures = [each for each in documented.blocks(document, TEXTS[document]) if is_layout(each)]
    assert [problem for each in pictures for problem in layout_problems(each)] == []
    assert pictures or document != "README.md"


def is_layout(block: Passage) -> bool:
    return not block.language and block.text.startswith("specdec_cli/\n")


BROKEN = """# A b `c`!

See [b](#b), [there](docs/nowhere.md), [here](#a-b-c), [again](#a-b-c-1), [guide](docs/gguf.md#what-is-read),
[no heading](docs/gguf.md#what-is-red), [web](https://example.org/x), and ![a picture](x.png).

# A b c

```
[not a link](nowhere.md)
```
"""


def test_links_to_no_file_and_no_heading_are_seen() -> None:
    assert broken_links("a.md", BROKEN, {**TEXTS, "a.md": BROKEN}) == [
        "a.md:3: #b",
        "a.md:3: docs/nowhere.md",
        "a.md:4: docs/gguf.md#what-is-red",
    ]


def test_files_that_are_gone_are_seen_and_those_that_a_diff_adds_are_not() -> None:
    text = "`engine/loop.py`, `specdec_cli/engine/loop.py`, `engine/`, `engine/lop.py`, `motors/`,\n"
    text += "`tests/test_import.py`, `docs/gguf.md`, `docs/guf.md`, `a/b`, `policies/coin.py`, `/tmp/x.py`\n"
    gone = ["a.md:1: engine/lop.py", "a.md:1: motors/", "a.md:2: tests/test_import.py", "a.md:2: docs/guf.md"]
    assert missing_files("a.md", text) == [*gone, "a.md:2: policies/coin.py"]
    diff = "```diff\n+++ b/specdec_cli/drafting/policies/coin.py\n```\n"
    assert missing_files("a.md", text + diff) == gone


def test_paths_from_the_root_that_are_gone_are_seen_outside_code_spans_too() -> None:
    text = (
        "See docs/gguf.md, docs/guf.md and (tests/test_import.py). [No path](docs/no.md#a), my-docs/a.md,\n"
    )
    text += "findings/NAME.sh\n```console\nmake test   # .ci/runs, tools/other_python.py\n```\n"
    gone = ["a.md:1: docs/guf.md", "a.md:1: tests/test_import.py", "a.md:4: .ci/runs"]
    assert missing_from_root("a.md", text) == gone
    assert missing_from_root("a.md", f"{text}```diff\n+++ b/docs/guf.md\n```\n") == gone[1:]


def test_a_picture_of_a_folder_that_is_gone_is_seen() -> None:
    text = "specdec_cli/\n  engine/       the loop\n    lop.py      it\n  motors/\nMakefile\nmakefile.md\n"
    block = Passage("a.md", 1, text)
    assert is_layout(block)
    assert layout_problems(block) == ["a.md:1: lop.py", "a.md:1: motors/", "a.md:1: makefile.md"]


def test_a_program_that_is_gone_is_seen() -> None:
    text = (
        "`bash findings/NAME.sh`, `bash findings/no.sh`\n```console\npython benchmarks/engin.py -n 1\n```\n"
    )
    text += "```console\npython -m pytest -q\npython benchmarks/engine.py\n```\n"
    assert missing_programs("a.md", text) == ["a.md:3: benchmarks/engin.py", "a.md:1: findings/no.sh"]


def test_targets_and_variables_that_the_makefile_lacks_are_seen() -> None:
    text = "`make test`, `make tests`, `make fuzz SEED=1 SEAD=2`\n```console\nA=1 make check docks\n```\n"
    assert unknown_targets("a.md", text) == [
        "a.md:3: make docks",
        "a.md:1: make tests",
        "a.md:1: make SEAD=2",
    ]


def test_options_that_no_command_or_another_one_takes_are_seen() -> None:
    text = "`--gamma`, `--gama 4`, `bench --n-tests --gamma`, `generate --n-tests`, `trees plan --fastest`,\n"
    text += (
        "`specdec report LOG --plots`, `--no-feedback`, `pip install --quite`, `models pull --accept-terms`\n"
    )
    assert unknown_options("a.md", text) == [
        "a.md:1: --gama",
        "a.md:1: --n-tests",
        "a.md:2: --plots",
    ]
