"""Reads presets: YAML files that name settings, shipped or the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import yaml

from specdec_cli.errors import InputError
from specdec_cli.resources import presets_folder
from specdec_cli.settings.fields import RULES
from specdec_cli.storage.reading import read_text

LARGEST = 64 << 10
TEXTS = ("description", "source", "needs")
EXAMPLE = (
    "Write one setting a line, such as `temperature: 0.6`; `specdec presets list` shows the shipped ones."
)


class _Loader(yaml.SafeLoader):
    """Plain data without aliases, fifty lines of which can stand for more than memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not read here", problem_mark=mark)
        return super().compose_node(parent, index)


@dataclass(frozen=True, slots=True)
class Preset:
    """A named set of settings, as its file has it.

    Attributes:
        name: what the user calls it.
        path: its file.
        values: setting to its unchecked value and the line that it stands on.
        description: what it is good for; may be empty, like the next two.
        source: who published these values.
        needs: what it takes to run.
    """

    name: str
    path: Path
    values: dict[str, tuple[object, int]]
    description: str = ""
    source: str = ""
    needs: str = ""


def list_presets() -> list[Preset]:
    """The shipped presets, by name."""
    return [_read(path.stem, path) for path in sorted(presets_folder().glob("*.yaml"))]


def find_preset(name: str) -> Preset:
    """The shipped preset of that name, or the one in the `.yaml` file at that path.

    Raises:
        InputError: there is none, or it is not a preset, or it has a key that is no setting.
    """
    if name.lower().endswith((".yaml", ".yml")) or "/" in name or "\\" in name:
        return _read(name, Path(name))
    shipped = {path.stem: path for path in presets_folder().glob("*.yaml")}
    if name in shipped:
        return _read(name, shipped[name])
    near = get_close_matches(name, shipped, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"The presets are: {', '.join(sorted(shipped))}."
    raise InputError(f"There is no preset {name!r}.", f"{hint} The path of a .yaml file works too.")


def _read(name: str, path: Path) -> Preset:
    values: dict[str, tuple[object, int]] = {}
    texts: dict[str, str] = {}
    for key, value, line in _entries(path):
        setting = key.replace("-", "_")
        if setting in values or setting in texts:
            raise InputError(f"{path}, line {line}: {key!r} is given twice.", "Keep one of the two.")
        if setting in RULES:
            values[setting] = value, line
        elif setting in TEXTS and isinstance(value, str):
            texts[setting] = value
        elif setting in TEXTS:
            raise InputError(f"{path}, line {line}: {key} must be text, not {value!r}.", "Put it in quotes.")
        else:
            raise InputError(f"{path}, line {line}: there is no setting {key!r}.", suggestion(setting))
    return Preset(name, path, values, **texts)


def suggestion(setting: str) -> str:
    """A hint for a name that is no setting: the one that it most resembles, or where to find them all."""
    near = get_close_matches(setting, (*RULES, *TEXTS), n=1)
    return f"Did you mean {near[0]}?" if near else "`specdec generate --help` lists every setting."


def _entries(path: Path) -> list[tuple[str, object, int]]:
    """Key, value and line of each entry of a YAML file, as written."""
    text = read_text(path, "The preset", LARGEST)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            found = "is empty" if node is None else "is not a list of `setting: value` lines"
            raise InputError(f"The preset {path} {found}.", EXAMPLE)
        return [
            (str(key.value), _value(loader, value, path), key.start_mark.line + 1)
            for key, value in node.value
        ]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise InputError(f"{path}{where} is not valid YAML: {reason}.", EXAMPLE) from error


def _value(loader: _Loader, node: yaml.Node, path: Path) -> object:
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, OverflowError) as error:  # a number of thousands of digits, a day that there is not
        reason = str(error).partition(";")[0]
        where = f"{path}, line {node.start_mark.line + 1}"
        raise InputError(f"{where} is not valid YAML: {reason}.", EXAMPLE) from error
