"""No text is lost or changed at the border of two segments, in English and in Chinese."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planting import broken
from tokenizers import Tokenizer as Engine
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from specdec_cli.engine.roles import Step
from specdec_cli.engine.text import Detokenizer
from specdec_cli.models.hf.tokenizer import Tokenizer
from specdec_cli.specem import retokenize, segmentation
from specdec_cli.specem.member import Asking, Segment, cut_draft
from specdec_cli.specem.retokenize import added, continuation, tail
from specdec_cli.specem.segmentation import LONGEST, count_words, draft_limit, find_cut

CORPUS = [
    "The lighthouse stands on a rock. It's 42 metres high; its keeper doesn't sleep.\n\n1. Light the lamp\n",
    "def total(numbers):\n    return sum(numbers)  # adds 3.14 or 1,000\n",
    "今天天气很好,我们去公园散步。中国的首都是北京!灯塔在海边的岩石上。",
    "Mixed 中文 and English words, café, naïve — and emoji 🙂 too.",
]
SPECIAL = ["<s>", "</s>", "<|im_end|>"]
LETTERS = sorted(set("".join(CORPUS)))


def wrapped(engine):
    inner = PreTrainedTokenizerFast(tokenizer_object=engine, bos_token="<s>", eos_token="</s>")
    inner.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})
    return Tokenizer(inner)


def bytes_like_gpt2():
    engine = Engine(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    engine.train_from_iterator(CORPUS, trainer)
    return wrapped(engine)


def spaces_like_llama():
    """A space goes before whatever is written, and a text's first one is dropped when it is read."""
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    trained = Engine(models.BPE(byte_fallback=True))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    trained.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, show_progress=False)
    )
    state = json.loads(trained.to_str())["model"]
    words = [*SPECIAL, *fallback, *(word for word in state["vocab"] if word not in SPECIAL)]
    merges = [
        tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in state["merges"]
    ]
    vocabulary = {word: token for token, word in enumerate(dict.fromkeys(words))}
    engine = Engine(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, fuse_unk=True))
    engine.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    engine.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return wrapped(engine)


TOKENIZERS = {"gpt2": bytes_like_gpt2(), "llama": spaces_like_llama()}
text = st.one_of(
    st.sampled_from(CORPUS),
    st.text(st.sampled_from(LETTERS), min_size=1, max_size=60),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20),
)


def segments_of(whole, cuts):
    ends = sorted({cut % (len(whole) + 1) for cut in cuts} | {0, len(whole)})
    return [whole[one:other] for one, other in pairwise(ends)]


def read_back(tokenizer, segments):
    """The segments as another model reads them, one after the other, behind a prompt."""
    prompt = tokenizer.encode_plain("Question: x\nAnswer:")
    tokens = list(prompt)
    for segment in segments:
        tokens += continuation(tokenizer, tail(tokenizer, tokens), segment)
    return added(tokenizer, prompt, tokens[len(prompt) :])


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=30, deadline=None)
@given(whole=text, cuts=st.lists(st.integers(0, 200), max_size=6))
def test_what_one_model_wrote_another_reads_as_it_was_written(name, whole, cuts):
    assert read_back(TOKENIZERS[name], segments_of(whole, cuts)) == whole


def test_words_that_look_like_a_special_token_stay_words():
    for tokenizer in TOKENIZERS.values():
        assert read_back(tokenizer, ["Say ", "<|im_end|>", " and </s>"]) == "Say <|im_end|> and </s>"


def test_without_the_check_against_the_text_before_a_space_slips_in():
    naive = broken(retokenize, "if added(tokenizer, before, tokens) == text:", "if True:")
    tokenizer = TOKENIZERS["llama"]
    tokens = tokenizer.encode_plain("Hel")
    tokens += naive.continuation(tokenizer, tokens, "lo")
    assert tokenizer.decode(tokens) == "Hel lo"


def stream(tokenizer, whole, sizes):
    """Steps of these sizes that emit the tokens of a text, and its end."""
    tokens = [*tokenizer.encode_plain(whole), *sorted(tokenizer.stop_tokens)]
    start = 0
    for size in [*sizes, *([1] * len(tokens))]:
        if tokens[start : start + size]:
            yield Step(tuple(tokens[start : start + size]), 0, 0, 0, 0.0, 0.0, 0.0)
        start += size


