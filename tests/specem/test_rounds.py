"""Rounds of tiny models with different tokenizers: nothing lost, nothing read twice, scores as if alone."""

import pytest
import tiny_checkpoints as tiny
import torch

from specdec_cli.errors import InputError
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.runtime.specem import load_ensemble
from specdec_cli.settings import Settings
from specdec_cli.specem.member import merge
from specdec_cli.specem.rounds import CONTEXT, LENGTH, STOP
from specdec_cli.specem.segmentation import draft_limit
from specdec_cli.tree import TokenTree

SIZES = {"initializer_range": 0.3, "max_position_embeddings": 200}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Three models: two with chat templates, and one without; the second has another vocabulary."""
    root = tmp_path_factory.mktemp("models")
    other = (*tiny.SPECIAL, *reversed(tiny.ASCII[2:]), "th", "he", "an")
    return [
        str(tiny.folder(root / "one", words=tiny.ASCII, seed=1, **SIZES)),
        str(tiny.folder(root / "two", words=other, seed=2, architecture="Qwen2", **SIZES)),
        str(tiny.folder(root / "base", words=tiny.ASCII, template=None, seed=3, **SIZES)),
    ]


def loaded(models, *, reuse=True, **settings):
    settings = {"method": "autoregressive", "window_size": 5, "max_words": 12, "threads": 1, **settings}
    settings = {"dtype": "float32", **settings}
    return load_ensemble(Settings(models=tuple(models), **settings), lambda _: None, reuse=reuse)


def told(rounds):
    return [(each.text, each.winner, each.finish_reason) for each in rounds]


def test_every_model_has_read_what_the_winners_wrote(models):
    ensemble = loaded(models, temperature=1.0)
    for seed_question in ("Hello?", "What is 2 + 2?"):
        answer = ""
        for each in ensemble.answer(seed_question):
            answer += each.text
            for member in ensemble.drafters:
                opening = member.asking.opening(seed_question)
                decode = member._tokenizer.decode
                read = decode(member.tokens)[len(decode(opening)) :]
                assert read.removeprefix(member.asking.lead) == answer
        assert answer


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_keeping_what_was_read_changes_nothing_and_saves_reading(models, temperature):
    kept, anew = (loaded(models, reuse=reuse, temperature=temperature) for reuse in (True, False))
    question = "A question that is long enough to be worth keeping, is it not?"
    first, second = list(kept.answer(question)), list(anew.answer(question))
    assert told(first) == told(second)
    for one, other in zip(first, second, strict=True):
        assert one.votes == pytest.approx(other.votes, abs=1e-5)
        assert one.weights == pytest.approx(other.weights)
    for one, other in zip(kept.drafters, anew.drafters, strict=True):
        assert one._runner.rows_read < other._runner.rows_read / 2


def test_what_a_member_forgot_is_read_again_and_kept_or_not_from_then_on(models):
    ensemble = loaded(models, reuse=False, temperature=1.0)
    question = "A question that is long enough to be worth keeping, is it not?"
    read, texts = [], []
    for reuse in (True, False, True):
        before = [member._runner.rows_read for member in ensemble.drafters]
        for member in ensemble.drafters:
            member.forget(reuse=reuse)
        texts.append(told(ensemble.answer(question)))
        read.append(
            [member._runner.rows_read - rows for member, rows in zip(ensemble.drafters, before, strict=True)]
        )
    assert texts[0] == texts[1] == texts[2]
    assert read[0] == read[2]
    assert all(one < other / 2 for one, other in zip(read[0], read[1], strict=True))


def test_no_token_of_the_question_is_read_twice(models):
    """A round reads drafts and candidates, a few tokens each; the question would be a hundred a round."""
    ensemble = loaded(models[:1] * 2, temperature=1.0, max_words=15)
    rounds = list(ensemble.answer("x" * 100))
    assert len(rounds) > 3
    candidates = sum(len(one.text) + 1 for each in rounds for one in each.candidates)  # a token a character
    for member in ensemble.drafters:
        assert member._runner.rows_read <= len(member.tokens) + 2 * candidates + 6 * len(rounds)


def test_scores_are_those_of_each_candidate_alone(models):
    ensemble = loaded(models)
    for member in ensemble.verifiers:
        member.begin("Score these.")
        candidates = [member.encode(text) for text in ("the man", "the men!", "another", "the man", "t")]
        found = member.score(candidates, "logprob")
        alone = Runner(member._runner._forward, 200)
        for tokens, score in zip(candidates, found, strict=True):
            alone.begin(member.tokens)
            logits = alone.score(TokenTree.chain(tokens[:-1])).double()
            expected = logits.log_softmax(-1)[torch.arange(len(tokens)), torch.tensor(tokens)].mean()
            assert score == pytest.approx(float(expected), abs=1e-5)


def test_a_candidate_of_no_tokens_scores_as_the_worst(models):
    member = loaded(models).verifiers[0]
    member.begin("Score these.")
    one, other = (member.encode(text) for text in ("the man", "zzz"))
    expected = member.score([one, other], "logprob")
    found = member.score([one, (), other, ()], "logprob")
    worst = min(expected)
    assert found == pytest.approx([expected[0], worst, expected[1], worst])
    assert member.score([(), ()], "logprob") == [0.0, 0.0]
    member.append(())
    member.append(one)
    assert member.tokens[-len(one) :] == list(one)


@pytest.mark.parametrize("window", [1, 10])
def test_the_room_that_is_kept_holds_the_longest_draft(models, window):
    stop = "x" * 90
    ensemble = loaded(models, window_size=window, stop=(stop,))
    longest = draft_limit(window, (stop,)) + 1
    ensemble.begin("Hi.")
    for member in ensemble.drafters:
        member.context = len(member.tokens) + longest - 1
    with pytest.raises(InputError, match=f"with {longest} kept free"):
        next(iter(ensemble.answer("Hi.")))


def test_sequences_with_a_common_beginning_share_its_nodes():
    tree, paths = merge([(1, 2, 3), (1, 2, 4), (5,), (1, 2, 3)])
    assert (tree.tokens, tree.parents) == ((1, 2, 3, 4, 5), (-1, 0, 1, 1, -1))
    assert paths == [[0, 1, 2], [0, 1, 3], [4], [0, 1, 2]]


def test_greedy_segments_do_not_depend_on_who_guesses_ahead(models):
    plain = told(loaded(models).answer("Say it."))
    for method, draft in (("ngram", None), ("sps", "layers:1"), ("specexec", "ngram")):
        assert told(loaded(models, method=method, draft=draft).answer("Say it.")) == plain


def test_the_seed_decides(models):
    first, again, other = (
        told(loaded(models, temperature=1.0, seed=seed).answer("Go.")) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_one_model_alone_says_what_it_would_have_said(models):
    rounds = list(loaded(models[:1], max_words=8).answer("Hello."))
    assert all(each.winner == 0 and each.votes == () for each in rounds)
    assert rounds[-1].finish_reason in (STOP, LENGTH)


def test_the_same_model_may_take_part_twice(models):
    ensemble = loaded(models[:1] * 2, temperature=1.0)
    assert [member.name for member in ensemble.drafters] == [models[0], f"{models[0]} (2)"]
    rounds = list(ensemble.answer("Hello."))
    assert any(len(each.candidates) == 2 for each in rounds), "they have chances of their own"


def test_a_model_that_only_judges_sees_the_question(models):
    ensemble = loaded(models[:1], verify_models=(models[1],))
    list(ensemble.answer("The question."))
    judge = ensemble.verifiers[0]
    assert judge not in ensemble.drafters
    assert "The question." in judge._tokenizer.decode(judge.tokens)


def test_models_that_write_the_same_need_no_vote(models):
    rounds = list(loaded(models[:1] * 2).answer("Hello."))
    assert all(each.votes == () and each.candidates[0].authors == (0, 1) for each in rounds)


def test_the_answer_ends_before_a_context_is_full(models):
    ensemble = loaded(models[:2], max_words=10_000, ignore_eos=True, temperature=1.0)
    rounds = list(ensemble.answer("Go on."))
    assert rounds[-1].finish_reason == CONTEXT
    assert min(member.room for member in ensemble.drafters) >= 0


def test_a_question_that_leaves_no_room_is_refused(models):
    with pytest.raises(InputError, match="kept free"):
        next(iter(loaded(models).answer("x" * 500)))


def test_weights_move_with_feedback_only(models):
    with_feedback = list(loaded(models, temperature=1.0, max_words=20).answer("Hi."))
    fixed = loaded(models, temperature=1.0, max_words=20, feedback=False, weights=("1", "2", "1"))
    without = list(fixed.answer("Hi."))
    assert len({each.weights for each in with_feedback}) > 1
    assert {each.weights for each in without} == {(0.25, 0.5, 0.25)}


def test_the_fast_decoder_takes_the_first_draft_that_ends(models):
    rounds = list(loaded(models, temperature=1.5, max_words=200, fast_decoder=True).answer("End?"))
    if rounds[-1].finish_reason == STOP:
        assert rounds[-1].votes == ()
    assert not any(each.finished for one in rounds[:-1] for each in one.candidates)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weights": ("1",)}, "1 weights for 2 models"),
        ({"weights": ("1", "x")}, "no numbers"),
        ({"weights": ("0", "0")}, "no weights"),
        ({"method": "sps", "draft": "another"}, "several tokenizers"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(settings, said):
    with pytest.raises(InputError, match=said):
        loaded(["nowhere", "elsewhere"], **settings)
    with pytest.raises(InputError, match="There are no models"):
        load_ensemble(Settings(), lambda _: None)
