"""A static tree is read as written, in any of its spellings, or refused in two lines."""

import json
import os
import pickle
import subprocess
import sys
import time
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch

from specdec_cli.drafting.shapes import (
    LARGEST_FILE,
    MAX_DEPTH,
    MAX_NODES,
    StaticTree,
    from_children,
    parse_tree,
)
from specdec_cli.errors import InputError

BRANCHED = StaticTree((-1, -1, -1, 0, 0, 2, 4))
SUCCESSORS = [[1, 2, 3], [4, 5], [], [6], [], [7], [], []]


def growmap(successors):
    """What Sequoia's tree search saves, as far as it matters here."""
    size = len(successors)
    lists = {"roots": [[0], [1, 2, 3]], "branches": [[3], [2, 0, 1]], "Successors": successors}
    return lists | {"mask": torch.eye(size).long(), "depth": torch.zeros(size).long(), "size": size}


def written(path, content):
    """The path, as text, of a file that holds the content in the way that its ending says."""
    if path.suffix == ".pt":
        torch.save(content, path)
    else:
        path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def refusal(text):
    with pytest.raises(InputError) as caught:
        parse_tree(text)
    assert "\n" not in caught.value.problem + caught.value.hint
    return caught.value.problem


def test_a_tree_knows_its_measures():
    assert (BRANCHED.size, BRANCHED.depth, BRANCHED.max_children) == (7, 3, 3)
    assert BRANCHED.levels() == [[0, 1, 2], [3, 4, 5], [6]]
    assert BRANCHED.child_counts() == [3, 2, 0, 1, 0, 1, 0, 0]


def test_a_tree_may_have_no_nodes():
    tree = StaticTree()
    assert (tree.size, tree.depth, tree.max_children) == (0, 0, 0)
    assert (tree.levels(), tree.child_counts()) == ([], [0])


@pytest.mark.parametrize("parents", [(0,), (-2,), (-1, 1), (1, -1), (-1, 0, -1), (-1, -1, 1, 0)])
def test_nodes_in_any_but_breadth_first_order_are_refused(parents):
    with pytest.raises(ValueError, match="breadth first"):
        StaticTree(parents)


def test_renumbering_keeps_the_order_of_siblings():
    # The root's children are 3, then 1; 3 has 5; 1 has 4, then 2; 4 has 6.
    tree = from_children([[3, 1], [4, 2], [], [5], [6], [], []])
    assert tree.parents == (-1, -1, 0, 1, 1, 3)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        *[("3", [3]), ("4x2x2", [4, 8, 16]), ("4 × 2 x 2 ", [4, 8, 16]), ("1x1x3", [1, 1, 3])],
        *[("2^5", [2, 4, 8, 16]), ("3 ^ 3", [3, 9]), ("1^4", [1, 1, 1])],
    ],
)
def test_a_text_gives_the_children_by_level(text, sizes):
    tree = parse_tree(text)
    assert [len(level) for level in tree.levels()] == sizes


def test_every_node_of_a_level_has_equally_many_children():
    assert parse_tree("2x3x1").parents == (-1, -1, 0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7)


@pytest.mark.parametrize("text", ["", "x", "tree", "2x", "x2", "0", "2x0", "2^0", "-1", "2.5", "2^2^2", "٣"])
def test_a_text_that_describes_no_tree_is_refused(text):
    assert "does not describe a tree" in refusal(text)


def test_a_tree_of_the_root_alone_is_refused():
    assert "nothing is guessed" in refusal("2^1")


@pytest.mark.parametrize(
    "text", ["2^40", "999999999^999999999", "1^999999999", "64x64", "x".join("1" * 257), "x".join("9" * 257)]
)
def test_a_tree_too_large_is_refused_at_once(text):
    start = time.perf_counter()
    assert "more than 4096 guesses or 256 levels" in refusal(text)
    assert time.perf_counter() - start < 0.5


def test_the_largest_trees_are_taken():
    assert parse_tree(str(MAX_NODES)).size == MAX_NODES
    assert parse_tree("x".join("1" * MAX_DEPTH)).depth == MAX_DEPTH
    refusal(str(MAX_NODES + 1))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tree.json", list(BRANCHED.parents)),
        ("tree.JSON", {"parents": BRANCHED.parents, "tokens_per_pass": 2.5}),
        ("tree.json", {"Successors": SUCCESSORS, "size": 8}),
        ("tree.json", [-1, 0, 0, -1, -1, 4, 2]),
        ("tree.pt", growmap(SUCCESSORS)),
    ],
)
def test_a_tree_is_read_from_a_file(tmp_path, name, content):
    assert parse_tree(written(tmp_path / name, content)) == BRANCHED


