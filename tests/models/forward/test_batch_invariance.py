"""A row's logits are the same bits from every pass that holds it: one token, chains, trees, any chunks."""

import random
import shutil
from dataclasses import replace
from typing import Any

import pytest
import tiny_checkpoints as tiny
import torch
from random_models import CONTEXT
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from specdec_cli.errors import NotFiniteError
from specdec_cli.models.forward import attention, attention_plan, packed_linear
from specdec_cli.models.forward.attention_rule import AttentionRule, attention_rule
from specdec_cli.models.forward.batch_invariance import InvariantProduct
from specdec_cli.models.forward.compiled import compile_kernels, load_kernels
from specdec_cli.models.forward.fused import FusedForward
from specdec_cli.models.forward.fused_weights import fits, kernel_shape
from specdec_cli.models.forward.kernels import eager_kernels
from specdec_cli.models.forward.select import new_forward
from specdec_cli.models.hf.architectures import ARCHITECTURES as ROWS
from specdec_cli.models.loader import load_model
from specdec_cli.models.offload.load import Offload
from specdec_cli.models.offload.memory_plan import Limits, Workload
from specdec_cli.models.quantization.linear import Int4Linear
from specdec_cli.models.quantization.quantize import lower_precision
from specdec_cli.models.runner import model_runner
from specdec_cli.models.runner.model_runner import Runner
from specdec_cli.tree import ROOT, TokenTree

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
VOCABULARY = 160
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 2,
    "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": CONTEXT,
    "initializer_range": 0.2, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
}  # fmt: skip
FAMILY = {
    "llama": lambda: LlamaConfig(**SIZES),
    "llama, biases": lambda: LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True),
    "llama, a key head to each": lambda: LlamaConfig(**{**SIZES, "num_key_value_heads": 6}),
    "llama, one key head": lambda: LlamaConfig(**{**SIZES, "num_key_value_heads": 1}),
    "llama, odd sizes": lambda: LlamaConfig(**{**SIZES, "intermediate_size": 75, "vocab_size": 161}),
    "mistral": lambda: MistralConfig(**SIZES, sliding_window=None),
    "mistral, window of 70": lambda: MistralConfig(**SIZES, sliding_window=70),
    "qwen2": lambda: Qwen2Config(**SIZES),
    "qwen3": lambda: Qwen3Config(**SIZES),
    "gemma": lambda: GemmaConfig(**SIZES),
}  # fmt: skip
FORMATS = ("float32", "bfloat16", "int8", "int4", "gptq")


def made(name: str, number_format: str) -> Any:
    """A random model in a number format; the low ones in float32 and bfloat16 by turns."""
    torch.manual_seed(1)
    config = FAMILY[name]()
    wide = number_format in ("float32", "int8", "gptq")
    dtype = torch.float32 if wide else torch.bfloat16
    model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval().requires_grad_(False)
    if number_format in ("int8", "int4"):
        lower_precision(model, number_format)
    elif number_format == "gptq":
        in_gptq(model)
    assert fits(model)
    return model


