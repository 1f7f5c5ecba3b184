"""GGUF files that are split, cut short or lie about lengths; and conversions that something wrote to."""

import os
import struct
import time

import gguf_files as files
import pytest
import torch

from specdec_cli.errors import InputError
from specdec_cli.models.gguf import header as headers
from specdec_cli.models.gguf.header import read_header
from specdec_cli.models.hub import gguf
from specdec_cli.models.loader import load_model, load_tokenizer_only

TEXT = list(range(2, 40))


def logits(path):
    return files.logits(load_model(str(path), dtype="float32").model, TEXT)


@pytest.mark.parametrize("given", [0, 1, 2])
def test_any_part_of_a_split_file_loads_the_whole_model_once(tmp_path, cache, given):
    parts, model = files.split(tmp_path / "m.gguf", 3)
    assert torch.equal(logits(parts[given]), files.logits(model, TEXT))
    load_model(str(parts[0]))
    assert len(list((cache / "converted").iterdir())) == 1


@pytest.mark.parametrize("given", [0, 1])
@pytest.mark.parametrize("read", [load_model, load_tokenizer_only])
def test_a_missing_part_is_named_and_nothing_is_cached(tmp_path, cache, given, read):
    parts, _ = files.split(tmp_path / "m.gguf", 3)
    parts[2].unlink()
    with pytest.raises(InputError, match=r"one of 3 parts, and m-00003-of-00003\.gguf is not there"):
        read(str(parts[given]))
    assert not (cache / "converted").exists()


def test_a_part_of_another_name_is_not_taken_for_a_model(tmp_path):
    parts, _ = files.split(tmp_path / "m.gguf", 2)
    renamed = parts[0].rename(tmp_path / "model.gguf")
    with pytest.raises(InputError, match="one of 2 parts, and its name does not say which"):
        load_model(str(renamed))


def test_parts_in_another_order_are_refused(tmp_path):
    (first, second, third), _ = files.split(tmp_path / "m.gguf", 3)
    third.rename(tmp_path / "kept")
    second.rename(third)
    (tmp_path / "kept").rename(second)
    with pytest.raises(InputError, match=r"it is no part 2 of 3: split\.no is 2"):
        load_model(str(first))


def test_a_part_of_a_model_of_other_tensors_is_refused(tmp_path):
    (first, second), _ = files.split(tmp_path / "m.gguf", 2)
    (tmp_path / "other").mkdir()
    (_, other), _ = files.split(tmp_path / "other" / "m.gguf", 2, without=("blk.1.ffn_up.weight",))
    other.replace(second)
    with pytest.raises(InputError, match=r"split\.tensors\.count is not that of|parts hold"):
        load_model(str(first))


@pytest.mark.parametrize("name", ["blk.0.ffn_up.weight", "blk.1.ffn_down.weight"])
def test_a_transposed_tensor_is_refused_though_it_has_as_many_numbers(tmp_path, name):
    _, model = files.llama(tmp_path / "m.gguf")
    tensors = files.arrays(model, "llama", paired=True)
    path, _ = files.llama(tmp_path / "t.gguf", more={name: tensors[name].T.copy()})
    with pytest.raises(InputError, match=rf"its tensor {name} has the sizes \[\d+, \d+\], and \S+ needs"):
        load_model(str(path))


def test_a_part_with_other_keys_is_refused(tmp_path):
    (first, second), _ = files.split(tmp_path / "m.gguf", 2)
    files.patched(second, b"split.count", b"split.coumt")
    with pytest.raises(InputError, match="no part 2 of 2"):
        load_model(str(first))


def test_a_part_that_changes_is_converted_again(tmp_path):
    (first, second), _ = files.split(tmp_path / "m.gguf", 2)
    before = logits(first)
    (tmp_path / "new").mkdir()
    (_, newer), _ = files.split(tmp_path / "new" / "m.gguf", 2, seed=1)
    newer.replace(second)
    assert not torch.equal(logits(first), before)


def test_a_whole_file_named_like_a_part_loads(tmp_path):
    path, model = files.llama(tmp_path / "m-00001-of-00001.gguf")
    assert torch.equal(logits(path), files.logits(model, TEXT))


HUGE = 1 << 60


def raw(tensors=0, keys=0, rest=b"", magic=b"GGUF", version=3):
    return magic + struct.pack("<IQQ", version, tensors, keys) + rest


def text(word):
    return struct.pack("<Q", len(word)) + word


