"""The tokenizer of a GGUF file: each switch of its header does what it says, or is refused by name."""

from typing import Any

import gguf_files as files
import pytest
import tiny_checkpoints as tiny
from typer.testing import CliRunner

from specdec_cli.cli.app import app
from specdec_cli.errors import InputError
from specdec_cli.models.hub import gguf
from specdec_cli.models.loader import load_model, load_tokenizer_only

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
PIECES = ["▁", *"abcd", "ab", "▁a", "▁ab", "bc", "<user>", "▁▁"]
SPM = ["<unk>", "<s>", "</s>", *BYTES, *PIECES]
SCORES = [0.0] * 259 + [-9.0, -9.0, -9.0, -9.0, -9.0, -2.0, -1.5, -1.0, -0.5, 0.0, -3.0]
SENTENCE_PIECE = {
    "model": "llama",
    "pre": None,
    "merges": None,
    "tokens": SPM,
    "scores": SCORES,
    "token_type": [2, 3, 3, *[6] * 256, *[1] * 9, 4, 1],
    "bos_token_id": None,
    "eos_token_id": None,
}


def tokenizer(tmp_path, **words):
    tokens = words.get("tokens", tiny.WORDS)
    path, _ = files.llama(tmp_path / "m.gguf", words=words, vocab_size=len(tokens))
    return load_tokenizer_only(str(path))[0]


def pieces(read, text):
    return read.inner.convert_ids_to_tokens(read.encode(text))


def spm(tmp_path, **words):
    return tokenizer(tmp_path, **{**SENTENCE_PIECE, **words})


@pytest.mark.parametrize(
    ("switch", "text", "expected"),
    [
        (None, "ab a", ["<s>", "▁ab", "▁a"]),
        (True, "ab a", ["<s>", "▁ab", "▁a"]),
        (False, "ab a", ["<s>", "ab", "▁a"]),
        (True, " ab", ["<s>", "▁", "▁ab"]),  # the prefix is added whatever follows
        (False, " ab", ["<s>", "▁ab"]),
        (True, "a</s>ab", ["<s>", "▁a", "</s>", "▁ab"]),  # and after every special token
        (False, "a</s>ab", ["<s>", "a", "</s>", "ab"]),
        (False, "abc", ["<s>", "a", "bc"]),  # the better score is merged first
        (False, "é", ["<s>", "<0xC3>", "<0xA9>"]),
        (False, "a<user>a", ["<s>", "a", "<user>", "a"]),
    ],
)
def test_add_space_prefix_of_a_sentencepiece_vocabulary(tmp_path, switch, text, expected):
    read = spm(tmp_path, add_space_prefix=switch)
    assert pieces(read, text) == expected
    assert read.decode(read.encode("ab a")) == "ab a"


@pytest.mark.parametrize(
    ("kind", "pre", "switch", "opens"),
    [
        ("llama", None, None, True),
        ("llama", None, True, True),
        ("llama", None, False, False),
        ("gpt2", "default", None, False),
        ("gpt2", "default", True, True),
        ("gpt2", "default", False, False),
        ("gpt2", "llama-bpe", None, True),  # as llama.cpp takes for granted
        ("gpt2", "llama-bpe", False, False),
        ("gpt2", "qwen2", None, False),
    ],
)
def test_add_bos_token_opens_a_text(tmp_path, kind, pre, switch, opens):
    words = {"pre": pre, "add_bos_token": switch}
    read = spm(tmp_path, **words) if kind == "llama" else tokenizer(tmp_path, **words)
    assert (read.encode("ab")[0] == read.inner.bos_token_id) == opens
    assert read.inner.convert_ids_to_tokens(read.inner.bos_token_id) == "<s>"


def test_add_eos_token_closes_a_text_for_those_who_do_not_go_on(tmp_path):
    read = tokenizer(tmp_path, add_eos_token=True)
    assert read.inner("ab")["input_ids"][-1] == 1
    assert read.encode("ab")[-1] != 1
    assert tokenizer(tmp_path, add_eos_token=False).inner("ab")["input_ids"][-1] != 1


DIGITS = [*tiny.WORDS, "12", "123", "1234", "xyz", "Ġ1"]
MERGES = {
    "tokens": DIGITS,
    "merges": ["a b", "1 2", "12 3", "123 4", "Ġ 1"],
    "token_type": [3, 3, *[1] * 262],
}


@pytest.mark.parametrize(
    ("pre", "text", "expected"),
    [
        ("default", "12345", ["1234", "5"]),
        (None, "12345", ["1234", "5"]),
        ("gpt-2", "a 1", ["a", "Ġ1"]),
        ("smollm", "a 12", ["a", "Ġ", "1", "2"]),
        ("llama-bpe", "12345", ["123", "4", "5"]),
        ("qwen2", "12345", ["1", "2", "3", "4", "5"]),
        ("tekken", "12345", ["1", "2", "3", "4", "5"]),
        ("gpt-4o", "12345", ["123", "4", "5"]),
        ("default", "xyz", ["x", "y", "z"]),
        ("llama-bpe", "xyz", ["xyz"]),  # a piece that is a token needs no merges
        ("tekken", "xyz", ["xyz"]),
        ("qwen2", "xyz", ["x", "y", "z"]),
        ("qwen2", "e\u0301", ["Ã", "©"]),  # composed first
        ("default", "e\u0301", ["e", "Ì", "ģ"]),
    ],
)
def test_pre_cuts_text_as_the_vocabularys_own_tokenizer_does(tmp_path, pre, text, expected):
    assert pieces(tokenizer(tmp_path, pre=pre, add_bos_token=False, **MERGES), text) == expected


