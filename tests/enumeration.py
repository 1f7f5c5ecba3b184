"""Every path of chance through a program, each with its exact weight.

A program draws only through `bernoulli` and `categorical`. Replaying it over all outcomes of all draws gives
the law of its result without sampling: equality up to float64 rounding, no seed, no tolerance for luck.
"""

from itertools import pairwise

import torch

EXACT = 1e-12


class PathRandomness:
    """Chance that follows a script of choices and multiplies their weights.

    A key used twice would mean noise used twice, which no weight here accounts for: it is an error.
    """

    def __init__(self, script):
        self.script = list(script)
        self.options = []
        self.weight = 1.0
        self.keys = set()

    def bernoulli(self, probability, key):
        self._use(key)
        if probability <= 0:
            return False
        if probability >= 1:
            return True
        return self._choose([(True, probability), (False, 1 - probability)])

    def categorical(self, probs, key):
        self._use(key)
        total = float(probs.sum())
        return self._choose(
            [(token, weight / total) for token, weight in enumerate(probs.tolist()) if weight > 0]
        )

    def _use(self, key):
        assert key not in self.keys, f"noise used twice: {key}"
        self.keys.add(key)

    def _choose(self, options):
        place = len(self.options)
        if place == len(self.script):
            self.script.append(0)
        self.options.append(len(options))
        value, weight = options[self.script[place]]
        self.weight *= weight
        return value


def law_of(program):
    """The law of `program(randomness)`: a dictionary from result to probability."""
    law, script = {}, []
    while script is not None:
        randomness = PathRandomness(script)
        result = program(randomness)
        law[result] = law.get(result, 0.0) + randomness.weight
        script = _next_script(randomness)
    return law


def _next_script(randomness):
    script, options = randomness.script[: len(randomness.options)], randomness.options
    while script and script[-1] + 1 == options[len(script) - 1]:
        script.pop()
    if not script:
        return None
    script[-1] += 1
    return script


def law_of_text(target_law, prompt, length):
    """The target's own law of the next `length` tokens, by multiplying its conditionals."""
    law = {(): 1.0}
    for _ in range(length):
        law = {
            (*text, token): weight * probability
            for text, weight in law.items()
            for token, probability in enumerate(target_law([*prompt, *text]).tolist())
            if probability > 0
        }
    return law


def completed(law, target_law, prompt, length):
    """A law of texts of any length up to `length`, each continued by the target to that length."""
    full = {}
    for text, weight in law.items():
        for rest, probability in law_of_text(target_law, [*prompt, *text], length - len(text)).items():
            full[(*text, *rest)] = full.get((*text, *rest), 0.0) + weight * probability
    return full


def distance(law, other):
    """Total variation distance between two laws."""
    return sum(abs(law.get(text, 0.0) - other.get(text, 0.0)) for text in {*law, *other}) / 2


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


def float64(*weights):
    """A distribution from weights."""
    probs = torch.tensor(weights, dtype=torch.float64)
    return probs / probs.sum()
