"""The forward pass of an adapted site during training.

A site is a parameter, and an adapter changes that parameter wherever it is used. There are two paths. A layer that computes
exactly `y = x W^T + b` adds the low-rank path `((x M) R^T) L^T` with frozen factors `L (d_out, r)`, `M (d_in, r)` and a
trained core `R (r, r)`: no matrix of the size of `W` is formed, and the only saved activation is `h = x M` `(n, r)`. Every
other use of the parameter gets the dense sum `W + dW`.

Factors are stored transposed, `left = L^T` and `right = M^T`: BLAS takes six times as long for a product with two
contiguous columns.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, cast

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from ...engine.sdk.modules import fused_parts


@attrs.frozen(kw_only=True, eq=False)
class Layer:
    """A site: a weight and all modules that share it."""

    name: str
    modules: tuple[nn.Module, ...]
    """`nn.Linear`, its subclasses, or Hugging Face's `Conv1D`, whose weight is `(d_in, d_out)`."""
    transposed: bool
    low_rank: bool
    """Whether every module computes `x W^T + b` and nothing else uses the weight."""
    fused: bool
    """Whether a module lies inside a fused one, which may read its weight without calling it."""

    @property
    def parameter(self) -> nn.Parameter:
        """The weight in the modules' orientation."""
        return self.modules[0].weight  # type: ignore[return-value] - all kinds have one

    @property
    def weight(self) -> Tensor:
        """The weight as `(d_out, d_in)`."""
        return self.oriented(self.parameter)

    def oriented(self, weight: Tensor) -> Tensor:
        """Convert between the modules' orientation and `(d_out, d_in)`."""
        return weight.T if self.transposed else weight


def layers_of(module: nn.Module, transposed: Mapping[str, bool]) -> dict[str, Layer]:
    """The named sites of a module. The low-rank path is used if all modules are known to compute `x W^T + b`."""
    parameters = dict(module.named_parameters())
    users = dict[int, list[nn.Module]]()
    for part in module.modules():
        for _, parameter in part.named_parameters(recurse=False, remove_duplicate=False):
            # By identity: a shared weight has several modules but one update, which must reach all of them.
            users.setdefault(id(parameter), []).append(part)
    fused = fused_parts(module)
    found = dict[str, Layer]()
    for name, is_transposed in transposed.items():
        # PEFT wraps layers, so that the weight has another path; such a module is only used for inference.
        parameter = parameters.get(name)
        wrapper = module.get_submodule(name.removesuffix(".weight"))
        modules = (wrapper,) if parameter is None else tuple(users[id(parameter)])
        inside = any(id(part) in fused for part in modules)
        # One module that computes something else is enough: the low-rank path would miss its use of the weight.
        plain = not inside and all(map(is_plain, modules))
        found[name] = Layer(
            name=name, modules=modules, transposed=is_transposed, low_rank=plain, fused=inside
        )
    return found


def is_plain(module: nn.Module) -> bool:
    """Whether a module is exactly `nn.Linear` or `Conv1D`, with its class's forward."""
    # Exact type: a subclass may compute something else with its weight. `Conv1D` is known by name, so transformers is not imported.
    known = type(module) is nn.Linear or type(module).__qualname__ == "Conv1D"
    return known and "forward" not in vars(module)


class Adapter(Protocol):
    """A site's trainable update."""

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`x (W + dW)^T + b` through the low-rank path, `weight (d_out, d_in)`."""
        ...

    def delta(self) -> Tensor:
        """`dW (d_out, d_in)`, differentiable in the trained parameters."""
        ...


class CoreLinear(torch.autograd.Function):
    """`y = x W^T + b + ((x M) R^T) L^T` with gradients for `x` and `R` only.

    With `h = x M` and `G = dL/dy`: `dL/dR = (G L)^T h`, summed in R's dtype, and `dL/dx = G W + ((G L) R) M^T`. `x` is not
    saved for the backward pass.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - torch calls it by position
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, left: Tensor, core: Tensor, right: Tensor
    ) -> Tensor:
        """`x (…, d_in)`, `weight (d_out, d_in)`, `left (r, d_out)`, `core (r, r)`, `right (r, d_in)`."""
        rows = x.reshape(-1, x.shape[-1])
        h = F.linear(rows, right)
        y = F.linear(rows, weight, bias)
        # `y += (h R^T) L^T` in place, without a second matrix `(n, d_out)`.
        y.addmm_(h @ core.to(h.dtype).T, left)
        ctx.save_for_backward(weight, left, core, right, h)
        return shaped_like(x, y)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Gradients in argument order."""
        weight, left, core, right, h = ctx.saved_tensors
        (gradient,) = gradients
        G = gradient.reshape(-1, gradient.shape[-1])
        GL = F.linear(G, left)
        # A sum over all tokens, so in the master dtype: in half precision it would lose small terms.
        d_core = GL.to(core.dtype).T @ h.to(core.dtype)
        d_x = None
        # The lowest site's input often needs no gradient: the product with the dense weight is then saved.
        if ctx.needs_input_grad[0]:
            d_x = G @ weight
            d_x.addmm_(GL @ core.to(GL.dtype), right)
            d_x = d_x.view(*gradient.shape[:-1], -1)
        return d_x, None, None, None, d_core, None


def shaped_like(x: Tensor, rows: Tensor) -> Tensor:
    """Rows `(n, d)` in the leading shape of `x (…, d_in)`, without creating a view.

    Autograd forbids in-place writes to a view that a custom function returns, and models do write in place: `ReLU(inplace=True)`,
    `y += residual`. torch's `matmul` unfolds its rows with the same operation.
    """
    return torch.ops.aten._unsafe_view(rows, [*x.shape[:-1], rows.shape[-1]])  # noqa: SLF001


@attrs.frozen(eq=False)
class CoreAdapter:
    """A core between frozen factors: `dW = L R M^T`."""

    left: Tensor
    core: Tensor
    right: Tensor

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`x W^T + b + ((x M) R^T) L^T`."""
        return CoreLinear.apply(x, weight, bias, self.left, self.core, self.right)  # type: ignore[return-value]

    def delta(self) -> Tensor:
        """`L R M^T`."""
        return self.left.T.to(self.core.dtype) @ self.core @ self.right.to(self.core.dtype)


