"""A tree scored in one pass is what each path scored alone is, and committing never changes what follows."""

import random
from typing import Any

import pytest
import torch
from random_models import (
    ARCHITECTURES,
    CONTEXT,
    WINDOWED,
    expected_logits,
    plain_logits,
    random_model,
    random_tokens,
    random_tree,
)

from specdec_cli.models.forward.hf import HFForward
from specdec_cli.models.forward.select import new_forward
from specdec_cli.models.hf.architectures import ARCHITECTURES as ROWS
from specdec_cli.models.runner import model_runner as runner_module
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.tree import ROOT, TokenTree

EXACT: dict[str, Any] = {"atol": 1e-9, "rtol": 0}
ALL = {**ARCHITECTURES, **{f"{name}, window of 8": make for name, make in WINDOWED.items()}}


@pytest.fixture(scope="module", params=ALL)
def model(request):
    return random_model(ALL[request.param]())


@pytest.fixture
def tolerance(request):
    """1e-9; but Gemma 2 takes its softmax in float32 whatever the weights are in."""
    model = request.node.funcargs.get("model")
    return {"atol": 5e-6, "rtol": 0} if model is not None and model.config.model_type == "gemma2" else EXACT


@pytest.fixture(scope="module")
def llama():
    return random_model(ARCHITECTURES["llama"]())


def new_runner(model):
    return Runner(HFForward(model), CONTEXT)


def test_every_architecture_that_is_not_tried_out_is_among_those_tested_here():
    claimed = {row.name for row in ROWS.values() if row.tree_exact}
    assert {make().model_type for make in ALL.values()} == claimed


def random_path(tree, chance):
    path: list[int] = []
    children = tree.children()
    while children[path[-1] + 1 if path else 0] and chance.random() < 0.8:
        path.append(chance.choice(children[path[-1] + 1 if path else 0]))
    return path


def test_a_tree_in_one_pass_equals_each_path_alone(model, tolerance):
    chance = random.Random(1)
    text = random_tokens(20, 2)
    for size in (0, 1, 2, 7, 24):
        tree = random_tree(size, chance)
        runner = new_runner(model)
        runner.begin(text)
        torch.testing.assert_close(runner.score(tree), expected_logits(model, text, tree), **tolerance)


@pytest.mark.parametrize("depth", [1, 2, 5, 13, 30])
def test_trees_of_every_depth_are_scored_right(llama, depth):
    tree = random_tree(depth + 6, random.Random(depth), deepest=depth)
    assert max(tree.depths()) == depth
    runner = new_runner(llama)
    runner.begin([5, 6, 7])
    torch.testing.assert_close(runner.score(tree), expected_logits(llama, [5, 6, 7], tree), **EXACT)


def test_after_any_sequence_of_commits_the_cache_equals_a_fresh_prefill(model, tolerance):
    chance = random.Random(3)
    runner, text = new_runner(model), random_tokens(9, 4)
    runner.begin(text)
    for _ in range(12):
        tree = random_tree(chance.randrange(9), chance)
        runner.score(tree)
        path = random_path(tree, chance)
        emitted = [*(tree.tokens[node] for node in path), chance.randrange(61)]
        runner.commit(path, emitted)
        text += emitted
        assert runner.tokens == text
        torch.testing.assert_close(runner.root(), plain_logits(model, text)[0], **tolerance)
        fresh = new_runner(model)
        fresh.begin(text)
        fresh.root()
        for layer, like in zip(runner._forward._cache._own, fresh._forward._cache._own, strict=True):
            for buffer, other in zip(layer._buffers, like._buffers, strict=True):
                rows = len(text)
                torch.testing.assert_close(buffer[:, :, :rows], other[:, :, :rows], **tolerance)


def test_a_tree_grown_in_several_passes_equals_each_path_alone(model, tolerance):
    chance = random.Random(5)
    text = random_tokens(11, 6)
    tree = random_tree(16, chance)
    runner = new_runner(model)
    runner.begin(text)
    grown = [runner.root()[None]]
    for start, end in ((0, 1), (1, 5), (5, 6), (6, 16)):
        grown.append(runner.grow(tree.tokens[start:end], tree.parents[start:end]))
    torch.testing.assert_close(torch.cat(grown), expected_logits(model, text, tree), **tolerance)


def test_a_draft_that_lags_behind_reads_what_it_missed(model, tolerance):
    """A step may accept guesses that were never read, or be taken without asking the draft at all."""
    runner, text = new_runner(model), random_tokens(6, 7)
    runner.begin(text)
    runner.root()
    runner.grow([3, 4, 5], [ROOT, ROOT, 1])
    runner.commit([1, 2], [4, 5, 9, 8])
    runner.commit([], [2, 1])
    text += [4, 5, 9, 8, 2, 1]
    torch.testing.assert_close(runner.root(), plain_logits(model, text)[0], **tolerance)


def test_a_prompt_past_2048_is_read_in_chunks(llama):
    text = random_tokens(2100, 8)
    runner = new_runner(llama)
    runner.begin(text)
    tree = TokenTree((1, 2, 3), (ROOT, ROOT, 1))
    torch.testing.assert_close(runner.score(tree), expected_logits(llama, text, tree), **EXACT)


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 16, 17])
def test_prompts_at_every_edge_of_a_chunk(model, tolerance, length, monkeypatch):
    monkeypatch.setattr(runner_module, "PREFILL_CHUNK", 8)
    text = random_tokens(length, length)
    runner = new_runner(model)
    runner.begin(text)
    torch.testing.assert_close(runner.root(), plain_logits(model, text)[0], **tolerance)


def test_committing_moves_only_accepted_rows_that_are_not_in_place(llama, monkeypatch):
    moved = []
    runner = new_runner(llama)
    move = runner._forward.move

    def noted(rows, to):
        moved.append((rows.tolist(), to))
        move(rows, to)

    monkeypatch.setattr(runner._forward, "move", noted)
    runner.begin(random_tokens(10, 9))
    runner.score(TokenTree((1, 2, 3, 4, 5), (ROOT, 0, 0, 2, 2)))
    runner.commit([0, 2, 4], [1, 3, 5, 6])
    runner.score(TokenTree.chain([1, 2, 3]))
    runner.commit([0, 1], [1, 2, 9])
    assert moved == [([12, 14], 11)]


def test_a_text_longer_than_the_context_is_kept_but_not_read(llama):
    runner = Runner(HFForward(llama), 8)
    runner.begin(random_tokens(9, 1))
    assert runner.free_positions == -1
    assert runner.forward_seconds == 0


def test_the_same_bits_are_claimed_of_the_fused_pass_on_a_cpu_and_of_no_module(llama):
    claims = [Runner(forward, CONTEXT).bitwise for forward in (HFForward(llama), new_forward(llama))]
    assert claims == [False, True]


@pytest.mark.parametrize("forward", [HFForward, new_forward])
def test_rows_move_after_a_text_of_one_token(model, forward):
    """The cache is first written inside a pass here, and moved outside of one."""
    runner = Runner(forward(model), CONTEXT)
    runner.begin([5])
    runner.score(TokenTree((6, 7, 8), (ROOT, ROOT, 1)))
    runner.commit([1, 2], [7, 8, 9])
    found, expected = runner.root(), plain_logits(model, [5, 7, 8, 9])[0]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
