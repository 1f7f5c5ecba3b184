"""A text stops at the token at which transformers' stop strings stop it, and is cut where these begin."""

import pytest
import tiny_checkpoints as tiny
import torch
from tokenizers import Tokenizer as Engine
from tokenizers import decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.generation.stopping_criteria import StopStringCriteria

from specdec_cli.engine.completion import Completion
from specdec_cli.engine.roles import Step
from specdec_cli.engine.stopping import Stopping
from specdec_cli.engine.text import Stops
from specdec_cli.models.hf.tokenizer import Tokenizer

SPECIAL = ("<|end|>", "<｜末▁尾｜>")
MERGES = ["o n", "Ġ on", "Ċ Ċ", "Ġ ð", "Ċ æ", "e r", "t w"]


def byte_level():
    words = [*tiny.WORDS[:-1], *(merge.replace(" ", "") for merge in MERGES)]
    pairs = [(first, second) for first, second in map(str.split, MERGES)]
    engine = Engine(models.BPE(vocab={word: token for token, word in enumerate(words)}, merges=pairs))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    engine.decoder = decoders.ByteLevel()
    return engine


def byte_fallback():
    """As SentencePiece's are: a mark for spaces, the first of which is dropped; bytes for what is rare."""
    words = [
        *tiny.SPECIAL,
        "<unk>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "▁",
        *map(chr, range(97, 123)),
    ]
    words += ["▁on", "on", ".", "\n"]
    engine = Engine(
        models.BPE(
            vocab={word: token for token, word in enumerate(words)},
            merges=[("o", "n"), ("▁", "on")],
            byte_fallback=True,
            unk_token="<unk>",
        )
    )
    engine.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    engine.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    return engine


@pytest.fixture(scope="module", params=[byte_level, byte_fallback], ids=lambda made: made.__name__)
def tokenizer(request):
    inner = PreTrainedTokenizerFast(tokenizer_object=request.param(), bos_token="<s>", eos_token="</s>")
    inner.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    return Tokenizer(inner)


CASES = {
    "a special token": (["<|end|>"], "one two<|end|> three"),
    "one whose name has marks": (["<｜末▁尾｜>"], "one two<｜末▁尾｜> three"),
    "the end of text": (["</s>"], "one two</s> three"),
    "text, then a special token": (["two\n<|end|>"], "one two<|end|>\ntwo\n<|end|> three"),
    "a special token, then text": (["<|end|>\nno"], "one<|end|> two<|end|>\nno way"),
    "a special token between text": (["a<|end|>b"], "x a<|end|> a<|end|>b c"),
    "two special tokens": (["</s><|end|>"], "one</s> two<|end|></s><|end|> three"),
    "text that a special token interrupts": (["onetwo"], "on one<|end|>two three onetwo x"),
    "the end of a longer token": (["n"], "two on three"),
    "the middle of a text": (["e tw"], "one one two three"),
    "across tokens": (["er th"], "other one other three"),
    "an emoji in bytes": (["😀"], "smile 🙂 😀 on"),
    "a space before half an emoji": ([" "], "on😀on 😀on"),
    "an accent": (["é"], "été"),
    "Chinese characters": (["是静"], "海是静か"),
    "before half a character": (["\n"], "on\n海是"),
    "the first of many": (["zz", "three", "two", "one t"], "a one two three"),
    "a part of another": (["two three", "two"], "one two three"),
    "none": (["zzz"], "one two three"),
    "a newline twice": (["\n\n"], "one\n\n\ntwo"),
    "the prompt's end": (["before"], "one two"),
    "what begins in the prompt": (["re one"], " one two one"),
    "a special token that the prompt ended with": (["<|end|>"], "one two"),
}


def criterion(tokenizer, stops, prompt, tokens):
    """How many tokens transformers generates, and whether it is a stop string that ends it there."""
    asked = StopStringCriteria(tokenizer.inner, stops)
    for count in range(1, len(tokens) + 1):
        if bool(asked(torch.tensor([[*prompt, *tokens[:count]]]), None)):
            return count, "stop"
    return len(tokens), "length"


@pytest.mark.parametrize("step", [1, 2, 5, 99], ids=lambda step: f"{step} a step")
@pytest.mark.parametrize("name", CASES)
def test_a_text_stops_where_transformers_stops_it(tokenizer, name, step):
    stops, text = CASES[name]
    start = "before<|end|>" if "prompt ended with" in name else "before"
    prompt = tokenizer.encode_plain(start)
    tokens = tokenizer.encode_plain(start + text)[len(prompt) :]
    found = Stops(strings=tuple(stops), names=tokenizer.special_names, before=tuple(prompt))
    stopping, completion = (
        Stopping(len(tokens), found, tokenizer.decode),
        Completion(tokenizer.decode, found, prompt),
    )
    kept, reason = 0, None
    while reason is None:
        fresh = tokens[kept : kept + step]
        count, reason = stopping.cut(fresh)
        completion.add(Step(tuple(fresh[:count]), 0, 0, 0, 0.0, 0.0, 0.0, finish_reason=reason))
        kept += count
    completion.finish()
    expected = criterion(tokenizer, stops, prompt, tokens)
    if "marks" in name and "Metaspace" in str(tokenizer.inner.backend_tokenizer.pre_tokenizer):
        # There transformers looks for the mark as a space; a special token is known by its name here.
        assert expected == (len(tokens), "length")
        expected = tokens.index(tokenizer.token_of(stops[0])) + 1, "stop"
    assert (kept, reason) == expected
    whole = start + text
    ends = [whole.find(stop, max(len(start) - len(stop) + 1, 0)) for stop in stops]
    cut = min([end for end in ends if end >= 0], default=len(whole)) if reason == "stop" else len(whole)
    shown = whole[len(start) : max(cut, len(start))]
    for special in (*SPECIAL, *tiny.SPECIAL):
        shown = shown.replace(special, "")
    assert completion.text == shown
