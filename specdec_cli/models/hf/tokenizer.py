"""Text to token ids and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from specdec_cli.errors import InputError
from specdec_cli.models.hf.chat_template import ChatTemplate
from specdec_cli.models.hf.quiet import first_line, quiet


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
        return bool(self.inner.chat_template)

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

    @cached_property
    def special_names(self) -> dict[int, str]:
        """The strings of the tokens that `decode` leaves out, by id."""
        names = {token: str(each) for token, each in self._added.items() if each.special}
        found = {each: self.inner.convert_tokens_to_ids(each) for each in self._special}
        return names | {int(token): each for each, token in found.items() if token is not None}

    @property
    def _added(self) -> dict[int, Any]:
        return dict(getattr(self.inner, "added_tokens_decoder", {}))

    @property
    def _special(self) -> list[str]:
        return [str(each) for each in self.inner.all_special_tokens]

    def token_of(self, text: str) -> int | None:
        """The id of an added or special token that is written just so; None where there is none."""
        names = {str(each): token for token, each in self._added.items()}
        names |= {name: token for token, name in self.special_names.items()}
        return names.get(text)

    def stand_in(self, rows: int) -> int:
        """An id below `rows` that says little: of the end of a text, of its start, of what is unknown."""
        inner = self.inner
        ids = (inner.eos_token_id, inner.bos_token_id, inner.unk_token_id, inner.pad_token_id, 0)
        return next(token for token in ids if token is not None and token < rows)

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
            InputError: the tokenizer has no chat template, or its template refuses these messages or leaves
                one of them out.
        """
        if not self.has_chat_template:
            raise InputError("The model's tokenizer has no chat template.", "Continue plain text with --raw.")
        return self._template.encode(messages)

    @cached_property
    def _template(self) -> ChatTemplate:
        return ChatTemplate(self.inner)

    @cached_property
    def turn_ends(self) -> frozenset[int]:
        """The special token that the chat template puts after an answer, if it does.

        Raises:
            InputError: there are several templates, and none is the default.
        """
        after = self._template.after_answer().strip() if self.has_chat_template else ""
        tokens = self.encode_plain(after)[:1] if after else []
        return frozenset(tokens) & self.special_names.keys()

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
        InputError: there is none, or it cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        with quiet():
            inner = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=trust_remote_code, local_files_only=True
            )
    except Exception as error:  # a damaged tokenizer.json raises a bare Exception
        hint = "A model folder needs its tokenizer too: tokenizer.json and tokenizer_config.json, as a rule."
        raise InputError(f"{folder} has no usable tokenizer: {first_line(error)}.", hint) from error
    _require_templates(inner.chat_template, folder)
    return Tokenizer(inner)


def _require_templates(templates: object, folder: Path) -> None:
    """Check that chat templates are texts: what stands in a file is kept by transformers as it is."""
    named = templates.values() if isinstance(templates, dict) else [templates]
    if not all(each is None or isinstance(each, str) for each in named):
        problem = f"{folder} has no usable tokenizer: its chat template is no text."
        raise InputError(problem, "Correct chat_template in tokenizer_config.json, or take it out.")
