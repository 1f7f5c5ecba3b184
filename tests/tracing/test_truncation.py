"""What a trace keeps of two distributions, and what it gives back."""

import pytest
import torch

from specdec_cli.tracing.truncation import Row, restored, truncate

VOCAB_SIZE = 400


def some(seed, peaked=1.0):
    generator = torch.Generator().manual_seed(seed)
    return (peaked * 3 * torch.randn(VOCAB_SIZE, generator=generator)).softmax(-1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("top", [1, 8, 64, VOCAB_SIZE])
def test_kept_tokens_masses_and_the_overlap_are_exact(seed: int, top: int) -> None:
    target, draft = some(seed), some(seed + 50)
    row = truncate(target, draft, top, also=(3, 399))
    back, draft_back = restored(row, VOCAB_SIZE)
    assert draft_back is not None
    assert {3, 399} <= set(row.tokens)
    tokens = list(row.tokens)
    torch.testing.assert_close(back[tokens], target[tokens], rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(draft_back[tokens], draft[tokens], rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(back.sum(), torch.tensor(1.0), rtol=1e-5, atol=0)
    torch.testing.assert_close(draft_back.sum(), torch.tensor(1.0), rtol=1e-5, atol=0)
    overlap = torch.minimum(target, draft).sum()
    torch.testing.assert_close(torch.minimum(back, draft_back).sum(), overlap, rtol=1e-5, atol=1e-7)
    best = draft.topk(top).indices
    assert set(best.tolist()) <= set(tokens)
    others = [token for token in range(VOCAB_SIZE) if token not in tokens]
    assert not others or float(draft_back[best].min()) >= float(draft_back[others].max())


def test_one_class_for_all_of_the_rest_would_change_the_overlap() -> None:
    target, draft = some(0), some(50)
    row = truncate(target, draft, 8)
    lumped = Row(row.tokens, row.target, row.draft, (tuple(map(sum, zip(*row.rest, strict=True))),))  # type: ignore[arg-type]
    back, draft_back = restored(lumped, VOCAB_SIZE)
    assert draft_back is not None
    wrong = float(torch.minimum(back, draft_back).sum() - torch.minimum(target, draft).sum())
    assert wrong > 0.005


def test_a_certain_target_stays_certain_and_a_draft_may_be_unknown() -> None:
    target = torch.zeros(VOCAB_SIZE)
    target[7] = 1.0
    row = truncate(target, None, 4)
    assert row.tokens == (7,)
    back, draft_back = restored(row, VOCAB_SIZE)
    assert draft_back is None
    assert torch.equal(back, target)
