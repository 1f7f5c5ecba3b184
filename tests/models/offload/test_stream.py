"""A model whose layers are streamed computes what it computes with its layers in memory."""

import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_checkpoints as tiny
import torch
from random_models import random_tree
from safetensors.torch import load_file, save_file

from specdec_cli.errors import InputError
from specdec_cli.models.forward.fused import FusedForward
from specdec_cli.models.forward.hf import HFForward
from specdec_cli.models.forward.select import new_forward
from specdec_cli.models.hf.decoder_layers import stack_path
from specdec_cli.models.loader import load_model
from specdec_cli.models.offload.disk import DIRECT, DROPPED
from specdec_cli.models.offload.load import Offload
from specdec_cli.models.offload.memory_plan import Limits, Workload
from specdec_cli.models.runner.model_runner import Runner

CONTEXT, LAYERS = 128, 5
SHAPE = {"num_hidden_layers": LAYERS, "initializer_range": 0.3}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Llama, tied": {"architecture": "Llama", "tie_word_embeddings": True},
    "Llama, biases": {"architecture": "Llama", "attention_bias": True, "mlp_bias": True},
    "Mistral": {},
    "Qwen2": {},
    "Qwen3": {},
    "Gemma": {},
    "Phi3": {"pad_token_id": 0},
    "GPT2": {},
    "Gemma2": {"sliding_window": 8},
    "Gemma3Text": {"sliding_window": 8},
}
FUSABLE = ("Llama", "Llama, tied", "Llama, biases", "Mistral", "Qwen2", "Qwen3", "Gemma")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    made = {}
    for name, changes in ARCHITECTURES.items():
        made[name] = tiny.folder(root / name, **{"architecture": name, **SHAPE, **changes})
    return made


def offload(resident=1, **changes):
    return Offload(
        **{"to": "disk", "work": Workload(16, 8, 512), "limits": Limits(None, resident), **changes}
    )


def loaded(folder, resident=1, dtype="float32"):
    return load_model(str(folder), device="cpu", dtype=dtype, offload=offload(resident))


def passes(forward, seed=0):
    """The logits of several passes over trees, the text growing by paths through them."""
    chance, found = random.Random(seed), []
    runner = Runner(forward, CONTEXT)
    runner.begin([chance.randrange(61) for _ in range(20)])
    for size in (0, 1, 7, 12):
        tree = random_tree(size, chance)
        found.append(runner.score(tree))
        path: list[int] = []
        if size:
            node = chance.randrange(size)
            while node >= 0:
                path.insert(0, node)
                node = tree.parents[node]
        runner.commit(path, [*(tree.tokens[node] for node in path), 5])
    return torch.cat(found)


def assert_same_weights(streamed, whole):
    """Bit for bit; products may differ in rounding, since weights in memory lie as they do in the file."""
    right = whole.state_dict()
    path = ".".join(stack_path(streamed.model))
    for number in range(LAYERS):
        with streamed.stream.use(number) as tensors:
            for name, tensor in tensors.items():
                assert torch.equal(tensor, right[f"{path}.{number}.{name}"])


def assert_close(found, expected):
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("resident", [0, 2])
def test_through_the_module_it_has_the_weights_and_the_logits_of_transformers_own_model(
    folders, name, resident
):
    streamed, whole = loaded(folders[name], resident), load_model(str(folders[name]), dtype="float32")
    assert_same_weights(streamed, whole.model)
    assert_close(passes(HFForward(streamed.model)), passes(HFForward(whole.model)))
    assert streamed.parameters == whole.parameters
    assert streamed.stop_tokens == whole.stop_tokens


@pytest.mark.parametrize("name", FUSABLE)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_through_the_fused_pass_it_has_the_bits_of_itself_in_memory(folders, name, dtype):
    few, all_of_it = loaded(folders[name], 1, dtype), loaded(folders[name], LAYERS, dtype)
    streamed, resident = (new_forward(each.model, each.stream) for each in (few, all_of_it))
    assert isinstance(streamed, FusedForward)
    assert few.stream.pass_bytes > 0
    assert all_of_it.stream.pass_bytes == 0
    assert torch.equal(passes(streamed), passes(resident))
    assert few.stream.traffic.layers == 5 * (LAYERS - 1)  # a prompt and four trees
    assert all_of_it.stream.traffic.layers == 0


