"""docs/cli.md is what tools/generate_cli_docs.py writes, and that is what the program takes."""

import re
from typing import Any

import pytest
from documented import ROOT
from typer.main import get_command

from specdec_cli.cli.app import app
from specdec_cli.settings import RULES
from tools import generate_cli_docs as reference

TEXT = reference.document()
SECTIONS = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S))
ADVICE = "docs/cli.md is not what the program takes: write it anew with `make docs`"


def leaves(click, path=()):
    """Every command that does something, by its words."""
    found: dict[tuple[str, ...], Any] = {}
    for name, each in click.commands.items():
        found |= leaves(each, (*path, name)) if hasattr(each, "commands") else {(*path, name): each}
    return found


COMMANDS = leaves(get_command(app))


def test_the_file_is_what_would_be_written() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == TEXT, ADVICE


def test_a_file_that_says_something_else_is_seen_and_put_right(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(reference, "OUTPUT", tmp_path / "cli.md")
    assert reference.main(["--check"]) == 1
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    (tmp_path / "cli.md").write_text(TEXT.replace("--gamma", "--gama", 1), encoding="utf-8")
    assert reference.main(["--check"]) == 1


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_a_section_with_each_of_its_options_once(words) -> None:
    section, command = SECTIONS[" ".join(["specdec", *words])], COMMANDS[words]
    first = [
        line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| ")
    ]
    told = [name for cell in first for name in re.findall(r"`([^`]+)`", cell)]
    expected = [
        name
        for each in command.params
        for name in ((each.name.upper(),) if each.param_type_name == "argument" else each.opts)
    ]
    expected += [name for each in command.params for name in getattr(each, "secondary_opts", ())]
    assert sorted(told) == sorted(expected)


def test_every_command_is_in_the_contents_and_links_to_its_section() -> None:
    links = re.findall(r"^\| \[`(specdec [^`]*)`\]\(#([\w-]+)\)", TEXT, re.M)
    assert links == [
        (name, name.replace(" ", "-")) for name in (" ".join(["specdec", *each]) for each in COMMANDS)
    ]


def test_every_setting_is_in_the_table_with_its_variable() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (`SPECDEC_\w+`|only by its flag) \|", SECTIONS["Settings"], re.M)
    assert dict(rows) == {
        name: "only by its flag" if name == "trust_remote_code" else f"`SPECDEC_{name.upper()}`"
        for name in RULES
    }


def test_tables_are_whole_and_nothing_is_left_of_the_markup_of_screens() -> None:
    assert "\\[" not in TEXT
    assert "[default" not in TEXT
    assert "[/" not in TEXT
    for table in re.findall(r"(?:^\|.*\n)+", TEXT, re.M):
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()]
        assert len({len(row) for row in rows}) == 1, table
        assert set(map(str.strip, rows[1])) == {"---"}


def test_ranges_choices_and_defaults_are_told() -> None:
    bench = SECTIONS["specdec bench"]
    assert "| `--n-tests` | whole number, 1 to 2^31 - 1 | Prompts. Default: 10. |" in bench
    assert "| `--format` | `table`, `markdown`, `csv`, `json` |" in bench
    generate = SECTIONS["specdec generate"]
    assert "| `--top-p` | number, above 0 and at most 1 |" in generate
    assert re.search(r"\| `--max-budget` \| whole number, 1 to 4096, or `auto` \|.*Default: 7\. \|", generate)
    assert re.search(r"\| `--dtype` \| `auto`, `float32`, .*Default: auto\. \| `SPECDEC_DTYPE` \|", generate)
    assert re.search(r"\| `--preset` \|.*\| `SPECDEC_PRESET` \|", generate)
    assert re.search(r"\| `--trust-remote-code`, .*\|  \|\n", generate)
    assert "Default: `--cache`." in SECTIONS["specdec ensemble"]
    assert "specdec distill [OPTIONS] --output OUTPUT" in SECTIONS["specdec distill"]
    assert "specdec evaluate [OPTIONS] FILES..." in SECTIONS["specdec evaluate"]


def test_the_exit_codes_are_those_of_the_program() -> None:
    codes = re.findall(r"^\| (\d+) \|", SECTIONS["Exit codes"], re.M)
    assert codes == ["0", "1", "2", "3", "4", "5", "129", "130", "143"]
