"""Chat templates: what a conversation is in token ids, with nothing that was said left out.

A template is a program. Some want a message's content as a list of parts and pass over plain text without a
word, some know no system message, some refuse. So each order of roles is tried once with words that are easy
to find again: the form in which all of them come through is the one that conversations are given in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from specdec_cli.errors import InputError
from specdec_cli.models.hf.bounded_work import bounded
from specdec_cli.models.hf.quiet import first_line, quiet

TEXT, PARTS, PARTS_BUT_SYSTEM = "text", "parts", "parts but for the system message"
FORMS = (TEXT, PARTS, PARTS_BUT_SYSTEM)
SAID = {"system": "system message", "user": "prompt", "assistant": "earlier answer"}
RAW = "Continue plain text with --raw."
SECONDS = 5.0  # that a template may take, and
MEMORY = 256 << 20  # what it may want: it is a program that came with a file
LONGEST = 1 << 20  # characters that it may add to what is said
LARGEST = 1 << 20  # characters of a template
NO_SYSTEM = "Leave --system out, or continue plain text with --raw."


class ChatTemplate:
    """The chat template of a tokenizer.

    Args:
        inner: the Hugging Face tokenizer, which has one.

    Raises:
        InputError: it has several, and none is the default; or it is no text, too large, or computes powers.
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
        template = inner.get_chat_template(self._name)
        if not isinstance(template, str):
            raise InputError("The model's chat template is no text.", RAW)
        _require_harmless(template)

    def encode(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Ids of a conversation up to where the answer starts.

        Args:
            messages: each with a `role` (system, user, assistant) and its `content`.

        Raises:
            InputError: the template refuses these messages, or leaves one of them out.
        """
        form = self._form(tuple(message["role"] for message in messages))
        try:
            text = self._apply(messages, form)
        except InputError:
            raise
        except Exception as error:  # a template can raise whatever Python can
            raise _refused(messages, error) from error
        return list(self._inner(text, add_special_tokens=False, verbose=False)["input_ids"])

    def after_answer(self) -> str:
        """What the template puts after an answer that ends a conversation; empty where that is unknown."""
        messages = _probes(("user", "assistant"))
        try:
            form = self._form(("user", "assistant"))
            text = self._apply(messages, form, add_generation_prompt=False)
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
                text = self._apply(probes, form)
            except InputError:
                raise
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

    def _apply(
        self, messages: Sequence[Mapping[str, str]], form: str, *, add_generation_prompt: bool = True
    ) -> str:
        """The text of a conversation.

        Raises:
            InputError: the template takes too long, or makes too much of it.
        """
        conversation = [_formed(message, form) for message in messages]
        with quiet(), bounded("The model's chat template", RAW, seconds=SECONDS, memory=MEMORY):
            text: str = self._inner.apply_chat_template(
                conversation,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                chat_template=self._name,
            )
        if len(text) > LONGEST + sum(len(message["content"]) for message in messages):
            raise InputError(f"The model's chat template adds more than {LONGEST:,} characters.", RAW)
        return text


def _require_harmless(template: str) -> None:
    """Refuse what would be computed without end in one operation, which no alarm breaks off."""
    from jinja2 import Environment, TemplateError, nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser

    class Generation(Extension):
        """The tag by which training code marks answers."""

        tags = {"generation"}  # noqa: RUF012 (as jinja2 declares it)

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    if len(template) > LARGEST:
        raise InputError(f"The model's chat template has more than {LARGEST:,} characters.", RAW)
    environment = Environment(extensions=["jinja2.ext.loopcontrols", Generation])
    try:
        powers = environment.parse(template).find(nodes.Pow)
    except (TemplateError, RecursionError):  # told when it is used, or of a tag that transformers knows
        return
    if powers is not None:
        raise InputError("The model's chat template computes powers, which have no bound.", RAW)


def _probes(roles: Sequence[str]) -> list[dict[str, str]]:
    """A conversation of words that no template has by itself."""
    return [{"role": role, "content": f"{role}wording{index}"} for index, role in enumerate(roles)]


def _formed(message: Mapping[str, str], form: str) -> dict[str, Any]:
    whole = form == TEXT or (form == PARTS_BUT_SYSTEM and message["role"] == "system")
    text = message["content"]
    return {**message, "content": text if whole else [{"type": "text", "text": text}]}


def _refused(messages: Sequence[Mapping[str, str]], error: Exception) -> InputError:
    system = any(message["role"] == "system" for message in messages)
    problem = f"The model's chat template refuses this: {first_line(error)}."
    return InputError(problem, NO_SYSTEM if system else RAW)
