"""The static tree that pays most.

Chen et al. (2024), Sequoia, https://arxiv.org/abs/2402.12374: if the j-th child of any node is the accepted
one with probability a_j, wherever the node stands, then a tree gives 1 + sum_j a_j * value(subtree_j) tokens
a target pass, and a dynamic program over sizes and depths finds the best tree.

The program builds a node's children one at a time. `gain[d][j, n]` is the most that children j, j + 1, ...
add to their parent's value with at most n nodes on at most d levels:

    gain[d][j, n] = max over m < n of  a_j * (1 + gain[d - 1][0, m]) + gain[d][j + 1, n - 1 - m]

where m nodes go below child j. The best split is found again from the gains when the tree is read off.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specdec_cli.drafting.shapes import ROOT, StaticTree

Array = NDArray[np.float64]
ROUNDING = 1e-9  # by which probabilities that were summed up elsewhere may exceed 1


@dataclass(frozen=True)
class Plan:
    """A tree and what it is expected to do.

    Attributes:
        tree: the shape; of no nodes where it is best not to guess.
        tokens_per_pass: expected tokens emitted by one target pass.
        seconds: expected for one target pass and the draft passes before it; None where nothing was timed.
    """

    tree: StaticTree
    tokens_per_pass: float
    seconds: float | None


def best_tree(acceptance: Sequence[float], size: int, depth: int) -> Plan:
    """The tree of most expected tokens; nodes that would add nothing are left out.

    Args:
        acceptance: probability that the first, second, ... child of a node is the accepted one; their
            number limits the children.
        size: guessed nodes, at most.
        depth: levels of guessed nodes, at most.

    Raises:
        ValueError: no such probabilities, or a limit below 0.
    """
    chances = _chances(acceptance)
    gains = _gains(chances, size, depth)
    tree = _read_off(chances, gains, len(gains) - 1, size)
    return Plan(tree, float(1 + gains[-1][0, size]), None)


def best_plan(
    acceptance: Sequence[float],
    max_size: int,
    max_depth: int,
    pass_seconds: Mapping[int, float],
    draft_seconds: float,
) -> Plan:
    """The tree of most expected tokens a second; without nodes if guessing does not pay.

    Args:
        acceptance: as for `best_tree`.
        max_size: guessed nodes, at most.
        max_depth: levels of guessed nodes, at most.
        pass_seconds: measured time of a target pass by its number of tokens, from 1 to `max_size` + 1 or
            more. Between the measurements it is interpolated; a pass over more tokens counts as no faster
            than one over fewer, so that noise cannot make nodes seem to save time.
        draft_seconds: time of a draft pass; each level of guesses takes one.

    Raises:
        ValueError: no such probabilities, limits or times.
    """
    chances = _chances(acceptance)
    gains = _gains(chances, max_size, max_depth)
    target_seconds = _seconds_by_size(pass_seconds, max_size)
    if not 0 <= draft_seconds < math.inf:
        raise ValueError(f"a draft pass cannot take {draft_seconds} seconds")
    # Values are of at most so many nodes and levels: the first best is the one that needs them all.
    rates = [(1 + gain[0]) / (target_seconds + level * draft_seconds) for level, gain in enumerate(gains)]
    levels, size = divmod(_first_best(np.concatenate(rates)), max_size + 1)
    tree = _read_off(chances, gains, levels, size)
    seconds = target_seconds[tree.size] + tree.depth * draft_seconds
    return Plan(tree, float(1 + gains[levels][0, size]), float(seconds))


def expected_tokens(tree: StaticTree, acceptance: Sequence[float]) -> float:
    """Tokens that one target pass over the tree is expected to emit.

    Raises:
        ValueError: no such probabilities, or fewer of them than a node has children.
    """
    chances = _chances(acceptance)
    if tree.max_children > len(chances):
        raise ValueError(f"{tree.max_children} children need as many acceptance rates, not {len(chances)}")
    elder = [0] * (tree.size + 1)  # siblings seen so far, by their parent
    chance = np.empty(tree.size)
    for node, parent in enumerate(tree.parents):
        chance[node] = chances[elder[parent + 1]]
        elder[parent + 1] += 1
    values = np.ones(tree.size + 1)
    for node in reversed(range(tree.size)):
        values[tree.parents[node] + 1] += chance[node] * values[node + 1]
    return float(values[0])


def _chances(acceptance: Sequence[float]) -> Array:
    chances = np.asarray(acceptance, dtype=np.float64)
    if chances.ndim != 1 or not (chances >= 0).all() or not chances.sum() <= 1 + ROUNDING:
        raise ValueError(f"acceptance rates must be at least 0 and sum to at most 1, not {list(acceptance)}")
    return chances


def _gains(chances: Array, size: int, depth: int) -> list[Array]:
    """`gain[d]` of the module's text for d = 0, 1, ... up to `depth`, or to where depth gains no more."""
    if size < 0 or depth < 0:
        raise ValueError(f"a tree cannot have at most {size} nodes and {depth} levels")
    gains = [np.zeros((len(chances) + 1, size + 1))]
    for _ in range(depth):
        gain = _one_level_more(chances, gains[-1][0])
        if np.array_equal(gain[0], gains[-1][0]):
            break  # so would be the next, which is made from this alone
        gains.append(gain)
    return gains


def _one_level_more(chances: Array, below: Array) -> Array:
    gain = np.zeros((len(chances) + 1, len(below)))
    for child in reversed(range(len(chances))):
        own, rest = chances[child] * (1 + below), gain[child + 1]
        for nodes in range(1, len(below)):
            gain[child, nodes] = _splits(own, rest, nodes).max()
    return gain


def _splits(own: Array, rest: Array, nodes: int) -> Array:
    """Gain of a child and its later siblings, by how many of their `nodes` go below the child."""
    return own[:nodes] + rest[nodes - 1 :: -1]


def _first_best(values: Array) -> int:
    """Index of the largest value; the lowest of several, which stands for the smaller tree."""
    return int(np.flatnonzero(values == values.max())[0])


def _read_off(chances: Array, gains: list[Array], levels: int, size: int) -> StaticTree:
    """The tree of at most these levels and nodes that the gains promise."""
    parents: list[int] = []
    queue = deque([(ROOT, levels, size)])
    while queue:
        parent, levels, left = queue.popleft()
        child = 0
        while gains[levels][child, left] > 0:
            own, rest = chances[child] * (1 + gains[levels - 1][0]), gains[levels][child + 1]
            below = _first_best(_splits(own, rest, left))
            queue.append((len(parents), levels - 1, below))
            parents.append(parent)
            left -= 1 + below
            child += 1
    return StaticTree(tuple(parents))


def _seconds_by_size(pass_seconds: Mapping[int, float], max_size: int) -> Array:
    """Time of a target pass over the root and 0, 1, ..., `max_size` guesses."""
    counts = sorted(pass_seconds)
    if not counts or counts[0] > 1 or counts[-1] < max_size + 1:
        raise ValueError(f"passes must be timed over 1 to {max_size + 1} tokens, not over {counts}")
    seconds = np.array([pass_seconds[count] for count in counts], dtype=np.float64)
    if not ((seconds > 0) & (seconds < math.inf)).all():
        raise ValueError(f"a target pass cannot take {seconds.tolist()} seconds")
    between: Array = np.interp(np.arange(1, max_size + 2), counts, seconds)
    return np.maximum.accumulate(between)
