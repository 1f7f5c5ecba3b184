"""Models whose weights transformers renames or merges as it loads them are streamed as they are stored."""

from typing import Any

import pytest
import tiny_checkpoints as tiny
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from specdec_cli.errors import SpecdecError
from specdec_cli.models.loader import load_model
from specdec_cli.models.offload.load import Offload
from specdec_cli.models.offload.memory_plan import Limits, Workload
from specdec_cli.models.offload.stream import staging_bytes
from specdec_cli.models.self_drafts.quantized import quantized

EXPERTS = {"num_experts_per_tok": 2, "initializer_range": 0.2, "pad_token_id": 0}
LATENT = {
    "n_routed_experts": 4, "moe_intermediate_size": 16, "n_shared_experts": 1, "kv_lora_rank": 16,
    "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8, "num_key_value_heads": 4, "n_group": 1,
    "topk_group": 1, "head_dim": None,
}  # fmt: skip
WINDOWED = {"sliding_window": 8, "query_pre_attn_scalar": 8, "pad_token_id": 0}
MODELS: dict[str, dict[str, Any]] = {
    "Mixtral": {"num_local_experts": 4, **EXPERTS},
    "Qwen2Moe": {
        "num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, **EXPERTS,
    },
    "Qwen3Moe": {"num_experts": 4, "moe_intermediate_size": 16, **EXPERTS},
    "Olmoe": {"num_experts": 4, **EXPERTS},
    "GraniteMoe": {"num_local_experts": 4, **EXPERTS},
    "Phimoe": {"num_local_experts": 4, **EXPERTS},
    "JetMoe": {"num_local_experts": 4, "kv_channels": 8, **EXPERTS},
    "GptOss": {"num_local_experts": 4, "sliding_window": 8, **EXPERTS},
    "DeepseekV2": {**LATENT, "q_lora_rank": None, **EXPERTS},
    "DeepseekV3": {**LATENT, "q_lora_rank": 16, "first_k_dense_replace": 1, **EXPERTS},
    "GPTNeoX": {"initializer_range": 0.2},
    "Gemma3nText": {
        **WINDOWED, "vocab_size_per_layer_input": 259, "hidden_size_per_layer_input": 8, "laurel_rank": 4,
        "num_kv_shared_layers": 0, "activation_sparsity_pattern": [0.0, 0.0], "altup_num_inputs": 2,
        "intermediate_size": [48, 48],
    },
    "Gemma4Text": {**WINDOWED, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 259},
}  # fmt: skip
PIECES = ("Mixtral", "Qwen3Moe", "DeepseekV3")


def streaming(resident=0):
    return Offload("disk", Workload(16, 8, 512), Limits(None, resident))


def made(path, name):
    return tiny.folder(path, architecture=name, **MODELS[name])


def gemma3_with_pictures(path):
    """A Gemma 3 that sees, as `Gemma3ForConditionalGeneration` writes it."""
    text = {
        "num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 259, "initializer_range": 0.2,
        "max_position_embeddings": 128, "bos_token_id": 0, "eos_token_id": 1, **WINDOWED,
    }  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    fields: dict[str, Any] = {"mm_tokens_per_image": 4, "eos_token_id": [1, 3]}
    config = transformers.Gemma3Config(
        text_config=text, vision_config={**vision, "image_size": 28, "patch_size": 14}, **fields
    )
    torch.manual_seed(0)
    transformers.Gemma3ForConditionalGeneration(config).save_pretrained(path)
    tiny.tokenizer().save_pretrained(path)
    return path


@torch.inference_mode()
def logits(model):
    return model(input_ids=torch.tensor([[5, 9, 30, 7, 60, 12, 200, 3, 8, 11]]), use_cache=False).logits[0]


def require_equal(folder, dtype=torch.float32, resident=0, tolerance=1e-5):
    whole = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    streamed = load_model(
        str(folder), device="cpu", dtype=str(dtype).removeprefix("torch."), offload=streaming(resident)
    )
    expected = logits(whole).float()
    assert (logits(streamed.model).float() - expected).abs().max() <= tolerance * expected.abs().max()
    return streamed


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("resident", [0, 1])
def test_its_logits_are_those_of_transformers_own_model(tmp_path, name, resident):
    streamed = require_equal(made(tmp_path / "model", name), resident=resident)
    assert streamed.stream.pass_bytes > 0
    assert streamed.warnings == ()


