"""A model's small files are read by schemas: what no model can have is refused before anything is built."""

import json
import math
import os
import time

import pytest
import tiny_checkpoints as tiny
import torch

from specdec_cli.errors import SpecdecError
from specdec_cli.models.hf.checkpoint import (
    context_length,
    read_config,
    require_generation_config,
    weight_bytes,
)
from specdec_cli.models.hf.tokenizer import read_tokenizer
from specdec_cli.models.offload.tensor_index import read_locations

SIZES = {
    "num_hidden_layers": (10**6, 3000, 10**30, -1, 0, "2", 2.0, True, [2, "2"]),
    "hidden_size": (10**9, -32, 0, "32", 32.5, {}),
    "intermediate_size": (10**9, -1, "48"),
    "num_attention_heads": (10**6, 0, -4, "4", 3),
    "num_key_value_heads": (10**6, 0, -2, 3, 8),
    "head_dim": (10**6, 0, -8, "8"),
    "vocab_size": (10**9, 0, -1, "259"),
    "max_position_embeddings": (10**30, -1, "128", 1.5, math.inf),
    "eos_token_id": ("x", 10**30, -7, [1, "x"], {}, True),
    "rms_norm_eps": (math.nan, math.inf, 10**400),
    "rope_parameters": (
        {"rope_type": "linear", "factor": math.inf, "rope_theta": 1e4},
        {"rope_type": "default", "rope_theta": math.nan},
    ),
}
TOO_LARGE = {
    "num_hidden_layers": (100, "it asks for 100 layers, and 21 tensors are stored"),
    "hidden_size": (100_000, "it asks for a matrix 100,000 x 32, more than all that is stored"),
    "intermediate_size": (100_000, "it asks for a matrix 32 x 100,000"),
    "head_dim": (16_000, "it asks for a matrix 32 x 64,000"),
    "vocab_size": (16_000_000, "it asks for a matrix 32 x 16,000,000"),
}
CASES = [(name, value) for name, values in SIZES.items() for value in values]
NO_OBJECTS = {
    "": "not valid JSON",
    "[]": "expected object, got array",
    "null": "expected object, got null",
    '"x"': "expected object, got str",
    "3": "expected object, got int",
    '{"a":': "not valid JSON",
    "[" * 100_000: "nested too deeply",
    '{"a":' * 100_000: "nested too deeply",
    '{"a":' + "9" * 5000 + "}": "not valid JSON",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tiny.folder(tmp_path_factory.mktemp("models") / "whole")


@pytest.fixture
def folder(whole, tmp_path):
    """A copy whose files can be changed one by one."""
    made = tmp_path / "model"
    made.mkdir()
    for path in whole.iterdir():
        (made / path.name).write_bytes(path.read_bytes())
    return made


def refusal(call, *arguments):
    begun = time.monotonic()
    with pytest.raises(SpecdecError) as refused:
        call(*arguments)
    assert time.monotonic() - begun < 10
    assert refused.value.exit_code == 2
    assert "\n" not in refused.value.problem
    return refused.value.problem


def change(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(("name", "value"), CASES, ids=[f"{name}={str(value)[:20]}" for name, value in CASES])
@pytest.mark.parametrize("within", [False, True])
def test_a_size_that_no_model_has_is_named(folder, name, value, within):
    inner = {**json.loads((folder / "config.json").read_text()), name: value}
    change(folder, **({"text_config": inner} if within else {name: value}))
    said = refusal(read_config, folder)
    assert "config.json is damaged: " in said
    assert name in said or "heads" in said


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_size_beyond_all_that_is_stored_is_named(folder, name):
    value, says = TOO_LARGE[name]
    change(folder, **{name: value})
    assert says in refusal(read_config, folder)


def test_a_hidden_size_divides_into_heads_where_these_state_no_size(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    del config["head_dim"]
    path.write_text(json.dumps({**config, "hidden_size": 34}))
    assert "a hidden size of 34 does not divide into 4 heads" in refusal(read_config, folder)


def test_what_a_configuration_leaves_open_stays_open(folder):
    change(
        folder,
        num_key_value_heads=None,
        head_dim=8,
        pad_token_id=None,
        eos_token_id=[1, 0],
        sliding_window=None,
    )
    assert context_length(read_config(folder)) == 128


@pytest.mark.parametrize("text", NO_OBJECTS, ids=[text[:9] for text in NO_OBJECTS])
@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "quantize_config.json"])
def test_a_file_that_is_no_object_is_named(folder, name, text):
    (folder / name).write_text(text)
    read = require_generation_config if name == "generation_config.json" else read_config
    said = refusal(read, folder)
    assert name in said
    assert NO_OBJECTS[text] in said


@pytest.mark.parametrize(
    ("content", "says"), [("{}".encode("utf-16"), "UTF-16"), (b'{"a": "\xff"}', "not UTF-8")]
)
def test_a_file_of_another_encoding_is_named(folder, content, says):
    (folder / "config.json").write_bytes(content)
    assert says in refusal(read_config, folder)


def header(path):
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def write(path, value, data, length=None):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)