def test_a_plan_not_to_guess_is_read_back(tmp_path):
    assert parse_tree(written(tmp_path / "none.json", {"parents": StaticTree().parents})) == StaticTree()


@pytest.mark.parametrize("name", ["tree.json", "tree.pt"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name):
    path = tmp_path / name
    assert f"{path} cannot be read: No such file" in refusal(str(path))
    path.mkdir()
    assert f"{path} is a folder, not a file" in refusal(str(path))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not valid JSON"),
        (b"[-1", "not valid JSON"),
        (b"\xff\xfe\xfa", "is UTF-16 text"),
        (b"\xfa", "is not UTF-8 text"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" + b"9" * 5000 + b"]", "not valid JSON"),
    ],
)
def test_a_file_that_is_not_json_is_refused(tmp_path, content, why):
    (tmp_path / "tree.json").write_bytes(content)
    assert why in refusal(str(tmp_path / "tree.json"))


@pytest.mark.parametrize("ending", ["json", "pt"])
def test_a_pipe_is_not_waited_for(tmp_path, ending):
    path = tmp_path / f"tree.{ending}"
    os.mkfifo(path)
    assert "is a pipe, not a file" in refusal(str(path))


@pytest.mark.parametrize("ending", ["json", "pt"])
def test_a_file_larger_than_any_tree_is_not_read(tmp_path, ending):
    path = tmp_path / f"tree.{ending}"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    assert "has more than 16 MiB" in refusal(str(path))


def test_a_growmap_that_grows_when_it_is_unpacked_is_refused(tmp_path):
    torch.save(growmap(SUCCESSORS), tmp_path / "small.pt")
    with ZipFile(tmp_path / "small.pt") as small, ZipFile(tmp_path / "tree.pt", "w", ZIP_DEFLATED) as large:
        for name in small.namelist():
            large.writestr(name, small.read(name))
        large.writestr("archive/data/9", bytes(LARGEST_FILE))
    assert "is no growmap" in refusal(str(tmp_path / "tree.pt"))


def test_a_growmap_of_too_many_children_is_refused(tmp_path):
    rows = [list(range(1, MAX_NODES + 2)), *([] for _ in range(MAX_NODES + 1))]
    assert "more than 4096 children" in refusal(written(tmp_path / "tree.json", {"Successors": rows}))


@pytest.mark.parametrize(
    "content",
    [
        *[None, 7, "4x2", {}, {"parents": None}, {"parents": "2^5"}],
        *[[-1, False], [-1, 0.0], [-1, "0"], [-1, 5], [-2], [1, 0], [-1, 1]],
    ],
)
def test_a_json_file_that_holds_no_tree_is_refused(tmp_path, content):
    assert "holds no tree" in refusal(written(tmp_path / "tree.json", content))


@pytest.mark.parametrize("ending", ["json", "pt"])
@pytest.mark.parametrize(
    "successors",
    [
        *[None, [], [-1, 0], [[1], None]],  # not one list for each node
        *[[[1], [2]], [[-1], []]],  # nodes that are not there
        *[[[1, 2], [2], []], [[1, 1], []]],  # a node with two parents
        *[[[1], [0]], [[], [2], [1]], [[], []]],  # no root, a loop beside it, a node beside it
    ],
)
def test_a_growmap_that_is_no_tree_is_refused(tmp_path, ending, successors):
    assert "holds no tree" in refusal(written(tmp_path / f"tree.{ending}", {"Successors": successors}))


@pytest.mark.parametrize("content", [torch.eye(2), [-1, 0], {"parents": [-1, 0]}, 3])
def test_a_pt_file_that_is_no_growmap_is_refused(tmp_path, content):
    assert "is no growmap" in refusal(written(tmp_path / "tree.pt", content))


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 cut short", pickle.dumps({"size": 4}, 4)])
def test_a_damaged_pt_file_is_refused(tmp_path, content):
    (tmp_path / "tree.pt").write_bytes(content)
    assert "is no growmap" in refusal(str(tmp_path / "tree.pt"))


class Intruder:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).mkdir, (self.path,)


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_no_code_is_run_from_a_pt_file(tmp_path, save):
    target = tmp_path / "made"
    save({"Successors": [[1], []], "mask": Intruder(target)}, tmp_path / "tree.pt")
    assert "more than plain data" in refusal(str(tmp_path / "tree.pt"))
    assert not target.exists()


@pytest.mark.parametrize("parents", [[-1] * (MAX_NODES + 1), list(range(-1, MAX_DEPTH))])
def test_a_file_with_too_large_a_tree_is_refused(tmp_path, parents):
    assert "more than 4096 guesses" in refusal(written(tmp_path / "tree.json", parents))


def test_shapes_and_plans_need_no_torch():
    run = "import specdec_cli.drafting.planning, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", run], check=False).returncode == 0