@attrs.frozen(eq=False)
class FactorAdapter:
    """LoRA factors: `dW = s B A` (Hu et al., 2021)."""

    A: Tensor
    B: Tensor
    scale: float

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`x W^T + b + s (x A^T) B^T`."""
        # Factors are kept in the master dtype: small steps would be rounded away in half precision.
        low = F.linear(F.linear(x, self.A.to(x.dtype)), self.B.to(x.dtype))
        # The base and the update are added after their products: `W + dW` in half precision would round small updates away.
        return F.linear(x, weight, bias) + self.scale * low

    def delta(self) -> Tensor:
        """`s B A`."""
        return self.scale * self.B @ self.A


@attrs.frozen(eq=False)
class DenseAdapter:
    """A dense update."""

    values: Tensor

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`x W^T + b + x dW^T`."""
        return F.linear(x, weight, bias) + F.linear(x, self.values.to(x.dtype))

    def delta(self) -> Tensor:
        """`dW`."""
        return self.values


@contextmanager
def adapted(layers: Mapping[str, Layer], adapters: Mapping[str, Adapter]) -> Generator[None]:
    """A context in which the sites compute with their adapters; the module tree and its classes do not change.

    A sum `W + dW` belongs to one autograd graph, so enter the context again for each backward pass.
    """
    low = {name: adapter for name, adapter in adapters.items() if layers[name].low_rank}
    forwards = (
        (
            module,
            single_input(partial(adapter.forward, weight=layers[name].weight, bias=cast("Any", module).bias)),
        )
        for name, adapter in low.items()
        for module in layers[name].modules
    )
    sums = {
        name: layers[name].oriented(layers[name].weight + adapter.delta().to(layers[name].weight.dtype))
        for name, adapter in adapters.items()
        if name not in low
    }
    with replaced_forwards(forwards), _replaced_weights(layers, sums):
        yield


def single_input(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A forward of one tensor under any keyword: `nn.Linear` names it `input`, `Conv1D` names it `x`."""

    def called(*args: Tensor, **kwargs: Tensor) -> Any:
        return forward(*args, *kwargs.values())

    return called


@contextmanager
def replaced_forwards(forwards: Iterable[tuple[nn.Module, Callable[..., Any]]]) -> Generator[None]:
    """A context in which the modules use the given forwards; afterwards each has its old one, of its class or its own."""
    begun = list[tuple[nn.Module, dict[str, Any]]]()
    try:
        for module, forward in forwards:
            own = vars(module)
            begun.append((module, {"forward": own["forward"]} if "forward" in own else {}))
            module.forward = forward
        yield
    finally:
        # In reverse, so that a module that was replaced twice gets its first forward back.
        for module, own in reversed(begun):
            vars(module).pop("forward", None)
            vars(module).update(own)


@contextmanager
def _replaced_weights(layers: Mapping[str, Layer], sums: Mapping[str, Tensor]) -> Generator[None]:
    """A context in which the sites' modules use the given tensors as weights, as in `torch.func.functional_call`."""
    # `module.weight = tensor` accepts only parameters, so the tensor goes into `_parameters` directly.
    places = {name: [vars(module)["_parameters"] for module in layers[name].modules] for name in sums}
    parameters = {name: layers[name].parameter for name in sums}
    try:
        for name, weight in sums.items():
            for place in places[name]:
                place["weight"] = weight
        yield
    finally:
        for name, parameter in parameters.items():
            for place in places[name]:
                place["weight"] = parameter
