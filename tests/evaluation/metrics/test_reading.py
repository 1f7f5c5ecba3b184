"""The number and the letter that an answer settles on, as a reader would take them."""

import time
from decimal import Decimal

import pytest

from specdec_cli.evaluation.metrics.answers import measure_gsm8k, measure_mmlu
from specdec_cli.evaluation.metrics.base import MetricOptions
from specdec_cli.evaluation.metrics.reading import chosen_letter, reference_letter, worked_number
from specdec_cli.evaluation.results import Answer

LONG = 60_000  # characters of an answer that never ends

NUMBERS = [
    ("18", "18"),
    ("18.00", "18"),
    ("#### 18.", "18"),
    ("#### -5", "-5"),
    ("#### \u22125", "-5"),
    ("#### $-5", "-5"),
    ("#### -$5", "-5"),
    ("#### **42**", "42"),
    ("#### \\boxed{42}", "42"),
    ("#### Answer: 42 boats\nI checked it 3 times.", "42"),
    ("#### 1. Count\nThere are 2.\n#### 2. Add\nThat makes 42 nails.", "42"),
    ("#### Final Answer\n42", "42"),
    ("### Step 1\n#### Step 2: 5 boats\nso \\(x = 12\\).", "12"),
    ("The answer is 42. I checked it 3 times.", "42"),
    ("The answer is $1,250.50.", "1250.5"),
    ("The answer is 3 + 4 = 7.", "7"),
    ("Answer: In 3 days she makes 18 dollars.", "18"),
    ("\\[ \\boxed{8\\,000} \\]", "8000"),
    ("\\boxed{\\$8{,}000}", "8000"),
    ("\\boxed{\\text{18 dollars}}", "18"),
    ("$\\boxed{18}$ is what 2 people get", "18"),
    ("So 20-5=15", "15"),
    ("range 8-10", "10"),
    ("He makes 18 dollars on the 2nd day.", "18"),
    ("18%", "18"),
    ("The total is \\$18", "18"),
    ("Total: 1,234,567", "1234567"),
    ("8\u202f000 clips", "8000"),
    ("x=-5", "-5"),
    ("<think>#### 3</think> So #### 4", "4"),
    ("no number", None),
    ("The answer is 12.\n\nQ: another? The answer is 99.", "12"),
    ("**Answer:** 42", "42"),
    ("**Final answer: 42**\n", "42"),
    ("The final answer is: $\\boxed{42}$", "42"),
    ("The answer is:\n\n42", "42"),
    ("#### 72<|im_end|>\n#### 3", "72"),
    ("\\boxed{\\frac{1}{2}}", "2"),
    ("The answer is 5 dollars per hour.", "5"),
    ("answer is $18 ($2 per egg)", "18"),
    ("####72", "72"),
    ("#### 72 clips (48 + 24)", "72"),
    ("#### The answer is 72", "72"),
    ("##### 5\nthe sum is 6", "6"),
    ("$.50", "0.5"),
    ("= 18.0 dollars", "18"),
    ("15\xb0C", "15"),
    ("costs 18 USD", "18"),
    ("So, 3 * $6 = $<<3*6=18>>18.", "18"),
    ("He is at -5 degrees.", "-5"),
    ("(-5)", "-5"),
    ("10 - 15 = -5", "-5"),
    ("10 - 15 = - 5", "-5"),
    ("The result is 7 apples", "7"),
    ("#### \u20ac1,000", "1000"),
    ("#### 1: 42", "42"),
    ("1e3", "1"),
    ("So 9 * 2 = 18.\n#### 18", "18"),
    ("#### 1,000 dollars\n", "1000"),
    ("From 5 to -3", "-3"),
    ("It costs $3.50 and not 4", "4"),
    ("#### about 7", "7"),
    ("half: .5", "0.5"),
]

