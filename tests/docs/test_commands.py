"""Every `specdec` command of the documents is one that the program takes; those that cost nothing are run.

The real parser reads it, and the command itself goes on to where it would load a model or read a file: what
it makes of its flags, its preset and its variables has been checked by then.
"""

import importlib
import io
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import documented
import pytest
from documented import ROOT, Command, Passage
from typer.main import get_command

from specdec_cli.benchmarking import llama_peer
from specdec_cli.benchmarking.sweep import configurations
from specdec_cli.cli import app as program
from specdec_cli.errors import InputError
from specdec_cli.runtime.preflight import require_usable
from specdec_cli.settings import Settings
from specdec_cli.settings.draft_spec import resolve_draft

# Where commands begin to work: modules of cli and the functions of theirs that do.
WORK = {
    "audit": "run",
    "batch": "run",
    "bench": "run",
    "demo": "run",
    "distill": "run",
    "evaluate": "run",
    "generate": "run",
    "inspect": "run",
    "offload_bench": "run",
    "replay": "run",
    "specem": "run_prompt run_file",
    "trees": "run",
}
# Commands that read files at once: they are parsed, and no more.
READERS = ("compare", "models check", "models compile", "models pull", "report", "trees show")
LEFT_OUT = re.compile("^Missing (argument|parameter)|requires an argument")
MOST = 100  # words of a command
QUESTION = "Why is the sky blue?"

# The blocks of these work once their diffs are applied, which test_adding_guides.py does.
GUIDES = "docs/adding-"

EVERY = [
    (where, command)
    for where, command in documented.commands("specdec", documented.documents())
    if not (where.document.startswith(GUIDES) and command.is_whole)
]
EVERY += [*documented.preset_commands(), *documented.benchmark_commands(), *documented.told_commands()]
MADE = ("demo", "bench", "bench-specem", "test-model")

Taker = Callable[[Command], int]


def settings_in(value: object) -> Iterator[Settings]:
    """All settings that are somewhere in what a command works with."""
    if isinstance(value, Settings):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from settings_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from settings_in(each)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from settings_in(getattr(value, field.name))


def check(*arguments: object, **named: object) -> None:
    """What is found out of settings before a byte is read, in the place of a command's work."""
    for settings in settings_in([arguments, named]):
        draft = resolve_draft(settings)
        if draft is not None:
            require_usable(settings, draft)


def check_replay(path: object, methods: list[str], shared: dict[str, Any], swept: dict[str, str], *_: Any):
    """What a replay finds out of its flags once it has read the trace."""
    configurations(None, shared, methods, swept)


def check_nothing(*_: object, **__: object) -> None:
    """Nothing more: a distillation makes the draft, and members of specem draft by settings of their own."""


CHECKS = {"replay": check_replay, "distill": check_nothing, "specem": check_nothing}


