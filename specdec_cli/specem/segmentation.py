"""Where a draft may end: no word, character or stop string is cut in two, and no text is lost."""

from __future__ import annotations

import re
from collections.abc import Sequence

WITHOUT_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f]")
INSIDE_WORDS = "'’_"
LONGEST = 2  # windows that a draft may be long where no good position to cut at comes
BYTES = 4  # tokens of one character, at most


def draft_limit(window: int, stops: Sequence[str] = ()) -> int:
    """Tokens that a draft has at most: room to end a character or a stop string begun before."""
    return LONGEST * window + BYTES + max(map(len, stops), default=0)


def find_cut(texts: Sequence[str | None], window: int, stops: Sequence[str] = ()) -> int | None:
    """After how many tokens to end a draft; None where it has to go on.

    That is the last good position within the window, else the first one after it, else, at `LONGEST` windows,
    the last one between two characters, and at `draft_limit` wherever it stands. It depends on the tokens
    alone, not on how many came at once.

    Args:
        texts: the draft's text up to each token; None where a token ends inside a character.
        window: tokens.
        stops: strings that end the answer; what may be the beginning of one is not cut from its rest.
    """
    if len(texts) < window:
        return None
    for count in range(window, 0, -1):
        if _good(texts, count, window, stops):
            return count
    for seen in range(window + 1, len(texts) + 1):
        for count in (seen - 1, seen):
            if _good(texts, count, seen, stops):
                return count
        if seen >= LONGEST * window and (clear := _last_clear(texts, seen, stops)) is not None:
            return clear
        if seen == draft_limit(window, stops):
            return seen
    return None


def _good(texts: Sequence[str | None], count: int, seen: int, stops: Sequence[str]) -> bool:
    """Whether the text may end after `count` of the `seen` tokens: between words, and not after a space.

    A space belongs to the word after it, as most tokenizers have it.
    """
    text = texts[count - 1]
    if not text or text.endswith(" ") or begins_stop(text, stops):
        return False
    return not is_wordy(text[-1]) or _starts_no_word(text, texts[count:seen])


def _starts_no_word(text: str, following: Sequence[str | None]) -> bool:
    """Whether what follows is known, and goes on with something else than a word's next letter."""
    longer = next((each for each in following if each is not None and len(each) > len(text)), None)
    return longer is not None and not is_wordy(longer[len(text)])


def _last_clear(texts: Sequence[str | None], seen: int, stops: Sequence[str]) -> int | None:
    """The last position between two characters where no stop string may have begun: a count of tokens."""
    for count in range(seen, 0, -1):
        text = texts[count - 1]
        if text and not begins_stop(text, stops):
            return count
    return None


def is_wordy(character: str) -> bool:
    """Whether a character is part of a word written with spaces around it."""
    return (character.isalnum() or character in INSIDE_WORDS) and not WITHOUT_SPACES.match(character)


def begins_stop(text: str, stops: Sequence[str]) -> bool:
    """Whether the text ends with what may be the beginning of a stop string."""
    return any(text.endswith(stop[:size]) for stop in stops for size in range(1, len(stop)))


def count_words(text: str) -> int:
    """Words between spaces, and each character of a script without spaces as one."""
    return len(WITHOUT_SPACES.sub(" ", text).split()) + len(WITHOUT_SPACES.findall(text))
