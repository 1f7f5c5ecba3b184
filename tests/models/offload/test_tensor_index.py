"""What a damaged or lying checkpoint says before any weight is read, and while it is streamed."""

import json
from pathlib import Path

import pytest
import tiny_checkpoints as tiny
import torch
from safetensors.torch import load_file, save_file

from specdec_cli.errors import InputError, SpecdecError
from specdec_cli.models.hf.checkpoint import INDEX
from specdec_cli.models.offload.layout import ALIGNMENT, GAP, lay_out
from specdec_cli.models.offload.tensor_index import TensorLocation, read_locations, read_tensor


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    folder = tmp_path / "sharded"
    tiny.model("Llama", num_hidden_layers=3).save_pretrained(folder, max_shard_size="20KB")
    return folder


def test_every_tensor_is_found_where_it_lies(sharded):
    locations = read_locations(sharded)
    expected: dict[str, torch.Tensor] = {}
    for shard in sharded.glob("*.safetensors"):
        expected |= load_file(shard)
    assert locations.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(read_tensor(locations[name]), tensor)
        assert torch.equal(read_tensor(locations[name], torch.bfloat16), tensor.bfloat16())


def test_a_shard_cut_short_is_named(sharded):
    shard = sorted(sharded.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-8])
    with pytest.raises(SpecdecError, match=rf"{shard.name} is damaged: it has"):
        read_locations(sharded)


def test_an_index_that_names_the_wrong_shard_is_refused(sharded):
    index = json.loads((sharded / INDEX).read_text())
    files = sorted(set(index["weight_map"].values()))
    name = next(name for name, file in index["weight_map"].items() if file == files[0])
    index["weight_map"][name] = files[1]
    (sharded / INDEX).write_text(json.dumps(index))
    with pytest.raises(SpecdecError, match=rf"{files[1]} does not hold {name}"):
        read_locations(sharded)


def test_an_index_that_names_what_no_shard_holds_is_refused(sharded):
    index = json.loads((sharded / INDEX).read_text())
    index["weight_map"]["model.layers.7.mlp.up_proj.weight"] = sorted(index["weight_map"].values())[0]
    (sharded / INDEX).write_text(json.dumps(index))
    with pytest.raises(SpecdecError, match=r"does not hold model\.layers\.7\.mlp\.up_proj\.weight"):
        read_locations(sharded)


def test_a_tensor_in_two_shards_is_refused(sharded):
    one, other = sorted(sharded.glob("*.safetensors"))[:2]
    both = load_file(other) | {"model.norm.weight": torch.ones(32)}
    save_file(both, other)
    save_file(load_file(one) | {"model.norm.weight": torch.ones(32)}, one)
    with pytest.raises(SpecdecError, match=r"holds model\.norm\.weight in two files"):
        read_locations(sharded)


def test_a_header_whose_sizes_contradict_its_shapes_is_refused(tmp_path):
    file = tmp_path / "model.safetensors"
    header = json.dumps({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(SpecdecError, match="a has another size than its shape"):
        read_locations(tmp_path)


def test_an_unusual_number_format_is_refused(tmp_path):
    save_file({"a": torch.zeros(4, dtype=torch.float8_e4m3fn)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="such numbers are not streamed"):
        read_locations(tmp_path)


def test_a_file_that_becomes_shorter_is_noticed(tmp_path):
    save_file({"a": torch.zeros(4096)}, tmp_path / "model.safetensors")
    location = read_locations(tmp_path)["a"]
    (tmp_path / "model.safetensors").write_bytes(bytes(100))
    with pytest.raises(SpecdecError, match="became shorter"):
        read_tensor(location)


def test_neighbours_are_read_in_one_run_and_strangers_apart():
    def location(start, file="f"):
        return TensorLocation(Path(file), start, (256,), torch.float32)

    far = GAP + 10_000
    layout = lay_out({"a": location(100), "b": location(1124), "c": location(far), "d": location(0, "g")})
    assert [(each.start, each.needed) for each in layout.extents] == [
        (0, 2148), (far // ALIGNMENT * ALIGNMENT, far % ALIGNMENT + 1024), (0, 1024),
    ]  # fmt: skip
    assert all(each.start % ALIGNMENT == each.length % ALIGNMENT == each.to % ALIGNMENT == 0
               for each in layout.extents)  # fmt: skip
    assert layout.size == sum(each.length for each in layout.extents) == layout.read_bytes
    assert layout.offsets == {"a": 100, "b": 1124, "c": 4096 + far % ALIGNMENT, "d": 4096 + 4096}