NORM = "model.norm.weight"  # 32 numbers of 4 bytes
ENTRIES = {
    "shape[0]: expected int >= 0": {"shape": [-32]},
    "shape[0]: expected int, got str": {"shape": ["32"]},
    "shape[0]: expected int, got float": {"shape": [32.0]},
    "shape: expected array, got null": {"shape": None},
    "shape[0]: expected int <= ": {"shape": [10**30]},
    "has another size than its shape": {"shape": [2**50, 2**50]},
    "dtype: expected str, got int": {"dtype": 4},
    "is of an unknown number format, 'F31'": {"dtype": "F31"},
    "data_offsets[0]: expected int >= 0": {"data_offsets": [-128, 0]},
    "data_offsets: expected array of length 2": {"data_offsets": [0]},
    "data_offsets[1]: expected int, got null": {"data_offsets": [0, None]},
}
HEADERS = {
    "expected object, got array": b"[]",
    "not valid JSON": b"{",
    "it is no text": b'{"\xff": 1}',
    "nested too deeply": b"[" * 100_000,
    "a: expected object, got array": b'{"a": []}',
    "a: dtype is missing": b'{"a": {}}',
}


@pytest.mark.parametrize("read", [lambda folder: weight_bytes(folder, torch.float32), read_locations])
@pytest.mark.parametrize("says", ENTRIES)
def test_a_tensor_that_a_header_cannot_have_is_named(folder, read, says):
    path = folder / "model.safetensors"
    entries, data = header(path)
    entries[NORM] |= ENTRIES[says]
    write(path, entries, data)
    said = refusal(read, folder)
    assert "model.safetensors is damaged: " in said
    assert NORM in said
    assert says in said


@pytest.mark.parametrize("says", HEADERS)
def test_a_header_that_is_none_is_told(folder, says):
    write(folder / "model.safetensors", HEADERS[says], b"")
    assert says in refusal(weight_bytes, folder, torch.float32)


def test_tensors_that_share_bytes_or_leave_some_out_are_named(folder):
    path = folder / "model.safetensors"
    entries, data = header(path)
    first = min(
        (name for name in entries if "data_offsets" in entries[name]),
        key=lambda n: entries[n]["data_offsets"],
    )
    norm = entries[NORM]["data_offsets"]
    shared = {**entries, NORM: {**entries[NORM], "data_offsets": [0, 128]}}
    write(path, shared, data)
    assert "another tensor" in refusal(weight_bytes, folder, torch.float32)
    moved = {**entries, NORM: {**entries[NORM], "data_offsets": [each + 4 for each in norm]}}
    write(path, moved, data)
    said = refusal(weight_bytes, folder, torch.float32)
    assert "does not follow the tensor before" in said or "another tensor" in said
    gone = {name: entry for name, entry in entries.items() if name != first}
    write(path, gone, data)
    assert "does not follow the tensor before" in refusal(weight_bytes, folder, torch.float32)


def test_the_length_of_a_header_is_not_believed(folder):
    path = folder / "model.safetensors"
    for length, size, says in (
        (2**63, 0, "cut short"),
        (0, 0, "cut short"),
        (150_000_000, 150_000_001, "at most"),
    ):
        write(path, b"{}", b"", length)
        if size:
            os.truncate(path, size + 8)
        assert says in refusal(weight_bytes, folder, torch.float32)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "expected object, got array"),
        ("{}", "weight_map is missing"),
        ('{"weight_map": []}', "weight_map: expected object"),
        ('{"weight_map": {"a": 3}}', "expected str, got int"),
        (
            '{"weight_map": {"a": "../other.safetensors"}}',
            "../other.safetensors, which it lists, is not there",
        ),
        ('{"weight_map": {"a": "none.safetensors"}}', "none.safetensors, which it lists, is not there"),
    ],
)
def test_an_index_that_lists_no_files_of_the_folder_is_damaged(folder, text, says):
    (folder / "model.safetensors").rename(folder.parent / "other.safetensors")
    (folder / "model.safetensors.index.json").write_text(text)
    # A configuration can be read before its weights are there.
    for read in (read_locations,) if "not there" in says else (read_locations, read_config):
        assert says in refusal(read, folder)


@pytest.mark.parametrize(
    ("name", "says"), [("config.json", "holds no config.json"), ("model.safetensors", "no regular file")]
)
def test_a_pipe_for_a_file_is_not_waited_for(folder, name, says):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert says in refusal(lambda: (read_config(folder), weight_bytes(folder, torch.float32)))


@pytest.mark.parametrize("template", [3, [{"name": "default", "template": 3}], {"default": []}])
def test_a_chat_template_that_is_no_text_is_named(folder, template):
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": template}))
    with pytest.raises(SpecdecError, match="no usable tokenizer"):
        read_tokenizer(folder)