def test_control_tokens_are_special_and_user_defined_ones_are_text(tmp_path):
    tokens = [*tiny.WORDS, "<｜User｜>", "<think>"]
    read = tokenizer(tmp_path, tokens=tokens, token_type=[3, 3, *[1] * 257, 3, 4])
    ids = read.encode("a<｜User｜>b<think>c")
    assert ids[1] == len(tiny.WORDS)
    assert ids[3] == len(tiny.WORDS) + 1
    assert read.decode(ids) == "ab<think>c"


@pytest.mark.parametrize(("name", "swallows"), [("Phi-3 mini", True), ("Other", False), (None, False)])
def test_phi_3s_special_tokens_swallow_the_white_space_behind_them(tmp_path, name, swallows):
    read = spm(tmp_path, add_space_prefix=False, **{"general.name": name})
    assert pieces(read, "a</s> a") == (["<s>", "a", "</s>", "a"] if swallows else ["<s>", "a", "</s>", "▁a"])


@pytest.mark.parametrize(
    ("words", "stops"),
    [
        ({}, {1}),
        ({"eot_token_id": 5}, {1, 5}),
        ({"eot_token_id": 5, "eom_token_id": 6}, {1, 5, 6}),
        ({"eot_token_id": 1}, {1}),
        ({"eos_token_id": None, "eot_token_id": 5}, {5}),
    ],
)
def test_every_end_that_the_file_names_ends_the_answer(tmp_path, words, stops):
    path, _ = files.llama(tmp_path / "m.gguf", words=words)
    assert load_model(str(path), dtype="float32").stop_tokens == stops


def test_templates_by_name_are_kept(tmp_path):
    plain, tools = ("{{ '" + name + "' + messages[0]['content'] }}" for name in ("plain", "tools"))
    words = {"tokenizer.chat_template": plain, "tokenizer.chat_template.tool_use": tools}
    read = tokenizer(tmp_path, **words)
    assert read.inner.chat_template == {"default": plain, "tool_use": tools}
    assert read.decode(read.encode_chat([{"role": "user", "content": "x"}])) == "plainx"


REFUSED: dict[str, dict[str, Any]] = {
    "of the kind 'bert'": {"model": "bert"},
    "of the kind 't5'": {"model": "t5"},
    "of the kind 'rwkv'": {"model": "rwkv"},
    "of the kind None": {"model": None},
    "pre is 'chatglm-bpe'": {"pre": "chatglm-bpe"},
    "remove_extra_whitespaces = True": {"remove_extra_whitespaces": True},
    "add_sep_token = True": {"add_sep_token": True},
    "add_space_prefix is set for a byte-level": {"add_space_prefix": True},
    "add_bos_token is 'yes'": {"add_bos_token": "yes"},
    "add_bos_token is set, and the file names no such": {"add_bos_token": True, "bos_token_id": None},
    "precompiled_charsmap = ": {"precompiled_charsmap": [1, 2, 3]},
    "normalizer.lowercase = True": {
        "normalizer.lowercase": None,
        "tokenizer.ggml.normalizer.lowercase": True,
    },
    "eos_token_id is 259": {"eos_token_id": 259},
    "eot_token_id is 4294967295": {"eot_token_id": 4294967295},
    "has no list of tokens": {"tokens": []},
    "token_type has not one entry": {"token_type": [1, 1]},
    "two of its tokens are 'ab'": {"tokens": ["ab", *tiny.WORDS[1:]]},
    "pre is no word": {"pre": ["gpt-2"]},
    "has no merges": {"merges": None},
    r"has no merges \(tokenizer": {"merges": [1, 2]},
    "no pair of tokens": {"merges": ["ab"]},
    "merges do not fit": {"merges": ["zz a"]},
    "chat template is no text": {"tokenizer.chat_template": 5},
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_switch_that_is_not_known_is_refused_by_name(tmp_path, cache, message):
    path, _ = files.llama(tmp_path / "m.gguf", words={"tokens": list(tiny.WORDS), **REFUSED[message]})
    with pytest.raises(InputError, match=message) as caught:
        load_model(str(path))
    assert "\n" not in caught.value.problem
    assert not (cache / "converted").exists()


@pytest.mark.parametrize("scores", [[0.0], [*SCORES[1:], float("nan")], [1] * len(SPM)])
def test_scores_that_do_not_fit_the_tokens_are_refused(tmp_path, scores):
    with pytest.raises(InputError, match="scores has not one entry"):
        spm(tmp_path, scores=scores)


def test_comparing_tokenizers_reads_no_weights(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(gguf, "read_weight", None)
    paths = [str(files.llama(tmp_path / f"{name}.gguf", seed=name)[0]) for name in (0, 1)]
    result = CliRunner().invoke(app, ["models", "check", *paths])
    assert result.exit_code == 0, result.output
    assert not list(cache.rglob("*.safetensors"))


def test_a_whole_conversion_serves_those_who_want_the_tokenizer_alone(tmp_path, cache):
    path, _ = files.llama(tmp_path / "m.gguf")
    load_model(str(path))
    load_tokenizer_only(str(path))
    assert len(list((cache / "converted").iterdir())) == 1
