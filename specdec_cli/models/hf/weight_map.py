"""Which of a checkpoint's tensors make which of a model's weights, and which weights are one.

transformers renames tensors as it loads them, merges the experts of a mixture into one, adds or drops the
base model's prefix, and ties an output layer to the embedding by what is stored rather than by what
config.json says. Here its own rules (`conversion_mapping`, `tie_weights`) are asked without reading a weight,
so that the loaders that do not go through `from_pretrained` find what it finds.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from specdec_cli.errors import InputError
from specdec_cli.models.hf.quiet import first_line, quiet
from specdec_cli.models.hf.unused_tensors import AGAIN, require_all_weights, require_no_quantization


@dataclass(frozen=True, slots=True)
class Recipe:
    """How stored tensors make weights: one as it is, or several merged, split or transposed.

    Attributes:
        sources: names in the checkpoint, by the pattern that transformers' converter knows them by.
        target: name in the model, of the first weight where there are several.
        converter: of transformers; None for a tensor that is taken as it is.
        model: that the weights are for.
    """

    sources: Mapping[str, tuple[str, ...]]
    target: str
    converter: Any
    model: Any

    @property
    def pieces(self) -> tuple[str, ...]:
        """All its names in the checkpoint."""
        return tuple(name for names in self.sources.values() for name in names)

    def make(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights, by the model's names, from the tensors, by the checkpoint's.

        Raises:
            InputError: they do not fit together.
        """
        if self.converter is None:
            return {self.target: tensors[self.pieces[0]]}
        try:
            for pattern, names in self.sources.items():
                self.converter.collected_tensors[pattern] = [tensors[name] for name in names]
            made = self.converter.convert(self.target, model=self.model, config=self.model.config)
        except Exception as error:
            problem = f"{self.pieces[0]} and what belongs to it make no {self.target}: {first_line(error)}."
            raise InputError(problem, AGAIN) from error
        return {name: each[0] if isinstance(each, list) else each for name, each in made.items()}


@dataclass(frozen=True, slots=True)
class WeightMap:
    """A checkpoint's tensors and a model's weights, matched.

    Attributes:
        recipes: what makes the weights.
        missing: names of weights that nothing makes, before any is tied to another.
        unused: stored tensors that make nothing, without those that transformers knows to be of no use.
    """

    recipes: tuple[Recipe, ...]
    missing: frozenset[str]
    unused: tuple[str, ...]


def empty_model(config: Any, dtype: torch.dtype, trust_remote_code: bool) -> Any:
    """The model in eval mode, its weights on the meta device and none of them tied, its tables computed.

    Raises:
        InputError: transformers cannot build it from the configuration.
    """
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    build: Any = AutoModelForCausalLM.from_config  # not annotated
    try:
        with quiet(), init_empty_weights(include_buffers=False):
            model = build(config, dtype=dtype, trust_remote_code=trust_remote_code)
    except MemoryError:
        raise
    except Exception as error:  # whatever a value leads its code to
        problem = f"The model's config.json cannot be used: {type(error).__name__}, {first_line(error)}."
        raise InputError(problem, "Compare it with the checkpoint it came from.") from error
    for name in model.all_tied_weights_keys:
        table, key = _holder(model, name)
        table[key] = nn.Parameter(torch.empty_like(table[key], device="meta"), requires_grad=False)
    return model.eval().requires_grad_(False)