LETTERS = [
    ("the correct option is (c)", "C"),
    ("B", "B"),
    ("b", "B"),
    ("(B)", "B"),
    ("**B**", "B"),
    ("B.", "B"),
    ("B. Paris", "B"),
    ("B) Paris", "B"),
    ("A. Paris", "A"),
    ("A cat sat, so B", "B"),
    ("The answer is (B)", "B"),
    ("option (c) is correct", "C"),
    ("The answer is (B).", "B"),
    ("The correct answer is **C. Paris**", "C"),
    ("answer is $\\boxed{D}$", "D"),
    ("\\boxed{\\text{C}}", "C"),
    ("Answer: C", "C"),
    ("**Answer: C**", "C"),
    ("**Answer:** C", "C"),
    ("The best answer is A.", "A"),
    ("The answer is a dog, which is option B.", "B"),
    ("The answer is A dog... I mean D", "D"),
    ("B is correct. C is wrong.", "B"),
    ("A is wrong; option C is right", "C"),
    ("I think it is B", "B"),
    ("A", "A"),
    ("A) x", "A"),
    ("A: x", "A"),
    ("Answer: b", "B"),
    ("the answer is (b)", "B"),
    ("Option D", "D"),
    ("(C) because of A", "C"),
    ("\u7b54\u6848\u662fB", "B"),
    ("The answer is not B but C", "C"),
    ("<think>maybe A? The answer is A</think>The answer is D", "D"),
    ("It's D.", "D"),
    ("The answer is option B", "B"),
    ("The answer is **option (C)**", "C"),
    ("The correct option is: (D) foo", "D"),
    ("A man walks.", None),
    ("Answer: A. x\n\nQuestion: y\nAnswer: B", "A"),
    ("The correct choice would be B", "B"),
    ("The answer is `C`", "C"),
    ("I'd say B", "B"),
    ("C\n\nExplanation: A is wrong because B", "C"),
    ("Answer:\nC", "C"),
    ("A and B are wrong, so C", "C"),
    ("Among these, E", "E"),
    ("The answer is B'", "B"),
    ("The answer is A because it is so", "A"),
    ("The answer is A, since", "A"),
    ("The answer is B because C is wrong", "B"),
    ("It must be A because B is wrong", "A"),
    ("I think we take A here", "A"),
    ("I do not know.", None),
    ("A good one. I like it", None),
    ("The answer is I think B", "B"),
    ("A cyclic group has one generator. The answer is C.", "C"),
    ("The answer is (B), not A.", "B"),
    ("(D) because it is so", "D"),
    ("I think it must be D", "D"),
    ("The answer is a matter of taste, say B", "B"),
    ("nothing", None),
]


@pytest.mark.parametrize(("text", "number"), NUMBERS)
def test_the_number_is_what_a_reader_would_take(text: str, number: str | None) -> None:
    assert worked_number(text) == (None if number is None else Decimal(number))


@pytest.mark.parametrize(("text", "letter"), LETTERS)
def test_the_letter_is_what_a_reader_would_take(text: str, letter: str | None) -> None:
    assert chosen_letter(text) == letter


@pytest.mark.parametrize(
    ("text", "letter"), [("2", "C"), ("C", "C"), ("d", "D"), (" B ", "B"), ("A. x", "A")]
)
def test_a_reference_is_a_letter_or_the_number_of_a_choice(text: str, letter: str) -> None:
    assert reference_letter(text) == letter


def answer(prediction: str, reference: str) -> Answer:
    return Answer(1, "1", False, "", "", prediction, reference, {})


def test_no_number_is_never_right() -> None:
    pairs = [("I do not know", "#### 5"), ("5 apples", "#### 5"), ("x", "no number")]
    measure = measure_gsm8k([answer(*pair) for pair in pairs], MetricOptions())[0]
    assert (list(measure.rows[:, 0]), measure.indexes) == ([0, 1], (0, 1))


def test_a_choice_may_be_given_by_its_number() -> None:
    pairs = [("C", "2"), ("C", "C"), ("C", "B")]
    assert list(measure_mmlu([answer(*pair) for pair in pairs], MetricOptions())[0].rows[:, 0]) == [1, 1, 0]


@pytest.mark.parametrize(
    "piece",
    [
        "<think>",
        "#### ",
        "\n",
        "*",
        " ",
        "1",
        "1,",
        "answer: ",
        "answer",
        "\\boxed{",
        "<<",
        "<|a",
        "Answer is A ",
    ],
)
@pytest.mark.parametrize("read", [worked_number, chosen_letter])
def test_an_answer_that_repeats_itself_for_ever_is_read_in_one_go(read: object, piece: str) -> None:
    text = piece * (LONG // len(piece))
    begun = time.process_time()
    for start in ("", "#### ", "The answer is ", "\\boxed{"):
        read(start + text)  # type: ignore[operator]
    assert time.process_time() - begun < 10  # a quadratic reading takes minutes