def asking(tokenizer, stops=()):
    return Asking(lambda _: [], "", stops, tokenizer.stop_tokens, (1,), joined=False)


def drafts(tokenizer, whole, window, sizes=(), stops=()):
    """The drafts of an author who means to write `whole`, each going on where the last was cut."""
    found: list[Segment] = []
    rest = whole
    while not found or not found[-1].finished:
        before = tokenizer.encode_plain("Answer:")
        segment = cut_draft(
            stream(tokenizer, rest, sizes),
            Detokenizer(tokenizer.decode, before),
            window,
            asking(tokenizer, stops),
        )
        found.append(segment)
        assert len(found) <= len(whole) + 2
        rest = rest[len(segment.text) :]
    return found


@settings(max_examples=30, deadline=None)
@given(whole=text, window=st.integers(1, 12), sizes=st.lists(st.integers(1, 5), max_size=10))
def test_the_drafts_joined_are_what_the_author_meant_to_write(whole, window, sizes):
    tokenizer = TOKENIZERS["gpt2"]
    found = drafts(tokenizer, whole, window, sizes)
    assert "".join(each.text for each in found) == whole
    assert all(len(each.tokens or ()) <= draft_limit(window) for each in found)
    assert [each.text for each in found] == [each.text for each in drafts(tokenizer, whole, window)]


@settings(max_examples=20, deadline=None)
@given(whole=st.sampled_from(CORPUS[:3]), window=st.integers(4, 12))
def test_no_word_is_cut_where_a_window_holds_a_whole_one(whole, window):
    found = drafts(TOKENIZERS["gpt2"], whole, window)
    for one, other in pairwise(found):
        whole_word = len(one.tokens) < LONGEST * window
        cut_word = (
            other.text[:1] and segmentation.is_wordy(one.text[-1]) and segmentation.is_wordy(other.text[0])
        )
        assert not (whole_word and cut_word), (one.text, other.text)


def test_a_stop_string_ends_the_answer_and_is_never_split_over_two_drafts():
    tokenizer = TOKENIZERS["gpt2"]
    for window in range(3, 10):
        found = drafts(tokenizer, "Paris is it.\nQuestion: next", window, stops=("\nQuestion:",))
        assert "".join(each.text for each in found) == "Paris is it."
        assert found[-1].finished


@pytest.mark.parametrize(
    ("texts", "window", "count"),
    [
        (["The", "The cat", "The cat sat"], 3, 2),  # "sat" may go on
        (["The", "The cat", "The cat."], 3, 3),
        (["It", "It's"], 2, None),  # no boundary in the window
        (["It", "It's", "It's 4", "It's 42"], 2, 2),
        (["中", "中国", "中国的"], 3, 3),
        (["中", None, None, "中国"], 3, 1),
        (["a ", "a b "], 2, None),
        (["abc", "abcdef"], 1, 2),  # nowhere better: at two windows it ends anyway
    ],
)
def test_where_a_draft_ends(texts, window, count):
    assert find_cut(texts, window) == count


def test_words_are_counted_in_both_scripts():
    assert count_words("Two words, 中文字 and more") == 7
    assert count_words("") == 0


def bytes_of(tokens):
    return bytes(tokens).decode(errors="replace")


@pytest.mark.parametrize(
    ("beginning", "expected"),
    [
        pytest.param(b"S", Segment("S", None, finished=False), id="after what may begin a stop string"),
        pytest.param(b"", Segment("\ufffd" * 10, (0xF0,) * 10, finished=False), id="from the first token on"),
    ],
)
def test_a_draft_that_never_ends_a_character_is_cut_where_its_limit_is(beginning, expected):
    """Its whole characters are kept; where there are none, the broken one is, so that the answer goes on."""
    asking = Asking(lambda _: [], "", ("STOP",), frozenset(), (1,), joined=False)
    steps = (Step((token,), 0, 0, 0, 0.0, 0.0, 0.0) for token in [*beginning, *[0xF0] * 50])
    assert draft_limit(1, ("STOP",)) == 10
    assert cut_draft(steps, Detokenizer(bytes_of), 1, asking) == expected
