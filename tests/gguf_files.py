"""GGUF files of tiny random models, by gguf's own writer, as llama.cpp's converter would write them."""

import json
from pathlib import Path

import gguf
import numpy as np
import tiny_checkpoints as tiny
import torch

from specdec_cli.models.loader import load_model

NAMES = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}
TOKENS = tiny.WORDS


def arrays(model, architecture, *, paired=False, plus_one=False, transposed=False, fused=None):
    """The model's weights by ggml's names, changed as the converter of the architecture changes them."""
    config = model.config
    heads, shared = config.num_attention_heads, getattr(config, "num_key_value_heads", None)
    names = gguf.get_tensor_name_map(NAMES[architecture], config.num_hidden_layers)
    found = {}
    for key, weight in model.state_dict().items():
        value = weight.detach().float().numpy()
        if key.startswith("lm_head."):
            if not config.tie_word_embeddings:
                found[key.replace("lm_head", "output")] = value
            continue
        if key.endswith("experts.gate_up_proj"):
            block = f"blk.{key.split('.')[2]}"
            half = value.shape[1] // 2
            found[f"{block}.ffn_gate_exps.weight"] = value[:, :half]
            found[f"{block}.ffn_up_exps.weight"] = value[:, half:]
            continue
        if key.endswith("experts.down_proj"):
            found[f"blk.{key.split('.')[2]}.ffn_down_exps.weight"] = value
            continue
        if paired and "q_proj" in key:
            value = pair(value, heads)
        if paired and "k_proj" in key:
            value = pair(value, shared)
        if plus_one and key.endswith("norm.weight"):
            value = value + 1
        if transposed and key.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            value = value.T
        if fused and "query_key_value" in key:
            value = apart(value, heads, fused)
        if key.endswith("shared_expert_gate.weight"):
            value = value[0]
        name = names.get_name(key, (".weight", ".bias"))
        name = name or names.get_name(key.removeprefix("transformer."), (".weight", ".bias"))
        found[name] = value
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in found.items()}


def pair(rows, heads):
    """The two halves of every rotary pair side by side."""
    return (
        rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
        .swapaxes(1, 2)
        .reshape(rows.shape)
    )


def apart(rows, heads, groups):
    """All queries, all keys, all values, of rows that have them group by group."""
    each = heads // groups + 2
    grouped = rows.reshape(groups, each, rows.shape[0] // groups // each, *rows.shape[1:])
    query, key, value = grouped[:, :-2], grouped[:, -2], grouped[:, -1]
    rest = rows.shape[1:]
    return np.concatenate([query.reshape(-1, *rest), key.reshape(-1, *rest), value.reshape(-1, *rest)])


def shape_keys(config, architecture, **more):
    """The keys of a plain decoder; None in `more` leaves one out."""
    keys = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "attention.head_count": config.num_attention_heads,
    }
    for key, name in (
        ("feed_forward_length", "intermediate_size"),
        ("attention.head_count_kv", "num_key_value_heads"),
    ):
        if getattr(config, name, None) is not None:
            keys[key] = getattr(config, name)
    for name in ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "norm_epsilon"):
        if getattr(config, name, None) is not None:
            rms = name == "rms_norm_eps"
            keys[f"attention.layer_norm_{'rms_' if rms else ''}epsilon"] = float(getattr(config, name))
    if getattr(config, "head_dim", None):
        keys |= {"attention.key_length": config.head_dim, "attention.value_length": config.head_dim}
    rope = getattr(config, "rope_parameters", None) or {}
    if "rope_theta" in rope:
        keys["rope.freq_base"] = float(rope["rope_theta"])
    keys |= more
    return {f"{architecture}.{key}": value for key, value in keys.items() if value is not None}


def word_keys(tokens=TOKENS, **more):
    """A byte-level tokenizer's keys; names without a dot are of tokenizer.ggml; None leaves one out."""
    keys = {
        "model": "gpt2",
        "pre": "default",
        "tokens": list(tokens),
        "token_type": [3 if token in tiny.SPECIAL else 1 for token in tokens],
        "merges": ["a b"],
        "bos_token_id": 0,
        "eos_token_id": 1,
        **more,
    }
    return {
        key if "." in key else f"tokenizer.ggml.{key}": value
        for key, value in keys.items()
        if value is not None
    }


def write(path: Path, architecture, keys, tensors, raw=None):
    """A file with these keys and arrays; `raw` has the types of those that are packed already."""
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in keys.items():
        _add(writer, key, value)
    for name, value in tensors.items():
        writer.add_tensor(name, value, raw_dtype=(raw or {}).get(name))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer, key, value):
    if value == []:
        return  # the format has no type for an array of nothing
    if isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value) if value >= 0 else writer.add_int32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    else:
        writer.add_string(key, value)


def llama(
    path: Path, *, keys=None, words=None, more=None, without=(), seed=0, rename=None, raw=None, **changes
):
    """A Llama's file and the model it was written from: (path, model)."""
    model = tiny.model(
        "Llama", seed=seed, **{"tie_word_embeddings": False, "initializer_range": 0.2, **changes}
    )
    tensors = arrays(model, "llama", paired=True) | (more or {})
    tensors = {
        (rename or {}).get(name, name): value for name, value in tensors.items() if name not in without
    }
    header = shape_keys(model.config, "llama", **(keys or {})) | word_keys(**(words or {}))
    return write(path, "llama", header, tensors, raw), model


def split(path: Path, count: int, **options):
    """The parts of a Llama's file that was split with keys in the first part alone, and its model."""
    whole, model = llama(path.with_suffix(".whole"), **options)
    reader = gguf.GGUFReader(whole)
    tensors = {each.name: np.array(each.data) for each in reader.tensors}
    header = shape_keys(model.config, "llama") | word_keys()
    parts = []
    for number in range(count):
        own = {"split.no": number, "split.count": count, "split.tensors.count": len(tensors)}
        part = path.with_name(f"{path.stem}-{number + 1:05}-of-{count:05}.gguf")
        names = list(tensors)[number::count]
        parts.append(
            write(part, "llama", own | (header if number == 0 else {}), {n: tensors[n] for n in names})
        )
    whole.unlink()
    return parts, model


def patched(path: Path, old: bytes, new: bytes) -> Path:
    """The file with one piece of its bytes replaced by another of the same length."""
    content = path.read_bytes()
    assert len(old) == len(new)
    assert content.count(old) >= 1
    path.write_bytes(content.replace(old, new, 1))
    return path


def stored(path: Path):
    """What a converted folder's config.json says."""
    return json.loads((path / "config.json").read_text())


def logits(model, tokens):
    """(tokens, V), in float32."""
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].float()


TEXT = list(range(2, 60))


def converted(path):
    """The model that is loaded from a file, in float32."""
    return load_model(str(path), dtype="float32")


def difference(path, model):
    """The largest difference of the logits of a file's model from those of a model, over a text."""
    return (logits(converted(path).model, TEXT) - logits(model, TEXT)).abs().max().item()
