from types import SimpleNamespace

import pytest
import tiny_checkpoints as tiny

from specdec_cli.errors import MismatchError
from specdec_cli.models.hf.checkpoint import logit_vocab_size
from specdec_cli.models.hf.tokenizer import Tokenizer
from specdec_cli.models.hf.vocabulary import compare, require_compatible

WORDS = tiny.WORDS
SIZE = len(WORDS)


def tokenizer(words=WORDS):
    return Tokenizer(tiny.tokenizer(words))


def loaded(name, words=WORDS, vocab_size=None):
    model = tiny.model(vocab_size=vocab_size or len(words))
    return SimpleNamespace(name=name, tokenizer=tokenizer(words), model=model)


def test_a_vocabulary_is_compatible_with_itself():
    report = compare(tokenizer(), tokenizer(), SIZE, SIZE)
    assert report.compatible
    assert report.shared == report.target_size == report.draft_size == SIZE
    assert not report.padding_only
    assert report.special == ()


def test_padding_of_either_model_does_no_harm():
    for vocab_sizes in ((SIZE, SIZE + 61), (SIZE + 61, SIZE)):
        report = compare(tokenizer(), tokenizer(), *vocab_sizes)
        assert report.compatible
        assert report.padding_only


def test_a_permuted_vocabulary_of_the_same_size_is_not_compatible():
    permuted = (*WORDS[:10], WORDS[11], WORDS[10], *WORDS[12:])
    report = compare(tokenizer(), tokenizer(permuted), SIZE, SIZE)
    assert not report.compatible
    assert report.num_differing == 2
    assert report.differing[0] == (10, WORDS[10], WORDS[11])
    assert report.shared == SIZE - 2


def test_only_the_first_differing_tokens_are_given():
    report = compare(tokenizer(), tokenizer((*WORDS[:2], *WORDS[:1:-1])), SIZE, SIZE)
    assert report.num_differing > len(report.differing) == 5


def test_a_draft_with_fewer_tokens_can_draft_and_one_with_more_cannot():
    more = (*WORDS, "xyz")
    fewer = compare(tokenizer(more), tokenizer(), SIZE + 1, SIZE)
    assert fewer.compatible
    assert fewer.num_target_only == 1
    assert not fewer.padding_only
    assert not compare(tokenizer(), tokenizer(more), SIZE, SIZE + 1).compatible


def test_tokens_that_no_logit_stands_for_are_not_compared():
    report = compare(tokenizer(), tokenizer((*WORDS, "xyz")), SIZE, SIZE)
    assert report.compatible
    assert report.draft_size == SIZE


def test_special_tokens_with_other_parts_are_noted():
    other = tokenizer()
    other.inner.eos_token = "<s>"
    report = compare(tokenizer(), other, SIZE, SIZE)
    assert report.compatible
    assert report.special == (("eos_token", "</s>", "<s>"),)


def refuse(target, draft):
    vocab_sizes = (logit_vocab_size(each.model.config) for each in (target, draft))
    require_compatible(target.name, draft.name, compare(target.tokenizer, draft.tokenizer, *vocab_sizes))


def fits(target, draft):
    try:
        refuse(target, draft)
    except MismatchError:
        return False
    return True


def test_models_that_do_not_fit_are_refused_with_the_first_difference():
    target, draft = loaded("big"), loaded("small", (*WORDS[:10], WORDS[11], WORDS[10], *WORDS[12:]))
    with pytest.raises(MismatchError, match="small cannot draft for big") as caught:
        refuse(target, draft)
    assert caught.value.exit_code == 3
    assert f"Token 10 is {WORDS[10]!r} to the target and {WORDS[11]!r} to the draft" in caught.value.problem
    assert "--draft ngram" in caught.value.hint


def test_models_that_fit_but_for_padding_pass():
    assert fits(loaded("big", vocab_size=SIZE + 5), loaded("small"))


def test_models_that_differ_in_size_are_refused_with_both_sizes():
    with pytest.raises(MismatchError, match=f"{SIZE} tokens and {SIZE + 1}"):
        refuse(loaded("big"), loaded("small", (*WORDS, "xyz")))
