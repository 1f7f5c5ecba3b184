"""GPTQ checkpoints whose numbers or settings cannot be right are refused in a line that names the fault."""

import pytest
import torch
from gptq_checkpoints import checkpoint
from safetensors.torch import load_file, save_file

from specdec_cli.errors import SpecdecError
from specdec_cli.models.loader import load_model
from specdec_cli.models.quantization.gptq_layer import PARTS

Q = "model.layers.0.self_attn.q_proj"
NAN, INFINITE = float("nan"), float("inf")


def put(part, change):
    """A part of a layer replaced by what `change` makes of it."""

    def damage(stored):
        stored[f"{Q}.{part}"] = change(stored[f"{Q}.{part}"]).contiguous()

    return damage


def setting(part, value):
    return put(
        part, lambda tensor: tensor.index_put((torch.tensor(1),), torch.tensor(value, dtype=tensor.dtype))
    )


def copied(to):
    def damage(stored):
        stored.update({f"{to}.{part}": stored[f"{Q}.{part}"].clone() for part in PARTS})

    return damage


DAMAGE = {
    "a negative group": (setting("g_idx", -1), "q_proj.g_idx names groups outside 0 to 1"),
    "a group too many": (setting("g_idx", 2), "q_proj.g_idx names groups outside 0 to 1"),
    "groups in fractions": (put("g_idx", torch.Tensor.float), "q_proj.g_idx names groups outside"),
    "scales without numbers": (lambda stored: stored.pop(f"{Q}.qweight"), "q_proj lacks its qweight"),
    "groups of too few": (put("g_idx", lambda t: t[:32]), "q_proj.g_idx has the shape 32, .* have 64"),
    "surplus scales": (put("scales", lambda t: t.repeat(2, 1)), "q_proj.scales has the shape 4 x 64"),
    "scales of another width": (put("scales", lambda t: t[:, :32]), "q_proj.scales has the shape 2 x 32"),
    "scales with a NaN": (setting("scales", NAN), "q_proj.scales holds values that are no finite"),
    "infinite scales": (setting("scales", INFINITE), "q_proj.scales holds values that are no finite"),
    "zeros of another width": (put("qzeros", lambda t: t[:, :4]), "q_proj.qzeros has the shape 2 x 4"),
    "no zeros": (lambda stored: stored.pop(f"{Q}.qzeros"), "q_proj lacks its qzeros"),
    "no scales": (lambda stored: stored.pop(f"{Q}.scales"), "q_proj lacks its scales"),
    "half a matrix": (put("qweight", lambda t: t[:4]), "q_proj.scales has the shape 2 x 64, .* have 1 x 64"),
    "numbers of another kind": (put("qweight", torch.Tensor.float), "q_proj.qweight should have 32-bit"),
    "a matrix of one dimension": (put("qweight", lambda t: t[0]), "q_proj.qweight has the shape 64,"),
    "an empty matrix": (put("qweight", lambda t: t[:0]), "q_proj.qweight has the shape 0 x 64"),
    "a layer too many": (copied("model.layers.9.a"), "holds model.layers.9.a.qweight, and the model has no"),
    "a layer in place of a norm": (copied("model.norm"), "model.norm.weight has the shape 64 x 64"),
    "a layer for another": (
        copied("model.layers.0.mlp.up_proj"),
        "up_proj.weight has the shape 64 x 64, and config.json asks for 96 x 64",
    ),
    "no norm": (
        lambda stored: stored.pop("model.norm.weight"),
        r"lacks 1 of the model's weights, such as model\.norm\.weight",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_cannot_be_right_is_refused_by_name(tmp_path, damage):
    change, message = DAMAGE[damage]
    packed, _ = checkpoint(tmp_path)
    stored = load_file(packed / "model.safetensors")
    change(stored)
    save_file(stored, packed / "model.safetensors")
    with pytest.raises(SpecdecError, match=message) as caught:
        load_model(str(packed), device="cpu")
    assert "\n" not in caught.value.problem + caught.value.hint


SETTINGS = {
    "another format": ({"checkpoint_format": "marlin"}, "in the format marlin cannot be read"),
    "another format by a flag": ({"is_marlin_format": True}, "in the format marlin cannot be read"),
    "bits as a word": ({"bits": "four"}, "settings cannot be read: quantization_config"),
    "no groups": ({"group_size": 0}, "settings cannot be read: quantization_config"),
    "other bits than stored": ({"bits": 8}, "proj.scales has the shape 3 x 64, .* 8 bits"),
    "other groups than stored": ({"group_size": 64}, "has the shape 3 x 64, .* 2 x 64 .* groups of 64"),
    "rules that are none": ({"dynamic": ["a"]}, "settings cannot be read: dynamic"),
    "a rule that is no pattern": ({"dynamic": {"+:(": {"bits": 8}}}, r"read: dynamic, \+:\("),
    "a rule without its change": ({"dynamic": {"+:.*": 8}}, "settings cannot be read: dynamic"),
    "a rule against what is stored": ({"dynamic": {"-:.*q_proj": {}}}, "q_proj is stored quantised"),
    "words of 16 bits": ({"pack_dtype": "int16"}, "packed in int16 cannot be read"),
    "numbers of 9 bits": ({"bits": 9}, "GPTQ weights of 9 bits cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_do_not_fit_are_refused(tmp_path, case):
    settings, message = SETTINGS[case]
    packed, _ = checkpoint(tmp_path, settings=settings)
    with pytest.raises(SpecdecError, match=message):
        load_model(str(packed), device="cpu")


def test_a_lost_order_of_inputs_is_refused(tmp_path):
    packed, _ = checkpoint(tmp_path, act_order=True)
    stored = load_file(packed / "model.safetensors")
    del stored[f"{Q}.g_idx"]
    save_file(stored, packed / "model.safetensors")
    with pytest.raises(SpecdecError, match="q_proj lacks its g_idx, and its settings say desc_act"):
        load_model(str(packed))