@pytest.mark.parametrize("name", FUSABLE)
def test_the_fused_pass_and_the_module_agree(folders, name):
    model = loaded(folders[name])
    fused, module = passes(new_forward(model.model, model.stream)), passes(HFForward(model.model))
    assert (fused - module).abs().max() < 1e-4 * module.abs().max()


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_another_format_are_converted_as_transformers_does(folders, tmp_path, stored):
    folder = tiny.folder(tmp_path / "stored", **SHAPE)
    weights = load_file(folder / "model.safetensors")
    save_file({name: each.to(stored) for name, each in weights.items()}, folder / "model.safetensors")
    streamed, whole = loaded(folder), load_model(str(folder), dtype="float32")
    assert_same_weights(streamed, whole.model)
    assert_close(passes(HFForward(streamed.model)), passes(HFForward(whole.model)))


def test_a_sharded_checkpoint_with_an_odd_header_is_read_as_it_is(tmp_path):
    made = tiny.model(**SHAPE, architecture="Llama")
    folder = tiny.folder(tmp_path / "sharded", **SHAPE)
    (folder / "model.safetensors").unlink()
    made.save_pretrained(folder, max_shard_size="20KB")
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 3
    for shard in shards:
        _shift(shard)
    whole = load_model(str(folder), dtype="float32")
    streamed = loaded(folder)
    assert_same_weights(streamed, whole.model)
    assert_close(passes(HFForward(streamed.model)), passes(HFForward(whole.model)))


def _shift(shard: Path) -> None:
    """Lengthen a header by a byte, so that no tensor lies where its numbers could be read in place."""
    content = shard.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length] + b" " * (1 if length % 2 == 0 else 2)
    shard.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])


def test_without_direct_reading_it_reads_through_the_cache_and_drops_it(folders, monkeypatch):
    expected = passes(HFForward(loaded(folders["Llama"]).model))

    def refuse(*_: object) -> int:
        raise OSError(22, "Invalid argument")

    opened, direct = os.open, os.O_DIRECT
    monkeypatch.setattr(os, "open", lambda file, flags: refuse() if flags & direct else opened(file, flags))
    model = loaded(folders["Llama"])
    assert model.stream.source.how == DROPPED
    assert torch.equal(passes(HFForward(model.model)), expected)


def test_files_on_a_disk_are_read_past_the_cache(folders):
    assert loaded(folders["Llama"]).stream.source.how in (DIRECT, DROPPED)


def test_a_stream_that_takes_one_matrix_for_another_is_caught(folders):
    """The negative control: the comparison above sees it."""
    whole = passes(HFForward(load_model(str(folders["Llama"]), dtype="float32").model))
    model = loaded(folders["Llama"], 0)
    wrong = replace(model.stream.layouts[2], offsets=_swapped(model))
    model.stream.layouts = {**model.stream.layouts, 2: wrong}
    assert not torch.equal(passes(HFForward(model.model)), whole)


def _swapped(model):
    offsets = dict(model.stream.layouts[2].offsets)
    one, other = "self_attn.q_proj.weight", "self_attn.o_proj.weight"
    offsets[one], offsets[other] = offsets[other], offsets[one]
    return offsets


def test_the_target_of_a_disk_run_is_computed_on_the_cpu_and_one_of_ram_on_a_gpu(folders):
    with pytest.raises(InputError, match="streams from RAM to a GPU"):
        load_model(str(folders["Llama"]), device="cpu", offload=offload(to="cpu"))


def test_a_quantised_checkpoint_is_refused(folders, tmp_path):
    folder = tiny.folder(tmp_path / "quantised", **SHAPE)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="is quantised, and only plain weights are streamed"):
        loaded(folder)


def test_pickled_weights_are_refused(tmp_path):
    folder = tiny.folder(tmp_path / "pickled", **SHAPE)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="are pickled"):
        loaded(folder)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["Llama", "Qwen3", "GPT2"])
def test_from_ram_to_a_gpu_it_has_the_bits_of_itself_on_the_gpu(folders, name):
    few, all_of_it = (
        load_model(str(folders[name]), device="cuda", dtype="float32", offload=offload(count, to="cpu"))
        for count in (1, LAYERS)
    )
    streamed, resident = (new_forward(each.model, each.stream) for each in (few, all_of_it))
    assert torch.equal(passes(streamed), passes(resident))