def test_a_model_that_sees_streams_its_text_layers(tmp_path):
    folder = gemma3_with_pictures(tmp_path / "model")
    streamed = require_equal(folder)
    assert streamed.stream.pass_bytes > 0
    assert streamed.stop_tokens == load_model(str(folder), device="cpu").stop_tokens == {1, 3}


def test_names_of_older_releases_are_found(tmp_path):
    """Gemma 3 was first published with `language_model.model` where `model.language_model` is written now."""
    folder = gemma3_with_pictures(tmp_path / "model")
    stored = load_file(folder / "model.safetensors")
    old = {
        name.replace("model.language_model.", "language_model.model.")
        .replace("model.vision_tower", "vision_tower")
        .replace("model.multi_modal_projector", "multi_modal_projector"): tensor
        for name, tensor in stored.items()
    }
    save_file(old, folder / "model.safetensors", metadata={"format": "pt"})
    require_equal(folder)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_that_stay_in_float32_do_so_when_they_are_streamed(tmp_path, dtype):
    """DeepSeek-V3's routing bias, which transformers does not round."""
    folder = made(tmp_path / "model", "DeepseekV3")
    stored = load_file(folder / "model.safetensors")
    name = "model.layers.1.mlp.gate.e_score_correction_bias"
    stored[name] = torch.tensor([0.1, 0.2, 0.3, 0.4]) + 1e-5
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    streamed = require_equal(folder, dtype, tolerance=1e-2)
    with streamed.stream.use(1) as tensors:
        assert torch.equal(tensors["mlp.gate.e_score_correction_bias"], stored[name])
        assert tensors["mlp.gate.weight"].dtype == dtype


@pytest.mark.parametrize("name", PIECES)
def test_experts_are_stored_one_by_one_and_merged_when_they_are_read(tmp_path, name):
    """The negative control of the table above: there is something to merge, and the plan counts it."""
    folder = made(tmp_path / "model", name)
    streamed = load_model(str(folder), device="cpu", dtype="float32", offload=streaming())
    assert streamed.stream is not None
    assert streamed.plan is not None
    layout = streamed.stream.layouts[1]
    (experts,) = (merge for merge in layout.merges if "mlp.experts.gate_up_proj" in merge.shapes)
    assert len(experts.pieces) == 8
    assert experts.shapes["mlp.experts.gate_up_proj"][0] == 4
    planned = next(size for part, size in streamed.plan.parts.items() if part.startswith("buffers"))
    assert planned >= staging_bytes(layout, torch.float32) + layout.merging_bytes


@pytest.mark.parametrize("name", PIECES)
def test_an_expert_that_is_missing_or_of_another_size_is_named(tmp_path, name):
    folder = made(tmp_path / "model", name)
    whole = load_file(folder / "model.safetensors")
    ends = ("layers.1.mlp.experts.2.gate_proj.weight", "layers.1.block_sparse_moe.experts.2.w1.weight")
    (piece,) = (key for key in whole if key.endswith(ends))
    without = {key: tensor for key, tensor in whole.items() if key != piece}
    for stored in (without, {**whole, piece: torch.ones(3, 5)}):
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
        for how in ({}, {"offload": streaming()}):
            with pytest.raises(SpecdecError, match=r"experts|cannot be loaded") as caught:
                load_model(str(folder), device="cpu", dtype="float32", **how)
            assert "\n" not in caught.value.problem


def test_a_rounded_copy_of_a_mixture_is_made_as_it_streams(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path / "cache"))
    folder = made(tmp_path / "model", "Mixtral")
    target = load_model(str(folder), device="cpu", dtype="float32", offload=streaming())
    draft = quantized(target, "self:int8", "int8", lambda _: None)
    expected = logits(target.model)
    assert (logits(draft.model) - expected).abs().max() < 0.05 * expected.abs().max()
    again = quantized(target, "self:int8", "int8", lambda _: None)
    assert torch.equal(logits(again.model), logits(draft.model))
