"""Which ids end a text: what the files say, what a chat template ends a turn with, what --stop names."""

import json

import pytest
import tiny_checkpoints as tiny

from specdec_cli.benchmarking.peers import transformers_peers
from specdec_cli.engine.roles import Step
from specdec_cli.engine.text import Detokenizer
from specdec_cli.models.hf.tokenizer import Tokenizer
from specdec_cli.models.loader import load_model
from specdec_cli.runtime.endings import stops_of
from specdec_cli.runtime.session import Session
from specdec_cli.settings import Settings, load_settings
from specdec_cli.specem.member import Asking, cut_draft

TURN = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}<|end|>\n{% endfor %}"
TURN += "{% if add_generation_prompt %}[assistant]{% endif %}"
WORDS = (*tiny.ASCII, "<|end|>", "<|other|>")
END, OTHER = len(WORDS) - 2, len(WORDS) - 1


@pytest.fixture
def folder(tmp_path):
    made = tiny.folder(tmp_path / "model", words=WORDS, initializer_range=0.5)
    inner = tiny.tokenizer(WORDS, template=TURN)
    inner.add_special_tokens({"additional_special_tokens": ["<|end|>", "<|other|>"]})
    inner.save_pretrained(made)
    return made


@pytest.mark.parametrize(
    ("config", "generation", "expected"),
    [
        ([7, 9], None, {1, 7, 9}),  # no generation settings: transformers takes the configuration's
        (7, {"eos_token_id": 9}, {1, 9}),
        (7, {"eos_token_id": [9, 11]}, {1, 9, 11}),
        ([7, 9], {}, {1, 7, 9}),  # silent ones leave the end to the configuration
        (None, {}, {1}),
    ],
)
def test_the_ends_of_all_files_count(folder, config, generation, expected):
    path = folder / "config.json"
    given = {**json.loads(path.read_text()), "eos_token_id": config}
    path.write_text(json.dumps({name: value for name, value in given.items() if value is not None}))
    settings = folder / "generation_config.json"
    settings.unlink() if generation is None else settings.write_text(json.dumps(generation))
    assert load_model(str(folder)).stop_tokens == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (TURN, {END}),
        (TURN.replace("<|end|>\n", " </s>"), {1}),
        (TURN.replace("<|end|>", ""), set()),
        (TURN.replace("<|end|>", "ab"), set()),
        (tiny.TEMPLATE, set()),
        ("{{ raise_exception('never') }}", set()),
        (None, set()),
    ],
)
def test_the_special_token_after_an_answer_ends_a_turn(folder, template, expected):
    inner = load_model(str(folder)).tokenizer.inner
    inner.chat_template = template
    assert Tokenizer(inner).turn_ends == expected


@pytest.mark.parametrize(
    ("given", "chat", "expected"),
    [
        ({}, False, {1}),
        ({}, True, {1, END}),
        ({"ignore_eos": True}, True, set()),
        ({"stop": ("<|other|>",)}, False, {1, OTHER}),
        ({"stop": ("</s>", "and"), "ignore_eos": True}, True, {1}),
        ({"stop": ("<|end|>\n",)}, False, {1}),
    ],
)
def test_a_stop_that_is_a_special_token_is_a_stop_id(folder, given, chat, expected):
    found = stops_of(load_model(str(folder)), Settings(target="t", **given), chat=chat, prompt=range(50))
    assert found.tokens == expected
    assert found.strings == given.get("stop", ())
    assert found.names == {0: "<s>", 1: "</s>", END: "<|end|>", OTHER: "<|other|>"}
    assert found.before == (tuple(range(50 - max(8, *map(len, found.strings)), 50)) if found.strings else ())


def steps(folder, method, **changes):
    draft = {} if method in ("autoregressive", "ngram") else {"draft": "layers:1"}
    flags = {"target": str(folder), "method": method, "dtype": "float32", "temperature": 0.0, "chat": False}
    flags |= {"max_tokens": 20, **draft, **changes}
    session = Session.load(load_settings(flags=flags, environ={}).settings)
    prompt = session.encode("on and on and on")
    completion = session.completion(prompt)
    for step in session.steps(prompt):
        completion.add(step)
    completion.finish()
    return completion


@pytest.mark.parametrize("method", ["autoregressive", "sps", "specexec", "sequoia", "ngram"])
def test_every_method_ends_at_a_special_token_that_is_a_stop(folder, method):
    whole = steps(folder, "autoregressive", ignore_eos=True)
    index = next(index for index, token in enumerate(whole.tokens) if index > 5 and token > 1)
    token = whole.tokens[index]
    inner = load_model(str(folder)).tokenizer.inner
    inner.add_special_tokens({"additional_special_tokens": [inner.convert_ids_to_tokens(token)]})
    inner.save_pretrained(folder)
    first = whole.tokens.index(token)
    found = steps(folder, method, ignore_eos=True, stop=[inner.convert_ids_to_tokens(token)])
    assert found.tokens == whole.tokens[: first + 1]
    assert found.finish_reason == "stop"
    assert found.text == inner.decode(found.tokens, skip_special_tokens=True)


@pytest.mark.parametrize(
    ("stop", "shown", "finished"),
    [
        ("<|other|>", "on and", True),
        ("d<|other|>", "on an", True),
        ("<|other|>on", "on and", True),
        ("ndon", "on andon", False),
    ],
)
def test_a_segment_of_specem_ends_at_special_tokens_too(folder, stop, shown, finished):
    loaded = load_model(str(folder))
    tokenizer, stops = loaded.tokenizer, stops_of(loaded, Settings(target="t", stop=(stop,)), chat=False)
    asking = Asking(lambda _: [], "", stops.strings, stops.tokens, (1,), joined=False, names=stops.names)
    tokens = tuple(tokenizer.encode_plain("on and<|other|>on"))
    steps = [Step(tokens[:9], 0, 0, 0, 0.0, 0.0, 0.0), Step(tokens[9:], 0, 0, 0, 0.0, 0.0, 0.0)]
    found = cut_draft(steps, Detokenizer(tokenizer.decode), 40, asking)
    assert (found.text, found.finished) == (shown, finished)


def test_the_transformers_peer_stops_where_this_engine_does(folder):
    whole = steps(folder, "autoregressive", ignore_eos=True)
    stop = whole.text[6:9]
    flags = {"target": str(folder), "method": "autoregressive", "dtype": "float32", "temperature": 0.0}
    flags |= {"max_tokens": 20, "chat": False, "ignore_eos": True, "stop": [stop]}
    session = Session.load(load_settings(flags=flags, environ={}).settings)
    prompt = session.encode("on and on and on")
    ours = [token for step in session.steps(prompt) for token in step.tokens]
    assert len(ours) < len(whole.tokens)
    for peer in transformers_peers(session, session.settings).values():
        assert [token for step in peer.run(prompt, session.settings) for token in step.tokens] == ours
