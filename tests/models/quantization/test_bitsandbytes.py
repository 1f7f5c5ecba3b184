"""Weights rounded by bitsandbytes compute what they stand for."""

import importlib.util

import pytest
import tiny_checkpoints as tiny
import torch
from torch import nn

from specdec_cli.errors import InputError
from specdec_cli.models.forward.select import new_forward
from specdec_cli.models.loader import load_model
from specdec_cli.models.quantization import bitsandbytes
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.tree import ROOT, TokenTree

SIZES = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16, "initializer_range": 0.3}
installed = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is an extra"
)


@pytest.fixture
def folder(tmp_path):
    return str(tiny.folder(tmp_path / "model", **SIZES))


def dense(module):
    """The weight (N, K) that a rounded product stands for, by bitsandbytes' own unpacking."""
    dequantize_4bit = pytest.importorskip("bitsandbytes.functional").dequantize_4bit
    if type(module).__name__ == "Linear4bit":
        return dequantize_4bit(module.weight.data, module.weight.quant_state).float()
    scale = module.state.SCB if module.weight.SCB is None else module.weight.SCB  # moves at the first pass
    return module.weight.data.float() * scale[:, None] / 127


def both(folder, kind):
    return [load_model(folder, device="cpu", dtype="float32", quantize=each) for each in (kind, "none")]


@torch.inference_mode()
def logits(model):
    return model(input_ids=torch.tensor([[5, 9, 30, 7, 60]])).logits[0].float()


@installed
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "tolerance"), [("bnb-4bit", 1e-4), ("bnb-8bit", 0.05)])
def test_the_model_computes_what_its_rounded_weights_stand_for(folder, kind, tolerance):
    rounded, full = (
        load_model(folder, device="cpu", dtype="float32", quantize=each) for each in (kind, "none")
    )
    found, exact = logits(rounded.model), logits(full.model)
    changed = 0
    for name, module in rounded.model.named_modules():
        if type(module).__name__ in ("Linear4bit", "Linear8bitLt"):
            plain = full.model.get_submodule(name)
            assert type(plain) is nn.Linear
            assert 0 < (dense(module) - plain.weight).abs().max() < 0.35 * plain.weight.abs().max()
            plain.weight = nn.Parameter(dense(module), requires_grad=False)
            changed += 1
    expected = logits(full.model)
    assert changed == 14
    assert (found - expected).square().mean().sqrt() < tolerance * expected.square().mean().sqrt()
    if kind == "bnb-4bit":  # 8 bits also round the activations
        assert (found - exact).abs().max() > 10 * (found - expected).abs().max()


@installed
@pytest.mark.filterwarnings("ignore")
def test_it_scores_trees_and_counts_its_weights_whole(folder):
    loaded, full = both(folder, "bnb-4bit")
    assert loaded.parameters == full.parameters
    runner = Runner(new_forward(loaded.model), 64)
    runner.begin([5, 9, 30, 7])
    tree = TokenTree((60, 61, 62), (ROOT, ROOT, 1))
    beside = runner.score(tree)[-1]
    with torch.inference_mode():
        alone = loaded.model(input_ids=torch.tensor([[5, 9, 30, 7, 61, 62]])).logits[0, -1]
    assert torch.allclose(beside, alone, atol=1e-3 * float(alone.abs().max()))


def test_without_the_package_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setattr(bitsandbytes, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs bitsandbytes, which is not installed"):
        load_model(folder, device="cpu", quantize="bnb-4bit")
