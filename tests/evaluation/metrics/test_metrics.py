"""Scores are the libraries' own, to the last digit; what they cannot take is scored all the same."""

import json
from typing import Any

import numpy as np
import pytest
from transformers import BertConfig, BertModel, BertTokenizerFast  # type: ignore[attr-defined]  # an alias

from specdec_cli.errors import InputError
from specdec_cli.evaluation.metrics import rouge
from specdec_cli.evaluation.metrics.answers import measure_exact, measure_gsm8k, measure_mmlu
from specdec_cli.evaluation.metrics.base import MetricOptions, library, mean_percent
from specdec_cli.evaluation.metrics.bertscore import encoder_of, measure_bertscore
from specdec_cli.evaluation.metrics.bleu import measure_bleu
from specdec_cli.evaluation.metrics.rouge import measure_rouge
from specdec_cli.evaluation.results import Answer

ENGLISH = [
    (
        "The keeper climbs the ninety steps every evening.",
        "Every evening the keeper climbs its ninety steps.",
    ),
    ("It rained. Then it stopped, and we went out.", "It rained all day. We went out when it stopped."),
    ("Water boils at 100 degrees.", "Water boils at 100 degrees Celsius at sea level."),
    ("", "An answer was expected here."),
    ("a b a b a b", "a b c a b c"),
]
CHINESE = [
    ("今天的天气非常好,我们去公园散步。", "今天天气很好,我们一起去公园走走。"),
    ("北京是中国的首都。", "中国的首都是北京。"),
    ("", "这里应该有一个回答。"),
]


def answers(pairs):
    return [
        Answer(line, str(line), False, "", "", prediction, reference, {})
        for line, (prediction, reference) in enumerate(pairs, 1)
    ]


def score(measure):
    return measure.statistic(measure.rows)


@pytest.mark.parametrize(("pairs", "language", "tokenizer"), [(ENGLISH, "en", "13a"), (CHINESE, "zh", "zh")])
def test_bleu_is_sacrebleus_corpus_score_with_its_signature(pairs, language, tokenizer):
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(tokenize=tokenizer)
    expected = metric.corpus_score([one for one, _ in pairs], [[other for _, other in pairs]])
    measure, *precisions = measure_bleu(answers(pairs), MetricOptions(language))
    assert score(measure) == expected.score
    assert [score(each) for each in precisions] == expected.precisions
    assert measure.note == metric.get_signature().format()


@pytest.mark.parametrize(("pairs", "language"), [(ENGLISH, "en"), (CHINESE, "zh")])
def test_rouge_is_the_librarys_own_and_an_empty_answer_counts_as_nothing(pairs, language):
    import jieba
    from rouge import Rouge

    words = (lambda text: " ".join(jieba.cut(text))) if language == "zh" else str
    filled = [(words(one), words(other)) for one, other in pairs if one]
    expected = Rouge().get_scores(*map(list, zip(*filled, strict=True)), avg=True)
    for measure in measure_rouge(answers(pairs), MetricOptions(language)):
        kept = measure.rows[[bool(one) for one, _ in pairs]]
        assert mean_percent(kept) == 100 * expected[measure.name]["f"]
        assert score(measure) == pytest.approx(100 * expected[measure.name]["f"] * len(filled) / len(pairs))


