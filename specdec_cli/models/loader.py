"""A model by name, ready to run: resolved, checked, loaded, in eval mode."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from specdec_cli.models.forward.packed_linear import packing
from specdec_cli.models.forward.thresholds import thresholds
from specdec_cli.models.hardware import require_memory, resolve_device, resolve_dtype
from specdec_cli.models.hf.architectures import architecture_of
from specdec_cli.models.hf.checkpoint import (
    context_length,
    logit_vocab_size,
    read_config,
    safetensors_files,
    weight_bytes,
)
from specdec_cli.models.hf.pretrained import read_pretrained
from specdec_cli.models.hf.stop_tokens import stop_tokens
from specdec_cli.models.hf.tokenizer import Tokenizer, read_tokenizer
from specdec_cli.models.hf.unused_tensors import unused_warnings
from specdec_cli.models.hub.resolve import resolve
from specdec_cli.models.offload.load import Offload, PlannedModel, open_planned, plan_offloaded
from specdec_cli.models.offload.memory_plan import Plan
from specdec_cli.models.offload.stream import LayerStream
from specdec_cli.models.quantization.bitsandbytes import (
    bitsandbytes_config,
    packed_weights,
    require_bitsandbytes,
)
from specdec_cli.models.quantization.gptq import gptq_bytes, is_gptq, read_gptq
from specdec_cli.models.quantization.linear import Int4Linear, Int8Linear, require_cpu
from specdec_cli.models.quantization.quantize import lower_precision, remarks_on
from specdec_cli.models.reduced_vocab_head import reduce_vocabulary
from specdec_cli.progress import Report, log
from specdec_cli.registry.precisions import BITSANDBYTES, OURS


@dataclass(frozen=True)
class LoadedModel:
    """A causal language model with its tokenizer.

    Attributes:
        name: what the user called it.
        model: the Hugging Face model, in eval mode, its weights without gradients.
        tokenizer: its tokenizer.
        context: positions that it can tell apart.
        stop_tokens: ids that end a text, by the tokenizer or the generation settings.
        dtype: number format of its weights.
        device: where its weights lie.
        parameters: number of weights, tied ones counted once.
        source: where it came from, in words: "package index", "hub", a folder, a GGUF file.
        stream: of its layers, if it is offloaded.
        plan: of the memory, if it is offloaded.
        warnings: what the user should know of its files and of how it is held, a sentence each.
    """

    name: str
    model: Any
    tokenizer: Tokenizer
    context: int
    stop_tokens: frozenset[int]
    dtype: torch.dtype
    device: torch.device
    parameters: int
    source: str
    stream: LayerStream | None = None
    plan: Plan | None = None
    warnings: tuple[str, ...] = ()

    @property
    def config(self) -> Any:
        """transformers' configuration of it."""
        return self.model.config

    @property
    def layers(self) -> int:
        """Number of decoder layers."""
        return int(self.model.config.get_text_config(decoder=True).num_hidden_layers)

    @property
    def thresholds(self) -> dict[str, int]:
        """Lengths in tokens past which it attends otherwise, by what begins there."""
        return thresholds(self.model.config)

    @property
    def weight_bytes(self) -> int:
        """Bytes of its weights as they are held, tied ones counted once."""
        return sum(each.nbytes for each in (*self.model.parameters(), *self.model.buffers()))


@dataclass(frozen=True)
class CheckedModel:
    """A model that can be loaded, as far as is known without a byte of its weights.

    Attributes:
        name: what the user called it.
        folder: where its files lie.
        source: where they came from, in words.
        config: transformers' configuration.
        tokenizer: its tokenizer.
        dtype: number format that its weights will have.
        device: where they will lie.
        quantize: precision of its weights beside that: "none" for the number format alone.
        trust_remote_code: whether Python code that comes with the model is run.
        memory: bytes that loading it takes of the device; 0 where `planned` says it.
        planned: what is to be in memory, if it is offloaded.
    """

    name: str
    folder: Path
    source: str
    config: Any
    tokenizer: Tokenizer
    dtype: torch.dtype
    device: torch.device
    quantize: str
    trust_remote_code: bool
    memory: int
    planned: PlannedModel | None = None


