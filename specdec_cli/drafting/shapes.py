"""The shape of a static draft tree, and the texts and files that name one."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import NoReturn, TypeGuard
from zipfile import ZipFile, is_zipfile

from specdec_cli.errors import InputError
from specdec_cli.storage.reading import parse_json, read_file, read_json

ROOT = -1  # as in specdec_cli.tree, which cannot be imported without torch
MAX_NODES = 4096
LARGEST_FILE = 16 << 20  # bytes: growmaps hold a mask of all pairs of nodes
MAX_DEPTH = 256
SHOWN = 200  # characters of a text in a message
EXAMPLES = (
    "Write 4x2x2 (children by level), 2^5 (binary, 5 levels), [-1, -1, 0] (parents), or a .json or .pt file."
)
KINDS = (
    "A .json file lists the parents of the nodes, as [-1, -1, 0] with -1 for the root; a .pt is a growmap."
)


@dataclass(frozen=True, slots=True)
class StaticTree:
    """Where guesses hang, whatever their tokens.

    The root is the last committed token; it is not counted. Nodes are numbered breadth first, siblings in
    the order in which a verifier looks at them.

    Attributes:
        parents: (N) index of each node's parent, or `ROOT`.
    """

    parents: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        earlier = ROOT
        for node, parent in enumerate(self.parents):
            if not earlier <= parent < node:
                raise ValueError("nodes must be numbered breadth first")
            earlier = parent

    @property
    def size(self) -> int:
        """Guessed nodes."""
        return len(self.parents)

    @property
    def depth(self) -> int:
        """Levels of guessed nodes."""
        return len(self.levels())

    @property
    def max_children(self) -> int:
        """Most children of any node, the root included."""
        return max(self.child_counts())

    def levels(self) -> list[list[int]]:
        """Nodes of depth 1, 2, ..., `depth`."""
        counts = self.child_counts()
        levels: list[list[int]] = []
        level = range(counts[0])
        while level:
            levels.append(list(level))
            level = range(level.stop, level.stop + sum(counts[node + 1] for node in level))
        return levels

    def child_counts(self) -> list[int]:
        """Number of children of the root, then of node 0, 1, ...: N + 1 counts."""
        counts = [0] * (self.size + 1)
        for parent in self.parents:
            counts[parent + 1] += 1
        return counts


def from_children(children: Sequence[Sequence[int]]) -> StaticTree:
    """The tree in which the root, which is node 0, node 1, ... have these children; any numbering will do.

    Raises:
        ValueError: they are not one tree.
    """
    if sorted(chain.from_iterable(children)) != list(range(1, len(children))):
        raise ValueError("not every node but the root is the child of one other")
    order = [0]
    parents: list[int] = []
    for index, node in enumerate(order):  # grows while it is walked: breadth first
        order += children[node]
        parents += [index - 1] * len(children[node])
    if len(order) < len(children):
        raise ValueError("the root does not lead to every node")
    return StaticTree(tuple(parents))


def parse_tree(text: str) -> StaticTree:
    """The tree that a text describes or names.

    Args:
        text: `4x2x2`, the children of the nodes of each level; `2^5`, as in the SpecHub paper 2 children a
            node and 5 levels with the root's own; `[-1, -1, 0]`, the parent of each node, -1 for the root; or
            the path of a .json or .pt file.

    Raises:
        InputError: it does neither, or the tree is none, too large or unreadable.
    """
    readers = {".json": _json_content, ".pt": _growmap_content}
    read = readers.get(Path(text).suffix.lower())
    if text.lstrip().startswith("["):
        read = _json_text
    if read is None:
        return _from_branching(_branching(text), text)
    try:
        children = _children(read(text))
        if len(children) - 1 > MAX_NODES:
            _refuse_size(text)
        tree = from_children(children)
    except ValueError as error:
        raise InputError(f"{text[:SHOWN]} holds no tree: {error}.", KINDS) from error
    if tree.depth > MAX_DEPTH:
        _refuse_size(text)
    return tree


def _branching(text: str) -> list[int]:
    """Children of the nodes of level 0, 1, ...; bounded in number, since `1^999999999` is short to write."""
    branching: list[int] = []
    power = re.fullmatch(r" *([0-9]{1,9}) *\^ *([0-9]{1,9}) *", text)
    if power:
        children, levels = int(power[1]), int(power[2])
        if levels == 1:
            raise InputError(f"The tree {text} is its root alone: nothing is guessed.", EXAMPLES)
        branching = [children] * min(levels - 1, MAX_DEPTH + 1)
    elif re.fullmatch(r" *[0-9]{1,9}( *[x×] *[0-9]{1,9})* *", text):
        branching = [int(children) for children in re.split("[x×]", text)]
    if not branching or 0 in branching:
        raise InputError(f"{text[:SHOWN]!r} does not describe a tree.", EXAMPLES)
    return branching


def _from_branching(branching: list[int], text: str) -> StaticTree:
    parents: list[int] = []
    first, level = ROOT, 1  # the nodes that are to have children: the first, and their number
    for children in branching:
        if len(branching) > MAX_DEPTH or len(parents) + level * children > MAX_NODES:
            _refuse_size(text)
        parents += [first + child // children for child in range(level * children)]
        first, level = first + level, level * children
    return StaticTree(tuple(parents))


def _refuse_size(text: str) -> NoReturn:
    problem = f"The tree {text[:SHOWN]} has more than {MAX_NODES} guesses or {MAX_DEPTH} levels."
    raise InputError(problem, "Choose fewer children or fewer levels.")


def _json_content(text: str) -> object:
    return read_json(Path(text), object, "The tree", LARGEST_FILE, KINDS)


def _json_text(text: str) -> object:
    return parse_json(text, object, f"The tree {text[:SHOWN]!r}", EXAMPLES)


def _growmap_content(text: str) -> object:
    """The children in a .pt file, as far as torch can read it without running code from it."""
    import torch

    content = BytesIO(read_file(Path(text), "The tree", LARGEST_FILE))
    try:
        if is_zipfile(content) and sum(part.file_size for part in ZipFile(content).infolist()) > LARGEST_FILE:
            raise ValueError("it grows when it is unpacked")
        content.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles: what is not plain data is refused here anyway
            return {"Successors": torch.load(content, map_location="cpu", weights_only=True)["Successors"]}
    except Exception as error:  # torch's reader raises whatever a broken or hostile file leads it to
        hint = "Give a growmap that Sequoia or SpecHub saved, or write the parents to a .json file."
        raise InputError(f"The file {text} is no growmap, or holds more than plain data.", hint) from error


def _children(content: object) -> list[list[int]]:
    """The children of the root, of node 1, ... that a file's content spells, be it a tree or not."""
    if isinstance(content, dict) and "Successors" in content:
        rows = content["Successors"]
        if isinstance(rows, list) and any(isinstance(row, list) and len(row) > MAX_NODES for row in rows):
            raise ValueError(f"a node has more than {MAX_NODES} children")
        if not isinstance(rows, list) or not rows or not all(map(_whole_numbers, rows[: MAX_NODES + 2])):
            raise ValueError("its Successors are not one list of nodes for each node")
        return rows
    parents = content.get("parents") if isinstance(content, dict) else content
    if not _whole_numbers(parents) or any(not ROOT <= parent < len(parents) for parent in parents):
        raise ValueError("it gives no parents of the nodes")
    children: list[list[int]] = [[] for _ in range(len(parents) + 1)]
    for node, parent in enumerate(parents):
        children[parent + 1].append(node + 1)
    return children


def _whole_numbers(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(each) is int for each in value)