def test_rouge_takes_texts_longer_than_pythons_recursion_and_texts_of_full_stops():
    long = " ".join(f"w{number % 97}" for number in range(600))
    pairs = [(long, long), ("...", "A word."), ("A word.", " . ")]
    found = measure_rouge(answers(pairs), MetricOptions("en"))
    assert [list(measure.rows[:, 0]) for measure in found] == [[pytest.approx(1), 0, 0]] * 3


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A random two-layer BERT on disk, which knows letters and Chinese characters."""
    folder = tmp_path_factory.mktemp("bert")
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{each}" for each in letters)]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    return folder


def by(folder):
    return MetricOptions(encoder=lambda _: encoder_of(str(folder), None))


def test_bertscore_is_the_librarys_own_and_an_empty_answer_counts_as_nothing(bert, recwarn):
    from bert_score import BERTScorer

    filled = [pair for pair in ENGLISH if pair[0]]
    scorer = BERTScorer(model_type=str(bert), num_layers=2)
    scorer._tokenizer.model_max_length = 512
    expected = scorer.score(*map(list, zip(*filled, strict=True)))
    for measure, column in zip(measure_bertscore(answers(ENGLISH), by(bert)), expected, strict=True):
        kept = measure.rows[[bool(one) for one, _ in ENGLISH]]
        assert kept[:, 0].tolist() == column.tolist()
        assert score(measure) == pytest.approx(100 * sum(column.tolist()) / len(ENGLISH))


def test_a_bertscore_model_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match="config"):
        encoder_of(str(tmp_path), None)
    (tmp_path / "config.json").write_text(json.dumps({"num_hidden_layers": 3}))
    assert encoder_of(str(tmp_path), None).layers == 3
    with pytest.raises(InputError, match="3 layers, not 4"):
        encoder_of(str(tmp_path), 4)


def test_a_missing_library_is_named_with_the_way_to_get_it():
    with pytest.raises(InputError, match="no_such_library") as refused:
        library("no_such_library", "bleu")
    assert "specdec-cli[eval]" in refused.value.hint


def test_an_answer_without_a_reference_is_left_out_of_what_compares():
    one, two = answers(ENGLISH[:2])
    bare = Answer(3, "3", False, "", "", "words", None, {})
    assert measure_bleu([one, bare, two], MetricOptions("en"))[0].indexes == (0, 2)
    assert measure_exact([one, bare, two], MetricOptions())[0].indexes == (0, 2)


def test_exact_match_minds_words_and_not_the_space_between_them():
    pairs = [(" Paris \n", "Paris"), ("paris", "Paris"), ("", "Paris")]
    measure = measure_exact(answers(pairs), MetricOptions())[0]
    assert list(measure.rows[:, 0]) == [1, 0, 0]


def test_a_mean_is_added_in_order():
    values = np.array([[0.1], [0.2], [0.3]])
    assert mean_percent(values) == 100 * ((0.1 + 0.2 + 0.3) / 3)


SEVERAL = [
    ("Every evening the keeper climbs the steps.",
     ("The keeper climbs its ninety steps every evening.", "Each evening, the keeper climbs the steps.")),
    ("It rained all day.", ("It rained.", "It rained all day and all night.")),
    ("Water boils at 100 degrees.", ("Water boils at 100 degrees Celsius.",)),
]  # fmt: skip


def several():
    return [
        Answer(line, str(line), False, "", "", prediction, references[0], {}, references)
        for line, (prediction, references) in enumerate(SEVERAL, 1)
    ]


def test_of_several_references_bleu_is_sacrebleus():
    from sacrebleu.metrics.bleu import BLEU

    streams: Any = [  # None where a line has fewer references
        [references[at] if at < len(references) else None for _, references in SEVERAL] for at in (0, 1)
    ]
    expected = BLEU().corpus_score([one for one, _ in SEVERAL], streams)
    assert score(measure_bleu(several(), MetricOptions("en"))[0]) == expected.score


def test_of_several_references_rouge_takes_the_best():
    from rouge import Rouge

    best = [
        max(Rouge().get_scores(one, each)[0]["rouge-l"]["f"] for each in others) for one, others in SEVERAL
    ]
    assert list(measure_rouge(several(), MetricOptions("en"))[2].rows[:, 0]) == best


def test_of_several_references_bertscore_takes_the_best(bert):
    from bert_score import BERTScorer

    scorer = BERTScorer(model_type=str(bert), num_layers=2)
    scorer._tokenizer.model_max_length = 512
    expected = scorer.score([one for one, _ in SEVERAL], [list(others) for _, others in SEVERAL])[2].tolist()
    assert measure_bertscore(several(), by(bert))[2].rows[:, 0].tolist() == expected


@pytest.mark.parametrize(
    ("measure", "prediction", "references"),
    [
        (measure_exact, "b", ("a", "b")),
        (measure_gsm8k, "It is 7", ("5", "7")),
        (measure_mmlu, "C", ("A", "C")),
    ],
)
def test_of_several_references_any_is_right(measure, prediction, references):
    answer = Answer(1, "1", False, "", "", prediction, references[0], {}, references)
    assert list(measure([answer], MetricOptions())[0].rows[:, 0]) == [1]


def test_rouge_takes_an_answer_that_goes_on_for_ever_to_a_limit_and_says_so(monkeypatch):
    from rouge import Rouge

    monkeypatch.setattr(rouge, "LONGEST_SENTENCE", 40)
    monkeypatch.setattr(rouge, "LONGEST_TEXT", 100)
    words = [f"w{number % 97}" for number in range(100_000)]
    sentences = [" ".join(words[start : start + 60]) for start in range(0, len(words), 60)]
    long, reference = ".".join(sentences), "w1 w2 w61 and so on"
    found = measure_rouge(answers([(long, reference)]), MetricOptions("en"))
    cut = ".".join([" ".join(words[:40]), " ".join(words[60:100]), *[""] * (len(sentences) - 2)])
    expected = Rouge().get_scores(cut, reference)[0]
    assert [score(each) for each in found] == [100 * each["f"] for each in expected.values()]
    assert found[2].note == "rouge, of texts cut at 100 words and sentences at 40"


def test_rouge_cuts_nothing_that_is_no_longer_than_its_limits():
    from rouge import Rouge

    one, other = " ".join(["a", "b"] * 400), "b a. c b"
    found = measure_rouge(answers([(one, other)]), MetricOptions("en"))
    assert found[2].note == "rouge"
    assert score(found[2]) == 100 * Rouge().get_scores(one, other)[0]["rouge-l"]["f"]