def check_model(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    quantize: str = "none",
    revision: str | None = None,
    trust_remote_code: bool = False,
    offload: Offload | None = None,
    report: Report = log,
) -> CheckedModel:
    """Find a model and check all that can be checked before its weights are read.

    Args:
        name: a registry name, a folder, a `.gguf` file or a hub id, as the user wrote it.
        device: "auto", "cpu", "cuda" or "cuda:N".
        dtype: "auto", "float32", "bfloat16" or "float16".
        quantize: "none"; "int8" or "int4", on the CPU only; "bnb-8bit" or "bnb-4bit".
        revision: branch, tag or commit on the hub.
        trust_remote_code: run Python code that comes with the model.
        offload: which layers stay out of memory, and how; None for none.
        report: is told what is going on.

    Raises:
        InputError: a flag that does not fit.
        ResourceError: not enough memory or disk.
        SpecdecError: not to be found, damaged, or not a causal language model.
    """
    resolved = resolve_device(device)
    if quantize in OURS:
        require_cpu(quantize, resolved)
    number_format = resolve_dtype(dtype, resolved)
    found = resolve(name, revision=revision, report=report)
    config = read_config(found.folder, trust_remote_code=trust_remote_code)
    if quantize in BITSANDBYTES:
        require_bitsandbytes(found.folder, config, quantize)
    tokenizer = read_tokenizer(found.folder, trust_remote_code=trust_remote_code)
    needed, planned = 0, None
    if offload is None:
        needed = _memory_needed(found.folder, config, number_format, resolved)
        require_memory(needed, resolved, f"Loading {name}")
    else:
        planned = plan_offloaded(found.folder, config, number_format, resolved, offload, trust_remote_code)
    return CheckedModel(
        name, found.folder, found.source, config, tokenizer, number_format, resolved, quantize,
        trust_remote_code, needed, planned,
    )  # fmt: skip


def load_checked(checked: CheckedModel, *, drafts: bool = False, report: Report = log) -> LoadedModel:
    """Read the weights of a model that was checked.

    Args:
        checked: by `check_model`.
        drafts: it only guesses, so that its output layer may be cut to the tokens that its folder names.
        report: is told what is going on.

    Raises:
        InputError: its weights are none of its architecture's, or cannot be held in the precision.
        ResourceError: not enough memory.
        SpecdecError: a file is damaged.
    """
    stream = plan = None
    if checked.planned is not None:
        model, stream, plan, unused = open_planned(checked.planned, report)
    else:
        model, unused = _whole_model(checked, drafts, report)
    return LoadedModel(
        name=checked.name,
        model=model,
        tokenizer=checked.tokenizer,
        context=context_length(checked.config),
        stop_tokens=stop_tokens(checked.folder, model, checked.tokenizer),
        dtype=checked.dtype,
        device=checked.device,
        parameters=count_parameters(model),
        source=checked.source,
        stream=stream,
        plan=plan,
        warnings=(
            *unused_warnings(checked.folder, unused),
            *remarks_on(model, checked.name, checked.quantize),
        ),
    )


def load_model(name: str, *, drafts: bool = False, report: Report = log, **how: Any) -> LoadedModel:
    """Check a model and load it: see `check_model`, which takes `how`, and `load_checked`."""
    return load_checked(check_model(name, report=report, **how), drafts=drafts, report=report)


def _whole_model(checked: CheckedModel, drafts: bool, report: Report) -> tuple[Any, tuple[str, ...]]:
    """The model where it is to be, and the names of stored tensors that it has no place for."""
    folder, config, dtype, device = checked.folder, checked.config, checked.dtype, checked.device
    quantize, trusted = checked.quantize, checked.trust_remote_code
    if quantize in BITSANDBYTES:
        how = bitsandbytes_config(dtype, quantize)
        report(f"Rounding the weights to {quantize}")
        model, unused = read_pretrained(folder, dtype, trusted, quantization=how, device=device)
        return model.eval().requires_grad_(False), unused
    if is_gptq(config):
        model, unused = read_gptq(folder, config, dtype, trusted, packed=device.type == "cpu")
    else:
        model, unused = read_pretrained(folder, dtype, trusted)
    if drafts:
        reduce_vocabulary(model, folder)
    model = model.eval().requires_grad_(False)
    if quantize != "none":
        report(f"Rounding the weights to {quantize}")
        lower_precision(model, quantize)
    return model.to(device), unused


def load_tokenizer_only(
    name: str,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    report: Report = log,
) -> tuple[Tokenizer, int]:
    """The tokenizer of that model, and how many logits the model has a position; no weights are loaded."""
    found = resolve(name, revision=revision, weights=False, report=report)
    config = read_config(found.folder, trust_remote_code=trust_remote_code)
    return read_tokenizer(found.folder, trust_remote_code=trust_remote_code), logit_vocab_size(config)


def count_parameters(model: Any) -> int:
    """Number of weights, tied ones counted once."""
    low = (each for each in model.modules() if isinstance(each, Int8Linear | Int4Linear))
    dense: int = sum(parameter.numel() for parameter in model.parameters())
    inputs = ((each.in_features + (each.bias is not None)) * each.out_features for each in low)
    return dense + packed_weights(model) + sum(inputs)


def _memory_needed(folder: Path, config: Any, dtype: torch.dtype, device: torch.device) -> int:
    """Bytes that a model's weights take: on the CPU, packing adds a copy to weights that were converted.

    Weights in the file's own number format are mapped from the disk, and the system can drop them again.
    """
    needed = weight_bytes(folder, dtype)
    if is_gptq(config):
        return gptq_bytes(folder, config, dtype, packed=device.type == "cpu")
    stored = sum(path.stat().st_size for path in safetensors_files(folder))
    converted = abs(needed - stored) > stored / 20
    fused = device.type == "cpu" and architecture_of(config).fusable
    packed = fused and packing(dtype) is not None
    return needed * (2 if packed and converted else 1)
