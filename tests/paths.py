"""Paths in a token tree."""

from itertools import pairwise


def tree_path(tree, node):
    """Tokens from the root to a node."""
    tokens = []
    while node >= 0:
        tokens.append(tree.tokens[node])
        node = tree.parents[node]
    return tokens[::-1]


def is_path(tree, path):
    """Whether the nodes lead from the root downwards."""
    return all(tree.parents[child] == parent for parent, child in pairwise([-1, *path]))
