"""Text to token ids and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from specdec_cli.errors import InputError, SpecdecError
from specdec_cli.models.quiet import first_line, quiet


class Tokenizer:
    """A Hugging Face tokenizer with one way of doing each thing.

    Attributes:
        inner: the Hugging Face tokenizer.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    @property
    def size(self) -> int:
        """Number of tokens, added ones included; a model may have more logits than that."""
        return len(self.inner)

    @property
    def has_chat_template(self) -> bool:
        """Whether the model was trained on conversations in a form that the tokenizer knows."""
        return self.inner.chat_template is not None

    @property
    def stop_tokens(self) -> frozenset[int]:
        """The tokenizer's own end-of-text token, if it has one."""
        stop = self.inner.eos_token_id
        return frozenset() if stop is None else frozenset({int(stop)})

    @property
    def special_tokens(self) -> dict[str, str]:
        """The token strings that play a part, by part: `eos_token`, `bos_token`..."""
        return {
            part: str(token) for part, token in self.inner.special_tokens_map.items() if token is not None
        }

    def encode(self, text: str) -> list[int]:
        """Ids of raw text, to be continued: with the opening token if the tokenizer adds one by itself.

        A closing token that it would add is left out, since nothing should follow one.
        """
        tokens = list(self.inner(text, add_special_tokens=True, verbose=False)["input_ids"])
        if tokens and tokens[-1] in self.stop_tokens:
            plain = self.inner(text, add_special_tokens=False, verbose=False)["input_ids"]
            if not plain or plain[-1] != tokens[-1]:
                tokens.pop()
        return tokens

    def encode_plain(self, text: str, *, split_special: bool = False) -> list[int]:
        """Ids of a piece of text, with nothing before or after it.

        Args:
            text: what to write in tokens.
            split_special: write what looks like a special token in ordinary ones.
        """
        options = {"split_special_tokens": True} if split_special else {}
        return list(self.inner(text, add_special_tokens=False, verbose=False, **options)["input_ids"])

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Ids of a conversation, up to where the assistant's answer starts.

        Args:
            messages: each with a `role` (system, user, assistant) and its `content`.

        Raises:
            InputError: the tokenizer has no chat template, or its template refuses these messages.
        """
        if not self.has_chat_template:
            raise InputError("The model's tokenizer has no chat template.", "Continue plain text with --raw.")
        from jinja2.exceptions import TemplateError

        conversation = [dict(message) for message in messages]
        try:
            tokens = self.inner.apply_chat_template(
                conversation, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        except TemplateError as error:
            hint = "Leave --system out, or continue plain text with --raw."
            raise InputError(f"The model's chat template refuses this: {first_line(error)}.", hint) from error
        return list(tokens)

    def chat_frame(self) -> tuple[list[int], list[int], list[int]]:
        """What the chat template puts before a user's text, between it and the answer, and after the answer.

        Raises:
            InputError: there is no template, or it changes what is said.
        """
        said = ("(first question)", "(first answer)", "(second question)")
        roles = ("user", "assistant", "user")
        turns = [{"role": role, "content": text} for role, text in zip(roles, said, strict=True)]
        rest = self.decode(self.encode_chat(turns), skip_special=False)
        pieces: list[list[int]] = []
        for text in said:
            before, found, rest = rest.partition(text)
            if not found:
                raise InputError("The model's chat template changes what is said.", "Use --raw.")
            pieces.append(self.encode_plain(before))
        return pieces[0], pieces[1], pieces[2]

    def decode(self, tokens: Sequence[int], *, skip_special: bool = True) -> str:
        """The text of these ids, spaces as they are."""
        text = self.inner.decode(
            list(tokens), skip_special_tokens=skip_special, clean_up_tokenization_spaces=False
        )
        return str(text)

    def vocabulary(self) -> dict[str, int]:
        """Every token string, added ones included, and its id."""
        return dict(self.inner.get_vocab())


def read_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Tokenizer:
    """The tokenizer in a model folder.

    Raises:
        SpecdecError: there is none, or it cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        with quiet():
            inner = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=trust_remote_code, local_files_only=True
            )
    except Exception as error:  # a damaged tokenizer.json raises a bare Exception
        hint = "A model folder needs its tokenizer too: tokenizer.json and tokenizer_config.json, as a rule."
        raise SpecdecError(f"{folder} has no usable tokenizer: {first_line(error)}.", hint) from error
    return Tokenizer(inner)
