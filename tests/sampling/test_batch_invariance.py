"""A row's distribution is the same bits whatever rows stand beside it, on any number of threads."""

import pytest
import torch

from specdec_cli.sampling import distribution as module
from specdec_cli.sampling.distribution import Distributions, Sampling, distribution
from specdec_cli.sampling.scoring import token_scores

ROWS, VOCABULARY = 33, 50_000
SIZES = (1, 2, 5, ROWS)
SAMPLINGS = {
    "greedy": Sampling(0.0),
    "unfiltered": Sampling(0.7),
    "top-k": Sampling(1.0, top_k=40_000),
    "top-p": Sampling(1.0, top_p=0.9),
    "min-p": Sampling(1.3, min_p=1e-6),
    "all filters": Sampling(0.9, top_k=45_000, top_p=0.97, min_p=1e-7),
}


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def logits():
    """Rows of all kinds from flat to peaked; every third has but few values, so that many tokens tie."""
    rows = torch.randn(ROWS, VOCABULARY, generator=torch.Generator().manual_seed(7))
    rows *= torch.linspace(0.1, 9.0, ROWS)[:, None]
    rows[::3] = rows[::3].round()
    return rows


def parted(compute, rows):
    """Numbers of rows that some of them are other bits in than by themselves."""
    alone = torch.stack([compute(row) for row in rows])
    found = []
    for size in SIZES:
        parts = [*rows.split(size), rows[-size:]]  # the last part of a split may be smaller
        expected = [*alone.split(size), alone[-size:]]
        if not all(torch.equal(compute(part), each) for part, each in zip(parts, expected, strict=True)):
            found.append(size)
    return found


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
def test_a_distribution_does_not_depend_on_the_rows_beside_it(logits, threads, sampling):
    assert parted(lambda rows: distribution(rows, sampling), logits) == []


def test_rows_on_request_are_those_of_all_at_once(logits, threads):
    sampling = SAMPLINGS["all filters"]
    rows = Distributions(logits, sampling)
    assert torch.equal(torch.stack([rows[row] for row in range(ROWS)]), distribution(logits, sampling))


def test_scores_of_tokens_do_not_depend_on_the_rows_beside_them(logits, threads):
    token = torch.tensor([11])

    def scores(rows):
        two = rows.reshape(-1, rows.shape[-1])
        return token_scores(two, token.expand(len(two))).reshape(rows.shape[:-1])

    assert parted(scores, logits) == []


def test_a_sum_over_all_rows_at_once_is_seen(logits, monkeypatch):
    """What torch does by itself: one long row is added up by two threads in parts, several are not."""
    monkeypatch.setattr(module, "_row_sums", lambda values: values.sum(-1, keepdim=True))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = parted(lambda rows: distribution(rows, SAMPLINGS["min-p"]), logits)
    finally:
        torch.set_num_threads(before)
    assert found == [2, 5, ROWS]


def test_sorting_all_rows_because_one_is_flat_is_seen(logits, monkeypatch):
    """Among tokens that tie, the few likeliest that are asked for and a whole sort may begin with others."""

    def all_sorted_if_one_is_flat(probs, mass):
        best, tokens = probs.topk(module.NUCLEUS_GUESS, dim=-1)
        if bool((best.sum(-1) < mass).any()):
            best, tokens = probs.sort(dim=-1, descending=True)
        return module._within(probs, best, tokens, mass)

    monkeypatch.setattr(module, "_keep_nucleus", all_sorted_if_one_is_flat)
    assert parted(lambda rows: distribution(rows, SAMPLINGS["top-p"]), logits) != []