def map_weights(model: Any, stored: Iterable[str], folder: Path) -> WeightMap:
    """Match the names of a checkpoint's tensors with an `empty_model`'s weights, and tie what is to be tied.

    Args:
        model: whose weights are wanted.
        stored: names in the checkpoint.
        folder: of the checkpoint, for what is said of it.

    Raises:
        InputError: weights are missing, or are quantised in a way that nobody names.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key

    rules: list[Any] = get_model_conversion_mapping(model)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    by_pattern = {pattern: rule for rule in converters for pattern in rule.source_patterns}
    wanted = model.state_dict()
    sources: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    used: dict[str, Any] = {}
    unused = []
    for name in sorted(stored, key=dot_natural_key):
        target, pattern = _renamed(name, renamings, converters, model, wanted)
        if target not in wanted:
            unused.append(name)
            continue
        if target not in used:
            used[target] = None if pattern is None else copy.deepcopy(by_pattern[pattern])
        if pattern is None:  # where two names mean one weight, the last one counts, as there
            sources[target].clear()
        sources[target][name if pattern is None else pattern].append(name)
    recipes = [
        Recipe({pattern: tuple(names) for pattern, names in found.items()}, target, used[target], model)
        for target, found in sources.items()
    ]
    made = {name for recipe in recipes for name in _targets(recipe, wanted)}
    missing = frozenset(wanted.keys() - made)
    said = SimpleNamespace(missing_keys=tie(model, missing), unexpected_keys=set(unused))
    model._adjust_missing_and_unexpected_keys(said)
    require_no_quantization(folder, said.unexpected_keys)
    require_all_weights(folder, said.missing_keys)
    return WeightMap(tuple(recipes), missing, tuple(sorted(said.unexpected_keys)))


def _renamed(
    name: str, renamings: list[Any], converters: list[Any], model: Any, wanted: Mapping[str, Tensor]
) -> tuple[str, str | None]:
    """A tensor's name in the model, and the converter's pattern that it matches, if any."""
    from transformers.core_model_loading import rename_source_key

    prefix: str = model.base_model_prefix
    target, pattern = rename_source_key(name, renamings, converters, prefix, dict(wanted))
    if target not in wanted and name in wanted:
        target, pattern = rename_source_key(name, [], [], prefix, dict(wanted))
    return target, pattern


def _targets(recipe: Recipe, wanted: Mapping[str, Tensor]) -> list[str]:
    """What a recipe makes: a splitting converter names its weights after the first of them."""
    if recipe.converter is None or len(recipe.converter.target_patterns) == 1:
        return [recipe.target]
    first, *others = recipe.converter.target_patterns
    names = [recipe.target, *(recipe.target.replace(first, other) for other in others)]
    return [name for name in names if name in wanted]


def made_shapes(recipe: Recipe, shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights that a recipe makes from tensors of these shapes.

    Raises:
        InputError: they are not those that the model's configuration asks for.
    """
    pieces = {name: torch.empty(tuple(shapes[name]), device="meta") for name in recipe.pieces}
    found = {name: tuple(each.shape) for name, each in recipe.make(pieces).items()}
    for name, shape in found.items():
        table, key = _holder(recipe.model, name)
        right = tuple(table[key].shape)
        if shape != right:
            where = name if recipe.converter is None else f"{name}, made of {recipe.pieces[0]} and others,"
            raise mismatch(where, shape, right)
    return found


def mismatch(name: str, found: Sequence[int], right: Sequence[int]) -> InputError:
    """The error of a tensor whose shape is not that of its place in the model."""
    problem = f"The weights cannot be loaded: {name} has the shape {_words(found)}, and config.json asks for "
    hint = "Check that config.json and the weights belong together; copy or download the model again."
    return InputError(f"{problem}{_words(right)}.", hint)


def _words(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "of a single number"


def tie(model: Any, missing: Iterable[str]) -> set[str]:
    """Tie a model's weights as `from_pretrained` does: the names of those that still lack their numbers.

    A weight that is not stored becomes the one it is declared to share; two that are both stored become one
    only if they are equal, which is not known while they are on the meta device.
    """
    left = set(missing)
    for target, source in list(model.all_tied_weights_keys.items()):
        if not (_is_parameter(model, target) and _is_parameter(model, source)):
            del model.all_tied_weights_keys[target]  # packed, and so no weight to share
    with quiet():
        model.tie_weights(missing_keys=left, recompute_mapping=False)
    return left


def number_format(model: Any, name: str, dtype: torch.dtype) -> torch.dtype:
    """The format that transformers gives a weight of a model in `dtype`: a few stay in float32."""
    from transformers.core_model_loading import build_glob_alternation

    table, key = _holder(model, name)
    plan: dict[str, torch.dtype] = model._get_dtype_plan(dtype)
    if plan:
        pattern, groups, _ = build_glob_alternation(list(plan))
        match = pattern.search(name)
        if match is not None and match.lastgroup is not None:
            return plan[groups[match.lastgroup]]
    own: torch.dtype = table[key].dtype
    return own


def put_weight(model: Any, name: str, tensor: Tensor) -> None:
    """Replace a weight, as a parameter or a buffer, whichever it is."""
    table, key = _holder(model, name)
    is_parameter = isinstance(table[key], nn.Parameter)
    table[key] = nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor


def _holder(model: Any, name: str) -> tuple[dict[str, Any], str]:
    """The table of a module that holds a weight, and its key there."""
    path, _, key = name.rpartition(".")
    module = model.get_submodule(path)
    return (module._parameters if key in module._parameters else module._buffers), key


def _is_parameter(model: Any, name: str) -> bool:
    path, _, key = name.rpartition(".")
    return model.get_submodule(path)._parameters.get(key) is not None
