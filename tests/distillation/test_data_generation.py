"""The target writes what it says: the same for the same seed, whatever pass computes it."""

import torch
from distilling import SMALL, written

from specdec_cli.distillation.recipe import Recipe
from specdec_cli.models.forward.batch import FusedBatch, HFBatch


def test_the_fused_writer_and_the_module_write_from_the_same_logits(target):
    fused, module = FusedBatch(target.model, 3, 8), HFBatch(target.model)
    chance = torch.Generator().manual_seed(0)
    for _ in range(8):
        tokens = torch.randint(2, 90, (3,), generator=chance)
        for found, right in zip(fused.read(tokens), module.read(tokens), strict=True):
            torch.testing.assert_close(found, right, atol=1e-4, rtol=0)


def test_what_is_kept_of_a_text_is_what_the_target_says_of_it_read_at_once(target):
    shard = written(target, Recipe("tiny", **SMALL))
    output = target.model(input_ids=shard.tokens[:5].long(), output_hidden_states=True)
    kept = shard.features[:5].float()
    torch.testing.assert_close(kept, output.hidden_states[-1], atol=5e-3, rtol=5e-3)
    torch.testing.assert_close(shard.normalisers[:5], output.logits.logsumexp(-1), atol=1e-4, rtol=0)


def test_the_same_seed_writes_the_same_text_and_another_shard_another(target):
    recipe = Recipe("tiny", **SMALL)
    first, again, other = (written(target, recipe, number=number) for number in (0, 0, 1))
    assert torch.equal(first.tokens, again.tokens)
    assert not torch.equal(first.tokens, other.tokens)