@pytest.fixture
def take(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Taker:
    """Hands a command to the program in an empty folder beside the project's data, its work left out.

    It gives the exit code, and raises what the program found wrong with the command.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
    for module, names in WORK.items():
        for name in names.split():
            stub = CHECKS.get(module, check)
            monkeypatch.setattr(importlib.import_module(f"specdec_cli.cli.{module}"), name, stub)
    monkeypatch.setattr(llama_peer, "require_llama_cpp", check)  # a package that need not be there

    def run(command: Command) -> int:
        for name, value in command.variables:
            monkeypatch.setenv(name, value)
        standard_input = io.TextIOWrapper(io.BytesIO(QUESTION.encode() if command.piped else b""))
        monkeypatch.setattr(sys, "stdin", standard_input)
        words = list(command.words[1:])
        click = get_command(program.app)
        leaf, path = found_command(click, words)
        if not command.is_whole and len(path) == len(words):
            return 0
        if path and not command.is_whole and "--help" not in words:
            words = [*path, *completed(leaf, words[len(path) :])]
        if " ".join(path) in READERS:
            leaf.callback = None
        return int(click.main(words, prog_name="specdec", standalone_mode=False) or 0)

    return run


def found_command(click: Any, words: list[str]) -> tuple[Any, list[str]]:
    """The command that words begin with, and those of the words that name it.

    Raises:
        InputError: there is none.
    """
    path: list[str] = []
    for word in words:
        known = getattr(click, "commands", None)
        if known is None or word.startswith("-"):
            break
        if word not in known:
            raise InputError(f"There is no command {' '.join([*path, word])}.", "")
        click, path = known[word], [*path, word]
    return click, path


def completed(leaf: Any, words: list[str]) -> list[str]:
    """The words of a mention, and what it leaves out: options that must be given, and arguments."""
    known = {name: option.name for option in leaf.params for name in option.opts}
    given = {known.get(word.partition("=")[0]) for word in words}
    needed = {option.name for option in leaf.params if option.required}
    needed |= set(known.values()) & {"prompt"} - ({"prompt"} if "input" in given else set())
    needed |= {"output"} if "input" in given else set()
    needed |= {"models"} if leaf.name == "ensemble" and not {"preset", "target"} & given else set()
    for name, option in ((each.name, each.opts[0]) for each in leaf.params):
        if name in needed - given and option.startswith("-"):
            words = [*words, option, {"models": "A,B", "output": "results.json"}.get(name, "NAME")]
    while True:
        try:
            leaf.make_context(leaf.name, list(words))
        except program.USAGE_ERROR as error:
            if not LEFT_OUT.search(error.format_message()) or len(words) > MOST:
                raise
            words = [*words, "FILE"]
        else:
            return words


@pytest.mark.parametrize(("where", "command"), EVERY, ids=[str(where) for where, _ in EVERY])
def test_the_program_takes_every_command_of_the_documents(
    where: Passage, command: Command, take: Taker
) -> None:
    assert take(command) == 0


@pytest.mark.skipif(shutil.which("make") is None, reason="make reads the Makefile")
def test_the_program_takes_every_command_of_the_makefile(take: Taker) -> None:
    made = documented.make_commands(MADE)
    assert {command.words[1] for _, command in made} == {"demo", "models", "bench"}
    assert [take(command) for _, command in made] == [0] * len(made)


def costs_nothing(command: Command) -> bool:
    """Whether the fixture leaves none of its work out."""
    words = command.words[1:]
    return words[:2] == ("models", "list") or words[:1] == ("presets",) or "--dry-run" in words


CHEAP = [(where, command) for where, command in EVERY if costs_nothing(command) and command.is_whole]


@pytest.mark.parametrize(("where", "command"), CHEAP, ids=[str(where) for where, _ in CHEAP])
def test_commands_that_cost_nothing_are_run(
    where: Passage, command: Command, take: Taker, capsys: pytest.CaptureFixture[str]
) -> None:
    assert take(command) == 0
    assert len(capsys.readouterr().out.splitlines()) > 3


def test_the_documents_have_cheap_commands_and_dear_ones() -> None:
    assert {command.words[1] for _, command in CHEAP} == {"generate", "models", "presets"}
    assert {command.words[1] for _, command in EVERY} >= {
        *program.GROUPS,
        *(name_of(each) for each in program.COMMANDS),
    }


def name_of(command: Any) -> str:
    return str(command.__name__).replace("_", "-")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("specdec generat -p x", "There is no command generat"),
        ("specdec models lst", "There is no command models lst"),
        ("specdec generate --max-buget 8 -p x", "No such option: --max-buget"),
        ("specdec bench --n-tests ten", "Input should be a valid integer"),
        ("specdec bench --n-tests 10 mine", "unexpected extra argument"),
        ("specdec replay", "Missing parameter: trace"),
        ("specdec generate", "There is no prompt."),
        ("specdec generate -p -", "The prompt is empty."),
        ("specdec generate --top-p 2 -p x", "--top-p must be a number"),
        ("specdec generate --method autoregressive --tree 2^4 -p x", "--tree"),
        ("specdec generate --method spechub --draft ngram -p x", "ngram"),
        ("specdec generate --preset no-such -p x", "no-such"),
        ("specdec bench --methods sps,spsx", "There is no method 'spsx'"),
        ("specdec bench --methods sps --gamma 9-1", "The range '9-1' has no values"),
        ("specdec audit --level loose", "There is no level 'loose'"),
        ("specdec replay run.jsonl --methods sps --temperature 1", "No such option: --temperature"),
        ("specdec ensemble --models A --weights 1,2 -p x", "weights"),
        ("specdec ensemble --algorithm speckem --models A,B -p x", "There is no algorithm 'speckem'"),
        ("specdec evaluate results.json --metrics blue", "There is no metric 'blue'"),
        ("SPECDEC_TEMPRATURE=1 specdec generate -p x", "SPECDEC_TEMPRATURE"),
        ("SPECDEC_GAMMA=none specdec generate -p x", "SPECDEC_GAMMA must be"),
        ("specdec presets show no-such", "no-such"),
    ],
)
def test_a_command_that_the_program_does_not_take_is_seen(line: str, problem: str, take: Taker) -> None:
    text = f"```console\n{line}  # as the reader would type it\n```\n"
    ((_, command),) = documented.commands("specdec", {"a.md": text})
    with pytest.raises((InputError, program.USAGE_ERROR)) as caught:
        take(command)
    told = caught.value
    assert problem in (told.problem if isinstance(told, InputError) else str(told))


@pytest.mark.parametrize(
    ("span", "problem"),
    [
        ("specdec models list|pul", "There is no command models pul"),
        ("specdec report LOG --polt FILE", "No such option: --polt"),
        ("specdec bench --peer", "There is no peer 'FILE'"),
        ("specdec trees plan --budget FEW [--fastest]", "Input should be a valid integer"),
        ("specdec audit --methods coin,...", "There is no method 'coin'"),
    ],
)
def test_a_mention_that_the_program_does_not_take_is_seen(span: str, problem: str, take: Taker) -> None:
    found = documented.commands("specdec", {"a.md": f"Say `{span}` or\nnot."})
    with pytest.raises((InputError, program.USAGE_ERROR)) as caught:
        [take(command) for _, command in found]
    told = caught.value
    assert problem in (told.problem if isinstance(told, InputError) else str(told))
