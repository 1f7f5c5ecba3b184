"""Chat templates: nothing that was said is left out, and what a template refuses is one line."""

import pytest
import tiny_checkpoints as tiny

from specdec_cli.errors import InputError
from specdec_cli.models.hf import chat_template
from specdec_cli.models.hf.chat_template import LARGEST
from specdec_cli.models.hf.tokenizer import Tokenizer, read_tokenizer

START = "{% for m in messages %}{{ m['role'] }}:"
END = "|{% endfor %}assistant:"
PARTS = (
    START
    + "{% for part in m['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
)
PARTS += END
EITHER = START + "{% if m['content'] is string %}{{ m['content'] }}{% else %}parts{% endif %}" + END
MIXED = "{% if messages[0]['role'] == 'system' %}{{ '<' + messages[0]['content'] + '>' }}"
MIXED += "{% set messages = messages[1:] %}"
MIXED += "{% endif %}" + PARTS
NO_SYSTEM = "{% for m in messages if m['role'] != 'system' %}{{ m['role'] }}:{{ m['content'] }}" + END
REFUSES = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
)
REFUSES += tiny.TEMPLATE
LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}" + tiny.TEMPLATE
HUGE = "{% set x = 'x' * 9999999999 %}" + tiny.TEMPLATE
LONG = "{% for i in range(99999) %}twelve chars{% endfor %}" + tiny.TEMPLATE
POWER = "{% if 2 ** 3 == 8 %}{% endif %}" + tiny.TEMPLATE
MARKED_POWER = f"{{% generation %}}{POWER}{{% endgeneration %}}"
QUESTION = [{"role": "user", "content": "hi {{ 1 }} ' \" there"}]
WITH_SYSTEM = [{"role": "system", "content": "be kind"}, *QUESTION]
ASKED = "user:hi {{ 1 }} ' \" there|assistant:"


def tokenizer(template, adds=""):
    return Tokenizer(tiny.tokenizer(template=template, adds=adds))


@pytest.mark.parametrize(
    ("template", "messages", "expected"),
    [
        (tiny.TEMPLATE, QUESTION, ASKED),
        (tiny.TEMPLATE, WITH_SYSTEM, f"system:be kind|{ASKED}"),
        (PARTS, QUESTION, ASKED),
        (PARTS, WITH_SYSTEM, f"system:be kind|{ASKED}"),
        (EITHER, WITH_SYSTEM, f"system:be kind|{ASKED}"),
        (MIXED, QUESTION, ASKED),
        (MIXED, WITH_SYSTEM, f"<be kind>{ASKED}"),
        (NO_SYSTEM, QUESTION, ASKED),
        (REFUSES, QUESTION, ASKED),
        ({"default": tiny.TEMPLATE, "tool_use": PARTS}, QUESTION, ASKED),
        ({"chat": PARTS}, QUESTION, ASKED),
        ("{{ strftime_now('%Y') | length }}" + tiny.TEMPLATE, QUESTION, f"4{ASKED}"),
        ("{% if tools %}tools{% endif %}" + tiny.TEMPLATE, QUESTION, ASKED),
        ("{% if enable_thinking is defined %}x{% endif %}" + tiny.TEMPLATE, QUESTION, ASKED),
        (tiny.TEMPLATE.replace("m['content']", "m['content'] | trim"), QUESTION, ASKED),
    ],
)
def test_a_conversation_comes_through_whole(template, messages, expected):
    made = tokenizer(template)
    assert made.decode(made.encode_chat(messages)) == expected


SYSTEM, RAW = "Leave --system out, or continue plain text with --raw.", "Continue plain text with --raw."
SEVERAL = "The model has several chat templates and no default: rag, tool_use."


