"""A pass padded to a fixed size, over the whole cache behind a mask, gives what the fused pass gives."""

import random
from typing import Any

import pytest
import torch
from random_models import ARCHITECTURES, CONTEXT, WINDOWED, random_model, random_tokens, random_tree

from specdec_cli.models.forward import cuda_graph
from specdec_cli.models.forward.cuda_graph import CudaGraphForward
from specdec_cli.models.forward.fused import FusedForward
from specdec_cli.models.runner.model_runner import Runner

EXACT: dict[str, Any] = {"atol": 1e-9, "rtol": 0}
FAMILY = {name: ARCHITECTURES[name] for name in ("llama", "qwen3", "gemma")}
FAMILY["mistral, window of 8"] = WINDOWED["mistral"]


@pytest.fixture(scope="module", params=FAMILY)
def model(request):
    return random_model(FAMILY[request.param]())


class Recorder:
    """Stands in for CUDA: computes anew at each replay, on the tensors that it was recorded with."""

    def __init__(self):
        self.recorded, self.replayed = 0, 0

    def __call__(self, compute):
        self.recorded += 1

        def replay():
            self.replayed += 1
            compute()

        return replay


def step_by_step(runner, seed):
    """Logits of a few steps of prefill, trees and commits."""
    chance = random.Random(seed)
    runner.begin(random_tokens(11, seed))
    rows = []
    for size in (0, 1, 2, 5, 9, 0, 3):
        tree = random_tree(size, chance)
        rows.append(runner.score(tree))
        path: list[int] = []
        children = tree.children()
        while children[path[-1] + 1 if path else 0]:
            path.append(chance.choice(children[path[-1] + 1 if path else 0]))
        runner.commit(path, [*(tree.tokens[node] for node in path), chance.randrange(60)])
    return torch.cat(rows)


@pytest.mark.parametrize("stride", [16, 64], ids=["a cache that grows", "a cache that does not"])
def test_padded_passes_equal_plain_ones(model, stride, monkeypatch):
    monkeypatch.setattr(cuda_graph, "STRIDE", stride)
    recorder = Recorder()
    found = step_by_step(Runner(CudaGraphForward(model, recorder), CONTEXT), 3)
    torch.testing.assert_close(found, step_by_step(Runner(FusedForward(model), CONTEXT), 3), **EXACT)
    assert recorder.replayed >= 8


def test_a_size_is_recorded_once_while_the_cache_stays(model):
    recorder = Recorder()
    runner = Runner(CudaGraphForward(model, recorder), CONTEXT)
    runner.begin(random_tokens(5, 1))
    for _ in range(6):
        runner.score(random_tree(3, random.Random(1)))
        runner.commit((), [7])
    assert recorder.recorded == 1  # the four tokens of the prompt share a size with passes of four rows
    assert recorder.replayed == 1 + 6


def test_a_pass_beyond_the_largest_size_runs_as_it_is(model, monkeypatch):
    monkeypatch.setattr(cuda_graph, "SIZES", (1, 2))
    recorder = Recorder()
    text = random_tokens(9, 2)
    found, plain = Runner(CudaGraphForward(model, recorder), CONTEXT), Runner(FusedForward(model), CONTEXT)
    for runner in (found, plain):
        runner.begin(text)
    tree = random_tree(6, random.Random(2))
    torch.testing.assert_close(found.score(tree), plain.score(tree), **EXACT)
    assert recorder.replayed == 0


@pytest.mark.gpu
@pytest.mark.parametrize("name", FAMILY)
def test_recorded_passes_equal_plain_ones_on_a_gpu(name):
    model = random_model(FAMILY[name]()).to("cuda", torch.float32)
    found = step_by_step(Runner(CudaGraphForward(model), CONTEXT), 3)
    right = step_by_step(Runner(FusedForward(model), CONTEXT), 3)
    torch.testing.assert_close(found, right, atol=1e-4, rtol=0)
