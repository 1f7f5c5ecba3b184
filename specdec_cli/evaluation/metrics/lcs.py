"""ROUGE-L as the package `rouge` counts it, in memory and time that long answers leave bounded.

The package keeps a dictionary of all pairs of words and recurses once a word; here a row of the table is an
array.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from specdec_cli.errors import InputError

MOST_PAIRS = 200_000_000  # of words of an answer's sentence and a reference's


def rouge_l(prediction: str, reference: str) -> float:
    """The F score of the summary-level ROUGE-L (Lin 2004), each word counted once, as `rouge` 1.0.1 gives it.

    Raises:
        InputError: a sentence of the answer is too long beside one of the reference.
    """
    ours, theirs = _sentences(prediction), _sentences(reference)
    union: set[str] = set()
    for wanted in theirs:
        for said in ours:
            union |= _common(wanted, said)
    recall = len(union) / len({word for sentence in theirs for word in sentence})
    precision = len(union) / len({word for sentence in ours for word in sentence})
    return 2.0 * ((precision * recall) / (precision + recall + 1e-8))


def _sentences(text: str) -> list[list[str]]:
    """A text cut at full stops, and each part into words at single spaces, as the package cuts."""
    return [" ".join(part.split()).split(" ") for part in text.split(".") if part]


def _common(wanted: Sequence[str], said: Sequence[str]) -> set[str]:
    """The words of the longest common subsequence of two sentences, the one that the package finds."""
    if len(wanted) * len(said) > MOST_PAIRS:
        problem = f"rouge cannot compare a sentence of {len(said):,} words with one of {len(wanted):,}."
        raise InputError(problem, f"It takes {MOST_PAIRS:,} pairs at most; leave rouge out.")
    numbers = {word: number for number, word in enumerate(dict.fromkeys(said))}
    second = np.array([numbers[word] for word in said], dtype=np.int64)
    kind = np.uint16 if min(len(wanted), len(said)) < 1 << 16 else np.uint32
    rows = [np.zeros(len(said) + 1, dtype=kind)]
    for word in wanted:
        before, row = rows[-1], np.zeros(len(said) + 1, dtype=kind)
        longer = before[:-1] + (second == numbers.get(word, -1)).astype(kind)
        np.maximum.accumulate(np.maximum(before[1:], longer), out=row[1:])
        rows.append(row)
    found: set[str] = set()
    i, j = len(wanted), len(said)
    while i and j:
        if wanted[i - 1] == said[j - 1]:
            found.add(wanted[i - 1])
            i, j = i - 1, j - 1
        elif rows[i - 1][j] > rows[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found