@pytest.mark.parametrize(
    ("template", "messages", "problem", "hint"),
    [
        ({"tool_use": PARTS, "rag": PARTS}, QUESTION, SEVERAL, RAW),
        (NO_SYSTEM, WITH_SYSTEM, "The model's chat template leaves the system message out.", SYSTEM),
        (5, QUESTION, "The model's chat template is no text.", RAW),
        ("assistant:", QUESTION, "The model's chat template leaves the prompt out.", RAW),
        (
            "{{ messages[0]['content'] }}",
            WITH_SYSTEM,
            "The model's chat template leaves the prompt out.",
            RAW,
        ),
        (REFUSES, WITH_SYSTEM, "The model's chat template refuses this: System role not supported.", SYSTEM),
        (LOOPS, QUESTION, "The model's chat template takes longer than 0.2 seconds.", RAW),
        (HUGE, QUESTION, "The model's chat template wants more than 64 MiB of memory.", RAW),
        (LONG, QUESTION, "The model's chat template adds more than 1,048,576 characters.", RAW),
        (POWER, QUESTION, "The model's chat template computes powers, which have no bound.", RAW),
        (MARKED_POWER, QUESTION, "The model's chat template computes powers, which have no bound.", RAW),
        ("x" * (LARGEST + 1), QUESTION, "The model's chat template has more than 1,048,576 characters.", RAW),
        ("{{ raise_exception('no') }}", QUESTION, "The model's chat template refuses this: no.", RAW),
        ("{% for %}", QUESTION, "The model's chat template refuses this: ", RAW),
        ("{{ 1 + 'a' }}", QUESTION, "The model's chat template refuses this: ", RAW),
        ("{{ nothing.at.all }}", QUESTION, "The model's chat template refuses this: ", RAW),
        ("{{ messages[7]['content']['x'] }}", QUESTION, "The model's chat template refuses this: ", RAW),
    ],
)
def test_a_template_that_cannot_say_it_is_the_users_error(template, messages, problem, hint, monkeypatch):
    monkeypatch.setattr(chat_template, "SECONDS", 0.2 if template is LOOPS else chat_template.SECONDS)
    monkeypatch.setattr(chat_template, "MEMORY", 64 << 20 if template is HUGE else chat_template.MEMORY)
    with pytest.raises(InputError) as caught:
        tokenizer(template).encode_chat(messages)
    assert caught.value.problem.startswith(problem)
    assert "\n" not in caught.value.problem
    assert (caught.value.hint, caught.value.exit_code) == (hint, 2)


@pytest.mark.parametrize("template", ["", {}])
def test_an_empty_template_is_none(template):
    assert not tokenizer(template).has_chat_template


@pytest.mark.parametrize("adds", ["", "<s> $A", "<s> $A </s>"])
def test_the_opening_token_stands_once_whoever_adds_it(adds):
    made = tokenizer("{{ bos_token }}" + tiny.TEMPLATE, adds)
    tokens = made.encode_chat(QUESTION)
    assert tokens[0] == 0
    assert tokens.count(0) == 1
    assert 1 not in tokens


def test_templates_in_files_of_their_own_are_read(tmp_path):
    folder = tiny.folder(tmp_path / "model", template=None)
    (folder / "chat_template.jinja").write_text(PARTS)
    assert read_tokenizer(folder).encode_chat(QUESTION) == tokenizer(tiny.TEMPLATE).encode_chat(QUESTION)
    more = folder / "additional_chat_templates"
    more.mkdir()
    (more / "rag.jinja").write_text("{{ raise_exception('not this one') }}")
    assert read_tokenizer(folder).encode_chat(QUESTION) == tokenizer(tiny.TEMPLATE).encode_chat(QUESTION)
    (folder / "chat_template.jinja").rename(more / "chat.jinja")
    with pytest.raises(InputError, match=r"no default: chat, rag"):
        read_tokenizer(folder).encode_chat(QUESTION)


def test_the_frame_of_a_dialogue_is_the_same_in_parts():
    assert tokenizer(PARTS).chat_frame() == tokenizer(tiny.TEMPLATE).chat_frame()
    with pytest.raises(InputError, match="leaves the prompt out"):
        tokenizer("assistant:").chat_frame()
