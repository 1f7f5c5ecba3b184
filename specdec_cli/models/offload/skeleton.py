"""A model whose decoder layers hold no weights of their own: they borrow them for the time they compute."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from specdec_cli.errors import InputError
from specdec_cli.models.offload.layout import lay_out
from specdec_cli.models.offload.places import Place, match_names, read_places, read_tensor
from specdec_cli.models.offload.stream import LayerStream, Tensors
from specdec_cli.models.quiet import quiet
from specdec_cli.models.stack import stack_path


class Skeleton:
    """A model without weights, and where they all are.

    Args:
        folder: of the checkpoint.
        config: its configuration.
        dtype: number format to compute in.
        trust_remote_code: run Python code that comes with the model.

    Attributes:
        model: the Hugging Face model, its weights on the meta device, its computed tables real.
        layers: its decoder layers.
        layouts: of the decoder layers, by number.
        rest: places of all other weights, by name; of tied ones, the one that is stored.

    Raises:
        InputError: the checkpoint is of a kind that layers cannot be read from.
        MismatchError: the model's layers cannot be told apart.
        SpecdecError: the checkpoint is damaged or incomplete.
    """

    def __init__(self, folder: Path, config: Any, dtype: torch.dtype, trust_remote_code: bool) -> None:
        if getattr(config, "quantization_config", None):
            problem = f"The checkpoint in {folder} is quantised, and only plain weights are streamed."
            raise InputError(problem, "Choose the unquantised checkpoint, or leave out --offload.")
        places = read_places(folder)
        self.dtype = dtype
        self.model = _empty(config, dtype, trust_remote_code)
        self.model.tie_weights()
        self._read_generation_config(folder)
        path = ".".join(stack_path(self.model))
        self.layers: nn.ModuleList = self.model.get_submodule(path)
        once = {id(each.value): each.name for each in reversed(holders(self.model))}  # tied ones: the first
        found = match_names(once.values(), places, self.model.base_model_prefix)
        self.rest = {name: place for name, place in found.items() if not name.startswith(f"{path}.")}
        self.layouts = {
            number: lay_out(_inside(found, f"{path}.{number}.")) for number in range(len(self.layers))
        }

    def rest_bytes(self) -> int:
        """Bytes of the weights outside the decoder layers, once they are loaded."""
        return sum(place.numbers for place in self.rest.values()) * self.dtype.itemsize

    def load_rest(self, device: torch.device) -> None:
        """Read the weights outside the decoder layers, and tie what is tied."""
        loaded: dict[int, Tensor] = {}
        found = holders(self.model)  # keeps what is replaced, so that no identity is given out twice
        for holder in found:
            if holder.name in self.rest:
                loaded[id(holder.value)] = read_tensor(self.rest[holder.name], self.dtype).to(device)
        for holder in found:
            if id(holder.value) in loaded:
                holder.put(loaded[id(holder.value)])
        self.model.tie_weights()
        for module in self.model.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None and not buffer.is_meta:
                    module._buffers[name] = buffer.to(device)

    def attach(self, stream: LayerStream) -> None:
        """Let every decoder layer borrow its weights from the stream whenever it computes."""
        for number, layer in enumerate(self.layers):
            borrowing = _Borrowing(layer, number, stream)
            layer.register_forward_pre_hook(borrowing.enter)
            layer.register_forward_hook(borrowing.leave, always_call=True)

    def _read_generation_config(self, folder: Path) -> None:
        from transformers import GenerationConfig

        if (folder / "generation_config.json").is_file():
            self.model.generation_config = GenerationConfig.from_pretrained(folder)


@dataclass(frozen=True, slots=True)
class Holder:
    """Where a module keeps a weight: its name, the module's table, the key in it, what lies there now."""

    name: str
    table: dict[str, Any]
    key: str
    value: Tensor

    def put(self, tensor: Tensor) -> None:
        """Replace the weight, as a parameter or a buffer, whichever it was."""
        is_parameter = isinstance(self.value, nn.Parameter)
        self.table[self.key] = nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor


class _Borrowing:
    """The hooks of one layer: weights in before it computes, out afterwards."""

    def __init__(self, layer: nn.Module, number: int, stream: LayerStream) -> None:
        self._number, self._stream = number, stream
        self._used: AbstractContextManager[Tensors] | None = None
        self._holders = holders(layer)

    def enter(self, *_: object) -> None:
        self._used = self._stream.use(self._number)
        tensors = self._used.__enter__()
        for holder in self._holders:
            holder.put(tensors[holder.name])

    def leave(self, *_: object) -> None:
        for holder in self._holders:
            holder.table[holder.key] = holder.value
        used, self._used = self._used, None
        if used is not None:
            used.__exit__(None, None, None)


def _empty(config: Any, dtype: torch.dtype, trust_remote_code: bool) -> Any:
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    build: Any = AutoModelForCausalLM.from_config  # not annotated
    with quiet(), init_empty_weights(include_buffers=False):
        model = build(config, dtype=dtype, trust_remote_code=trust_remote_code)
    return model.eval().requires_grad_(False)


def holders(root: nn.Module) -> list[Holder]:
    """Every parameter and every buffer that a checkpoint holds; tied weights as often as they are held."""
    found: list[Holder] = []
    for prefix, module in root.named_modules():
        lead = f"{prefix}." if prefix else ""
        kept = {
            key: it for key, it in module._buffers.items() if key not in module._non_persistent_buffers_set
        }
        tables: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
            (module._parameters, module._parameters),
            (module._buffers, kept),
        )
        found += [
            Holder(lead + key, table, key, value)
            for table, some in tables
            for key, value in some.items()
            if value is not None
        ]
    return found


def _inside(places: Mapping[str, Place], prefix: str) -> dict[str, Place]:
    return {name.removeprefix(prefix): place for name, place in places.items() if name.startswith(prefix)}


@contextmanager
def without_hooks(layers: Iterable[nn.Module]) -> Iterator[None]:
    """Take the borrowing hooks off the layers inside the block, to copy the layers without them."""
    kept = [(layer, layer._forward_pre_hooks, layer._forward_hooks) for layer in layers]
    for layer, _, _ in kept:
        layer._forward_pre_hooks, layer._forward_hooks = OrderedDict(), OrderedDict()
    try:
        yield
    finally:
        for layer, before, after in kept:
            layer._forward_pre_hooks, layer._forward_hooks = before, after
