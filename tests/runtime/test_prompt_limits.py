"""How long a prompt may be, before and after it is cut into tokens."""

import pytest

from specdec_cli.errors import InputError
from specdec_cli.runtime.prompt_limits import (
    LONGEST_PROMPT,
    LONGEST_TOKEN,
    require_characters,
    require_tokens,
)


@pytest.mark.parametrize("context", [1, 128, 8192])
def test_a_prompt_of_more_characters_than_a_context_can_have_is_refused_uncut(context):
    require_characters("x" * (context * LONGEST_TOKEN), context)
    with pytest.raises(InputError, match=f"no more than {context * LONGEST_TOKEN:,} are read"):
        require_characters("x" * (context * LONGEST_TOKEN + 1), context)


def test_without_a_limit_of_the_context_there_is_one_all_the_same():
    with pytest.raises(InputError, match="no more than 16,777,216"):
        require_characters("x" * (LONGEST_PROMPT + 1), 1 << 30)


@pytest.mark.parametrize("prompt", ["", " \n"])
def test_a_prompt_of_nothing_is_refused(prompt):
    with pytest.raises(InputError, match="is empty"):
        require_characters(prompt, 128)


@pytest.mark.parametrize(
    ("length", "wanted", "problem"),
    [
        (0, 1, "has no tokens"),
        (128, 1, "has 128 tokens and the context of it holds 128"),
        (100, 29, "of 100 tokens and 29 more exceed the context of 128"),
    ],
)
def test_a_prompt_that_leaves_no_room_is_refused(length, wanted, problem):
    with pytest.raises(InputError, match=problem):
        require_tokens(length, wanted, 128, "it")


def test_a_prompt_and_answer_that_fill_the_context_are_taken():
    require_tokens(100, 28, 128, "it")
    with pytest.raises(InputError):
        require_tokens(100, 29, 128, "it")
