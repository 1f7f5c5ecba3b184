"""Targets whose tokens their drafts cannot read: added ones, padded ones. The text stays plain decoding's."""

from typing import Any

import pytest
import tiny_checkpoints as tiny

from specdec_cli.benchmarking.peers import ASSISTED, transformers_peers
from specdec_cli.errors import MismatchError
from specdec_cli.runtime.session import Session
from specdec_cli.settings import load_settings
from specdec_cli.settings.draft_spec import parse_draft
from specdec_cli.tracing.record import traced
from specdec_cli.tracing.watching import watch

ADDED = ("<|turn|>", "<|end|>")
WORDS = (*tiny.ASCII, *ADDED)
CHAT = "{% for m in messages %}<|turn|>{{ m['content'] }}<|end|>{% endfor %}<|turn|>"
LENGTH = 24
METHODS: dict[str, dict[str, Any]] = {
    "sps": {"gamma": 3},
    "sps-block": {"verify": "block"},
    "specexec": {"max_budget": 8},
    "specexec-coupled": {"coupled": True, "temperature": 1.0, "max_budget": 8},
    "specinfer": {"tree": "2^3"},
    "rrsw": {"tree": "2^3"},
    "sequoia": {"max_budget": 8},
    "spechub": {"tree": "2^3"},
    "kseq": {"tree": "2^3"},
    "topk": {"tree": "2^3"},
    "sps-ngram+": {"before": "ngram+"},
}
TARGETS: dict[str, dict[str, Any]] = {
    "added": {"words": WORDS},
    "padded": {"vocab_size": 2 * len(tiny.ASCII)},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    strong = {"initializer_range": 0.5}
    found = {"draft": tiny.folder(root / "draft", words=tiny.ASCII, **strong)}
    for name, given in TARGETS.items():
        found[name] = tiny.folder(root / name, **{"words": tiny.ASCII, "template": CHAT, **given}, **strong)
    inner = tiny.tokenizer(WORDS, template=CHAT)
    inner.add_special_tokens({"additional_special_tokens": list(ADDED)})
    inner.save_pretrained(found["added"])
    return {name: str(path) for name, path in found.items()}


def session(folders, target, method, **changes):
    given = {
        "target": folders.get(target, target),
        "method": method,
        "dtype": "float32",
        "max_tokens": LENGTH,
    }
    flags = {**given, "temperature": 0.0, "ignore_eos": True, **changes}
    return Session.load(load_settings(flags=flags, environ={}).settings)


def text(made, prompt="hello there"):
    return [token for step in made.steps(made.encode(prompt)) for token in step.tokens]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", METHODS)
def test_every_method_gives_plain_decodings_text(folders, target, case):
    changes = dict(METHODS[case])
    draft = changes.pop("before", "") + folders["draft"]
    made = session(folders, target, case.partition("-")[0], draft=draft, **changes)
    plain = session(folders, target, "autoregressive", temperature=changes.get("temperature", 0.0))
    expected = text(plain)
    assert max(expected) >= len(tiny.ASCII), "the target has to say what the draft cannot read"
    assert made.uses_chat
    if case == "specexec-coupled" or not changes.get("temperature"):
        assert text(made) == expected


@pytest.mark.parametrize("target", TARGETS)
def test_drafts_stay_of_use_after_a_token_that_they_cannot_read(folders, target):
    made = session(folders, target, "sps", draft=folders["draft"], gamma=3)
    assert all(step.drafted == 3 for step in list(made.steps(made.encode("hello")))[:3])


@pytest.mark.parametrize("target", TARGETS)
def test_what_a_draft_thinks_can_be_looked_at_and_traced(folders, target):
    made = session(folders, target, "specexec", draft=folders["draft"], max_budget=4)
    prompt = made.encode("hello")
    for view in watch(made, prompt, made.settings):
        assert all(row.shape == (made.runner().vocab_size,) for row in view.draft_logits.values())
        assert traced(view, made.settings, 8).emitted
    rows = made.logits(prompt, [len(tiny.ASCII), 3], draft=parse_draft(folders["draft"]))
    assert rows.shape == (2, len(tiny.ASCII))


@pytest.mark.parametrize("target", TARGETS)
def test_transformers_is_given_the_draft_as_its_assistant_too(folders, target):
    made = session(folders, target, "sps", draft=folders["draft"])
    prompt = made.encode("hello")
    steps = transformers_peers(made, made.settings)[ASSISTED].run(prompt, made.settings)
    assert sum(len(step.tokens) for step in steps) == LENGTH


def test_an_ensemble_shares_the_tokens_that_both_pad_beyond(folders, tmp_path):
    wide = tiny.folder(tmp_path / "wide", words=tiny.ASCII, vocab_size=len(tiny.ASCII) + 40, seed=3)
    models = (folders["draft"], str(wide))
    found = []
    for execution in ("plain", "sd", "chef"):
        made = session(folders, models[0], "we", models=models, exec=execution)
        found.append(text(made))
    assert found[0] == found[1] == found[2]
    assert max(found[0]) < len(tiny.ASCII)


@pytest.mark.parametrize("chat", [True, False])
def test_a_prompt_of_tokens_that_the_target_itself_cannot_read_is_refused(folders, tmp_path, chat):
    folder = tiny.folder(tmp_path / "model", words=tiny.ASCII)
    inner = tiny.tokenizer(tiny.ASCII, template=CHAT)
    inner.add_special_tokens({"additional_special_tokens": list(ADDED)})
    inner.save_pretrained(folder)
    made = session(folders, str(folder), "autoregressive", chat=chat)
    with pytest.raises(MismatchError, match=f"the token {len(tiny.ASCII) + 1:,}, and") as caught:
        made.encode("hello<|end|>")
    assert caught.value.exit_code == 3


def test_the_stand_in_is_a_token_that_the_draft_can_read(folders):
    tokenizer = session(folders, "added", "autoregressive").target.tokenizer
    assert tokenizer.stand_in(len(WORDS)) == 1
    assert tokenizer.stand_in(1) == 0
    tokenizer.inner.eos_token = ADDED[1]
    assert tokenizer.stand_in(len(tiny.ASCII)) == 0
    assert tokenizer.stand_in(len(WORDS)) == len(WORDS) - 1