ABSURD = {
    "no letters": raw(magic=b"GGML"),
    "an older version": raw(version=1),
    "the other order of bytes": raw(version=3 << 24),
    "tensors without end": raw(tensors=HUGE),
    "keys without end": raw(keys=HUGE),
    "a few more tensors than fit": raw(tensors=3, rest=b"\0" * 64),
    "a key without end": raw(keys=1, rest=struct.pack("<Q", HUGE) + b"\0" * 64),
    "a string without end": raw(keys=1, rest=text(b"a.b") + struct.pack("<IQ", 8, HUGE) + b"\0" * 64),
    "an array without end": raw(keys=1, rest=text(b"a.b") + struct.pack("<IIQ", 9, 4, HUGE) + b"\0" * 64),
    "an array of strings without end": raw(keys=1, rest=text(b"a.b") + struct.pack("<IIQ", 9, 8, HUGE)),
    "an array of arrays": raw(keys=1, rest=text(b"a.b") + struct.pack("<IIQ", 9, 9, 4) + b"\0" * 64),
    "an unknown type of value": raw(keys=1, rest=text(b"a.b") + struct.pack("<I", 77) + b"\0" * 64),
    "a key twice": raw(keys=2, rest=(text(b"a.b") + struct.pack("<II", 4, 1)) * 2),
    "a dimension without end": raw(tensors=1, rest=text(b"w") + struct.pack("<IQIQ", 1, HUGE, 0, 0)),
    "dimensions without end": raw(tensors=1, rest=text(b"w") + struct.pack("<I", 1 << 31) + b"\0" * 64),
    "a dimension of nothing": raw(tensors=1, rest=text(b"w") + struct.pack("<IQIQ", 1, 0, 0, 0)),
    "a row that no block fits": raw(
        tensors=1, rest=text(b"w") + struct.pack("<IQIQ", 1, 33, 2, 0) + b"\0" * 99
    ),
    "an unknown type of tensor": raw(tensors=1, rest=text(b"w") + struct.pack("<IQIQ", 1, 1, 999, 0)),
    "a tensor beyond the end": raw(tensors=1, rest=text(b"w") + struct.pack("<IQIQ", 1, 8, 0, HUGE)),
    "a tensor twice": raw(tensors=2, rest=(text(b"w") + struct.pack("<IQIQ", 1, 1, 0, 0)) * 2 + b"\0" * 99),
    "tensors on top of each other": raw(
        tensors=2,
        rest=text(b"v")
        + struct.pack("<IQIQ", 1, 16, 0, 0)
        + text(b"w")
        + struct.pack("<IQIQ", 1, 8, 0, 32)
        + b"\0" * 99,
    ),
    "an alignment of 3": raw(keys=1, rest=text(b"general.alignment") + struct.pack("<II", 4, 3)),
    "an alignment of 0": raw(keys=1, rest=text(b"general.alignment") + struct.pack("<II", 4, 0)),
    "words that are no UTF-8 and no architecture": raw(
        keys=1, rest=text(b"\xff\xfe") + struct.pack("<II", 4, 0)
    ),
}


@pytest.mark.parametrize("case", ABSURD)
def test_an_absurd_header_is_refused_in_one_line_and_at_once(tmp_path, cache, case):
    path = tmp_path / "m.gguf"
    path.write_bytes(ABSURD[case])
    began = time.process_time()
    with pytest.raises(InputError, match="cannot be read as a GGUF model") as caught:
        load_model(str(path))
    assert time.process_time() - began < 5
    assert "\n" not in caught.value.problem
    assert len(caught.value.problem) < 400 + len(str(path))
    assert not (cache / "converted").exists()


def test_a_header_longer_than_any_model_needs_is_refused(tmp_path, monkeypatch):
    path, _ = files.llama(tmp_path / "m.gguf")
    monkeypatch.setattr(headers, "MAX_HEADER_BYTES", 1000)
    with pytest.raises(InputError, match="header is longer than 1,000 bytes"):
        load_model(str(path))
    monkeypatch.setattr(headers, "MAX_HEADER_BYTES", 1 << 20)
    monkeypatch.setattr(headers, "MAX_ENTRIES", 100)
    with pytest.raises(InputError, match=r"promises 259 entries up to tokenizer\.ggml\.tokens"):
        load_model(str(path))


@pytest.mark.parametrize("kept", [*range(0, 9000, 700), -1])
def test_a_file_cut_anywhere_is_refused(tmp_path, kept):
    path, _ = files.llama(tmp_path / "m.gguf")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="cannot be read as a GGUF model"):
        read_header(path)


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "m.gguf")
    with pytest.raises(InputError, match="no regular file"):
        load_model(str(tmp_path / "m.gguf"))


def weights_of(cache):
    (folder,) = (cache / "converted").iterdir()
    return folder / "model.safetensors"


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_conversion_with_zeros_inside_is_done_again(tmp_path, cache, keep_times):
    path, model = files.llama(tmp_path / "m.gguf")
    load_model(str(path))
    weights = weights_of(cache)
    stat = weights.stat()
    with weights.open("r+b") as file:
        file.seek(stat.st_size - 9000)
        file.write(bytes(512))
    if keep_times:
        os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert torch.equal(logits(path), files.logits(model, TEXT))


def test_a_conversion_that_was_only_touched_is_kept_and_read_once(tmp_path, cache, monkeypatch):
    from specdec_cli.models.hub import manifest

    path, _ = files.llama(tmp_path / "m.gguf")
    load_model(str(path))
    os.utime(weights_of(cache))
    read = []
    digest = manifest._digest

    def noted(path):
        read.append(path.name)
        return digest(path)

    monkeypatch.setattr(manifest, "_digest", noted)
    monkeypatch.setattr(gguf, "read_parts", None)
    load_model(str(path))
    load_model(str(path))
    assert read == ["model.safetensors"]


def test_a_conversion_of_an_older_version_is_done_again(tmp_path, cache):
    import json

    path, _ = files.llama(tmp_path / "m.gguf")
    load_model(str(path))
    manifest = weights_of(cache).with_name("specdec.json")
    content = json.loads(manifest.read_text())
    sizes = {name: kept["size"] for name, kept in content["files"].items()}
    manifest.write_text(json.dumps({"format": 1, "source": content["source"], "files": sizes}))
    said: list[str] = []
    load_model(str(path), report=said.append)
    assert said[0].startswith("Converting m.gguf (0M parameters)")
    assert said[-1] == "Converting m.gguf: 95%"
