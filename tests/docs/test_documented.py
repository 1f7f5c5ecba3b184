"""What is taken for a command in a document, and what is not."""

import shutil
from pathlib import Path

import documented

TEXT = """Say `specdec bench` first, `specdec models list|pull`, or
`specdec report LOG --plot
FILE [--detail]`; `make bench` is no command of it.

```console
$ A=1 cat notes.txt | specdec generate -t "0, 1" \\
    -p -   # a comment
specdec says nothing here
$ specdec presets list; specdec evaluate N > scores.json 2> errors.txt && specdec audit
```

```
specdec is printed here
```
"""


def test_commands_are_found_in_blocks_and_in_the_prose_and_nowhere_else() -> None:
    found = documented.commands("specdec", {"a.md": TEXT})
    assert [(where.line, " ".join(command.words[1:])) for where, command in found] == [
        (6, "generate -t 0, 1 -p -"),
        (9, "presets list"),
        (9, "evaluate 8"),
        (9, "audit"),
        (1, "bench"),
        (1, "models list"),
        (1, "models pull"),
        (2, "report LOG --plot FILE --detail"),
    ]
    assert [command.piped for _, command in found] == [True, *[False] * 7]
    assert [command.is_whole for _, command in found] == [*[True] * 4, *[False] * 4]


def test_variables_before_a_command_are_its_own() -> None:
    (command,) = documented.parts('A=1 B="x y" specdec generate -p "A=2"')
    assert (command.words, dict(command.variables)) == (
        ("specdec", "generate", "-p", "A=2"),
        {"A": "1", "B": "x y"},
    )


def test_commands_are_found_in_presets_benchmarks_the_program_and_the_makefile(tmp_path: Path) -> None:
    files = {
        "presets/a.yaml": "# Or: specdec bench --preset a -t 1\nneeds: b (specdec models pull b)\nseed: 1\n",
        "benchmarks/a.py": '"""Times `specdec audit`.\n\n    specdec bench --gamma 3\n\nIn turn.\n"""\n',
        "specdec_cli/room/a.py": 'HINT = f"Try `specdec models pull {a}`, or `specdec audit --seed {b}`."\n',
        "Makefile": "N ?= 2\nall:\n\t.venv/bin/specdec bench \\\n\t\t-n $(N)\n\techo specdec is here\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = [*documented.preset_commands(tmp_path), *documented.benchmark_commands(tmp_path)]
    found += [*documented.told_commands(tmp_path)]
    assert [(where.document, " ".join(command.words[1:])) for where, command in found] == [
        ("presets/a.yaml", "bench --preset a -t 1"),
        ("presets/a.yaml", "models pull b"),
        ("benchmarks/a.py", "bench --gamma 3"),
        ("benchmarks/a.py", "audit"),
        ("specdec_cli/room/a.py:1", "models pull"),
        ("specdec_cli/room/a.py:1", "audit --seed ..."),
    ]
    if shutil.which("make"):
        made = documented.make_commands(["all"], tmp_path)
        assert [command.words[1:] for _, command in made] == [("bench", "-n", "2")]
