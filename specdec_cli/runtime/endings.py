"""What ends a text under some settings, for a model's tokens."""

from __future__ import annotations

from collections.abc import Sequence

from specdec_cli.engine.text import Stops
from specdec_cli.models.loader import LoadedModel
from specdec_cli.settings import Settings

JOINED = 8  # tokens of a prompt that can change how the next one is written, and more than enough


def stops_of(model: LoadedModel, settings: Settings, *, chat: bool, prompt: Sequence[int] = ()) -> Stops:
    """The ids and the strings that end a text.

    A stop that is one special token is its id, whatever a text would make of it. In a chat the token that
    ends a turn ends the answer, whether or not the model's settings name it.

    Args:
        model: whose text it is.
        settings: with `stop` and `ignore_eos`; the latter does not concern what is asked for by `stop`.
        chat: whether the text is an answer in the chat template.
        prompt: ids before the text.
    """
    tokenizer = model.tokenizer
    own = model.stop_tokens | (tokenizer.turn_ends if chat else frozenset())
    named = {tokenizer.token_of(stop) for stop in settings.stop} - {None}
    reach = max([JOINED, *map(len, settings.stop)])
    return Stops(
        tokens=(frozenset() if settings.ignore_eos else own)
        | {token for token in named if token is not None},
        strings=settings.stop,
        names=tokenizer.special_names,
        before=tuple(prompt[-reach:]) if settings.stop else (),
    )