def in_gptq(model: Any) -> None:
    """Products in 4 bits, computed in float32, with inputs out of order: as GPTQ checkpoints are."""
    for layer in model.model.layers:
        for part, names in (
            (layer.self_attn, "q_proj k_proj v_proj o_proj"),
            (layer.mlp, "gate_proj up_proj"),
        ):
            for name in names.split():
                outputs, inputs = getattr(part, name).weight.shape
                order = torch.randperm(inputs) if name == "o_proj" else None
                whole = torch.randint(0, 16, (outputs, inputs))
                scale, bias = torch.rand(inputs // 32, outputs) / 20, getattr(part, name).bias
                numbers = (whole, scale, -scale / 2, None if bias is None else bias.data)
                setattr(part, name, Int4Linear.from_whole(*numbers, order, torch.float32))
        layer.mlp.down_proj = Int4Linear.quantized(layer.mlp.down_proj)


def with_whole_masks(model):
    """The kernels as they stand, called as compiled ones are."""
    return replace(eager_kernels(kernel_shape(model)), whole_masks=True)


def differing(forwards, length=100, sizes=(1, 5, 64, 17, 40, 64), seed=0, chunks=(512, 7)) -> tuple[int, int]:
    """How many rows of trees differ from those of a pass each, and how many there were.

    Args:
        forwards: two passes of the same model.
        length: of the prompt.
        sizes: of the trees, of which a path is committed each time.
        seed: of text and trees.
        chunks: of the prompt in the one and in the other.
    """
    chance = random.Random(seed)
    runners = [Runner(forward, CONTEXT) for forward in forwards]
    runners[1].reuse = True
    text, wrong, rows = [chance.randrange(VOCABULARY) for _ in range(length)], 0, 0
    model_runner.PREFILL_CHUNK = chunks[0]
    runners[0].begin(text)
    for size in sizes:
        tree = bushy(size, chance)
        found = runners[0].score(tree)
        for node in {size - 1, max(range(size), key=tree.depths().__getitem__)}:
            path = path_to(tree, node)
            model_runner.PREFILL_CHUNK = chunks[1]
            runners[1].begin(text)
            for step, parent in enumerate((ROOT, *path)):
                wrong, rows = wrong + int(not torch.equal(runners[1].root(), found[parent + 1])), rows + 1
                runners[1].commit((), [tree.tokens[path[step]]] if step < len(path) else [0])
        kept = [*(tree.tokens[each] for each in path[: chance.randrange(len(path) + 1)])]
        runners[0].commit(path[: len(kept)], [*kept, 3])
        text += [*kept, 3]
    return wrong, rows


def bushy(size: int, chance: random.Random) -> TokenTree:
    """A tree that is deep and wide: half of its nodes continue the one before."""
    parents = [
        node - 1 if not node or chance.random() < 0.5 else chance.randrange(ROOT, node)
        for node in range(size)
    ]
    return TokenTree(tuple(chance.randrange(VOCABULARY) for _ in range(size)), tuple(parents))


def path_to(tree: TokenTree, node: int) -> list[int]:
    path: list[int] = []
    while node != ROOT:
        path.insert(0, node)
        node = tree.parents[node]
    return path


@pytest.fixture(autouse=True)
def _chunk_of_before(monkeypatch):
    monkeypatch.setattr(model_runner, "PREFILL_CHUNK", model_runner.PREFILL_CHUNK)


def test_all_architectures_of_the_fused_pass_are_here():
    assert {row.name for row in ROWS.values() if row.fusable} <= set(FAMILY)


@pytest.mark.parametrize("kernels", [lambda model: None, with_whole_masks], ids=["eager", "whole masks"])
@pytest.mark.parametrize("number_format", FORMATS)
@pytest.mark.parametrize("name", FAMILY)
def test_every_pass_gives_a_row_the_same_bits(name, number_format, kernels):
    if number_format in ("int4", "gptq") and name == "llama, odd sizes":
        pytest.skip("torch has no product in 4 bits for those sizes")
    model = made(name, number_format)
    wrong, rows = differing([FusedForward(model, kernels(model)) for _ in range(2)])
    assert rows > 40
    assert wrong == 0


# One compilation; test_compiled.py has one of other kernels, in float32.
COMPILED = [("gemma", "bfloat16"), ("gemma", "int4")]


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(("name", "number_format"), COMPILED)
def test_every_compiled_pass_gives_a_row_the_same_bits(name, number_format, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SPECDEC_CACHE", str(tmp_path_factory.getbasetemp() / "kernels"))
    model = made(name, number_format)
    shape = kernel_shape(model)
    kernels = load_kernels(compile_kernels(shape, model.dtype, lambda _: None), shape, model.dtype)
    assert differing([FusedForward(model, kernels) for _ in range(2)])[0] == 0


@pytest.mark.parametrize("number_format", ["float32", "bfloat16"])
def test_so_does_a_pass_over_layers_from_disk(number_format, tmp_path):
    shape = {"num_hidden_layers": 3, "initializer_range": 0.3, "vocab_size": VOCABULARY}
    folder = str(tiny.folder(tmp_path / "m", architecture="Llama", **shape))
    offload = Offload(to="disk", work=Workload(300, 64, 512), limits=Limits(None, 1))
    loads = [load_model(folder, device="cpu", dtype=number_format, offload=offload) for _ in range(2)]
    forwards = [new_forward(loaded.model, loaded.stream) for loaded in loads]
    assert all(type(forward) is FusedForward for forward in forwards)
    assert differing(forwards)[0] == 0


@pytest.mark.parametrize("number_format", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["llama", "mistral, window of 70", "llama, a key head to each"])
@pytest.mark.parametrize(
    ("length", "sizes"),
    [(1, (3, 9, 30)), (14, (1, 2, 70)), (127, (64, 64)), (90, (150, 64, 200)), (250, (40, 130))],
    ids=["nothing", "little", "to a block's end", "trees of hundreds", "longer"],
)
def test_so_do_passes_of_any_size_at_any_place(name, number_format, length, sizes):
    model = made(name, number_format)
    forwards = [FusedForward(model) for _ in range(2)]
    assert differing(forwards, length, sizes, seed=length, chunks=(33, 512))[0] == 0


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_so_do_passes_on_any_number_of_threads(threads, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for name in ("gemma", "llama, one key head"):
            model = made(name, "float32")
            assert differing([FusedForward(model) for _ in range(2)], sizes=(5, 33))[0] == 0
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["llama", "mistral, window of 70", "qwen3"])
@pytest.mark.parametrize("number_format", ["float32", "bfloat16"])
def test_so_do_passes_where_no_rule_for_attention_holds(name, number_format, monkeypatch):
    monkeypatch.setattr(attention, "attention_rule", lambda *_: None)
    model = made(name, number_format)
    assert differing([FusedForward(model) for _ in range(2)], sizes=(5, 20, 40))[0] == 0


@pytest.mark.parametrize("number_format", ["float32", "bfloat16"])
def test_so_do_passes_by_products_that_are_not_packed(number_format, monkeypatch):
    monkeypatch.setattr(packed_linear, "packing", lambda dtype: None)
    model = made("qwen2", number_format)
    assert differing([FusedForward(model) for _ in range(2)])[0] == 0


def one_block(base, seen, of_block, least):
    return (attention_plan.Block(base, seen),)


def in_reverse(base, seen, of_block, least):
    return tuple(reversed(SHARED(base, seen, of_block, least)))


def one_call(product, x):
    return product._product(x)


SHARED = attention_plan._shared


def other_lengths(begin, end, rule):
    length = 100 if end % 2 else 90
    return tuple(attention_plan.Block(at, min(at + length, end)) for at in range(begin, end, length))


BROKEN = {
    "a tree is summed in one block": (attention_plan, "_shared", one_block),
    "blocks are summed in reverse": (attention_plan, "_shared", in_reverse),
    "blocks have other lengths in other passes": (attention_plan, "_blocks", other_lengths),
    "products as they come": (InvariantProduct, "__call__", one_call),
}


@pytest.mark.parametrize("what", BROKEN)
def test_another_order_of_a_sum_is_seen(what, monkeypatch):
    monkeypatch.setattr(packed_linear, "packing", lambda dtype: None)
    monkeypatch.setattr(attention, "attention_rule", lambda *_: AttentionRule(4, 128))
    monkeypatch.setattr(*BROKEN[what])
    model = made("llama", "float32")
    assert differing([FusedForward(model) for _ in range(2)], length=250)[0] > 0


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize(("heads", "key_heads", "size"), [(8, 1, 256), (4, 1, 64), (9, 3, 64), (32, 8, 128)])
def test_attention_of_usual_shapes_need_not_go_row_by_row(heads, key_heads, size, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    rule = attention_rule(heads, key_heads, size, torch.float32)
    torch.set_num_threads(before)
    assert rule is not None


def test_a_tree_of_hundreds_may_follow_text_that_was_not_read_yet():
    runner = Runner(FusedForward(made("llama", "float32")), CONTEXT)
    runner.begin([1] * 127)
    runner.commit((), [1])
    assert runner.score(TokenTree((3,) * 193, (ROOT,) * 193)).shape == (194, VOCABULARY)


def test_a_text_that_went_wrong_does_not_spoil_the_next():
    model = made("llama", "float32")
    model.model.embed_tokens.weight.data[9] = float("nan")
    runner = Runner(FusedForward(model), CONTEXT)
    runner.begin([1, 2, 3, 9])
    with pytest.raises(NotFiniteError):
        runner.score(TokenTree.chain([9, 9, 9, 9, 9, 9, 9]))
    runner.begin([1, 2])
    assert bool(runner.root().isfinite().all())
