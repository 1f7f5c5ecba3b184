"""Matrix products in whatever module an architecture keeps them: GPT-2's lies on its side."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Product = Callable[[Tensor], Tensor]  # x (n, K) to x @ weight.T + bias (n, N)

# Told by name, so that no architecture is imported to be asked.
AS_LINEAR = {("transformers.models.falcon.modeling_falcon", "FalconLinear")}
TRANSPOSED = {("transformers.pytorch_utils", "Conv1D")}


def matrix_of(module: nn.Module) -> Tensor | None:
    """The weight (N, K) of a module that multiplies rows (n, K) by it, and adds a bias (N,) if it has one.

    It is a view of the module's own weight. None for any other module, one that holds its weight in a format
    of its own among them.
    """
    kind = type(module)
    name = kind.__module__, kind.__name__
    if name in TRANSPOSED:
        return module.weight.T  # type: ignore[return-value]
    if name in AS_LINEAR or (isinstance(module, nn.Linear) and kind.forward is nn.Linear.forward):
        weight: Tensor = module.weight  # type: ignore[assignment]
        return weight if weight.is_floating_point() else None
    return None


def put_matrix(module: nn.Module, weight: Tensor) -> None:
    """Give a module that `matrix_of` knows another weight (N, K)."""
    transposed = (type(module).__module__, type(module).__name__) in TRANSPOSED
    module.weight = nn.Parameter(weight.T if transposed else weight, requires_grad=False)


def linear_of(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A dense product by weights (N, K) that are not copied."""
    dense = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    dense.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        dense.bias = nn.Parameter(bias, requires_grad=False)
    return dense
