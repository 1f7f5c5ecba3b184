"""Chat templates: what a conversation is in token ids, with nothing that was said left out.

A template is a program. Some want a message's content as a list of parts and pass over plain text without a
word, some know no system message, some refuse. So each order of roles is tried once with words that are easy
to find again: the form in which all of them come through is the one that conversations are given in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from specdec_cli.errors import InputError
from specdec_cli.models.quiet import first_line, quiet

TEXT, PARTS, PARTS_BUT_SYSTEM = "text", "parts", "parts but for the system message"
FORMS = (TEXT, PARTS, PARTS_BUT_SYSTEM)
SAID = {"system": "system message", "user": "prompt", "assistant": "earlier answer"}
RAW = "Continue plain text with --raw."
NO_SYSTEM = "Leave --system out, or continue plain text with --raw."


class ChatTemplate:
    """The chat template of a tokenizer.

    Args:
        inner: the Hugging Face tokenizer, which has one.

    Raises:
        InputError: it has several, and none is the default.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._name: str | None = None
        self._forms: dict[tuple[str, ...], str] = {}
        if isinstance(inner.chat_template, dict) and "default" not in inner.chat_template:
            names = sorted(inner.chat_template)
            if len(names) > 1:
                problem = f"The model has several chat templates and no default: {', '.join(names)}."
                raise InputError(problem, RAW)
            self._name = names[0]

    def encode(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Ids of a conversation up to where the answer starts.

        Args:
            messages: each with a `role` (system, user, assistant) and its `content`.

        Raises:
            InputError: the template refuses these messages, or leaves one of them out.
        """
        form = self._form(tuple(message["role"] for message in messages))
        try:
            return list(self._apply(messages, form, tokenize=True, return_dict=False))
        except Exception as error:  # a template can raise whatever Python can
            raise _refused(messages, error) from error

    def after_answer(self) -> str:
        """What the template puts after an answer that ends a conversation; empty where that is unknown."""
        messages = _probes(("user", "assistant"))
        try:
            form = self._form(("user", "assistant"))
            text: str = self._apply(messages, form, tokenize=False, add_generation_prompt=False)
        except Exception:  # then it ends an answer in no way that could be known
            return ""
        return text.rpartition(messages[-1]["content"])[2]

    def _form(self, roles: tuple[str, ...]) -> str:
        """The form in which a conversation of these roles comes through the template.

        Raises:
            InputError: there is none.
        """
        if roles not in self._forms:
            self._forms[roles] = self._try_forms(_probes(roles))
        return self._forms[roles]

    def _try_forms(self, probes: Sequence[Mapping[str, str]]) -> str:
        problems: list[InputError] = []
        for form in FORMS:
            try:
                text = self._apply(probes, form, tokenize=False)
            except Exception as error:  # a template can raise whatever Python can
                problems.append(_refused(probes, error))
                continue
            lost = [message["role"] for message in probes if message["content"] not in text]
            if not lost:
                return form
            what = SAID.get(lost[0], lost[0])
            hint = NO_SYSTEM if lost == ["system"] else RAW
            problems.append(InputError(f"The model's chat template leaves the {what} out.", hint))
        raise problems[0]

    def _apply(self, messages: Sequence[Mapping[str, str]], form: str, **options: Any) -> Any:
        conversation = [_formed(message, form) for message in messages]
        given = {"add_generation_prompt": True, "chat_template": self._name, **options}
        with quiet():
            return self._inner.apply_chat_template(conversation, **given)


def _probes(roles: Sequence[str]) -> list[dict[str, str]]:
    """A conversation of words that no template has by itself."""
    return [{"role": role, "content": f"{role}wording{place}"} for place, role in enumerate(roles)]


def _formed(message: Mapping[str, str], form: str) -> dict[str, Any]:
    whole = form == TEXT or (form == PARTS_BUT_SYSTEM and message["role"] == "system")
    text = message["content"]
    return {**message, "content": text if whole else [{"type": "text", "text": text}]}


def _refused(messages: Sequence[Mapping[str, str]], error: Exception) -> InputError:
    system = any(message["role"] == "system" for message in messages)
    problem = f"The model's chat template refuses this: {first_line(error)}."
    return InputError(problem, NO_SYSTEM if system else RAW)
