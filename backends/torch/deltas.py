"""How a site computes while its adapter trains.

A site is a parameter, and an adapter changes that parameter wherever it is used. Two ways lead there. A layer that computes
`y = x W^T + b` and nothing else adds the low-rank path `((x M) R^T) L^T`, with frozen factors `L (d_out, r)`, `M (d_in, r)` and
the trained core `R (r, r)`: nothing of the size of `W` is made, and of the activations only `h = x M` `(n, r)` is kept. Every
other use of the parameter gets the sum `W + dW` itself in its place.

The factors are held as rows, `left = L^T` and `right = M^T`: a product with two contiguous columns takes a BLAS six times as long.
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


@attrs.frozen(kw_only=True, eq=False)
class Layer:
    """A site: a weight, and every module that has it."""

    name: str
    modules: tuple[nn.Module, ...]
    """`nn.Linear`, its subclasses, or Hugging Face's `Conv1D`, which keeps its weight as `(d_in, d_out)`."""
    transposed: bool
    low_rank: bool
    """Whether each module computes `x W^T + b`, and nothing else uses the weight."""
    fused: bool
    """Whether a module is part of one that may read its weight without calling it."""

    @property
    def parameter(self) -> nn.Parameter:
        """The weight as the modules have it."""
        return self.modules[0].weight  # type: ignore[return-value] - all kinds have one

    @property
    def weight(self) -> Tensor:
        """The weight as `(d_out, d_in)`."""
        return self.oriented(self.parameter)

    def oriented(self, weight: Tensor) -> Tensor:
        """From the modules' orientation to `(d_out, d_in)`, or back."""
        return weight.T if self.transposed else weight


def layers_of(module: nn.Module, transposed: Mapping[str, bool]) -> dict[str, Layer]:
    """The named sites of a module; the low-rank path is taken where every module is of a class that is known to allow it."""
    parameters = dict(module.named_parameters())
    users = dict[int, list[nn.Module]]()
    for part in module.modules():
        for _, parameter in part.named_parameters(recurse=False, remove_duplicate=False):
            users.setdefault(id(parameter), []).append(part)
    fused = {id(part) for owner in module.modules() if isinstance(owner, FUSED) for part in owner.modules()}
    found = dict[str, Layer]()
    for name, turned in transposed.items():
        # In a module that wraps its layers, as PEFT's, the weight has another path; such a module only answers.
        parameter = parameters.get(name)
        wrapper = module.get_submodule(name.removesuffix(".weight"))
        modules = (wrapper,) if parameter is None else tuple(users[id(parameter)])
        inside = any(id(part) in fused for part in modules)
        plain = not inside and all(map(is_plain, modules))
        found[name] = Layer(name=name, modules=modules, transposed=turned, low_rank=plain, fused=inside)
    return found


FUSED = (nn.TransformerEncoderLayer, nn.MultiheadAttention)
"""torch's own layers that read the weights of what is inside them, and do not call it, whenever no gradient is wanted."""


def is_plain(module: nn.Module) -> bool:
    """Whether a module is exactly `nn.Linear` or `Conv1D`, with the forward of its class."""
    known = type(module) is nn.Linear or type(module).__qualname__ == "Conv1D"
    return known and "forward" not in vars(module)


class Adapter(Protocol):
    """What trains at a site."""

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`x (W + dW)^T + b` by the low-rank path, `weight (d_out, d_in)`."""
        ...

    def delta(self) -> Tensor:
        """`dW (d_out, d_in)`, differentiable in what trains."""
        ...


class CoreLinear(torch.autograd.Function):
    """`y = x W^T + b + ((x M) R^T) L^T` with gradients for `x` and `R` alone.

    With `G = dL/dy`: `dL/dR = (G L)^T h`, summed in R's dtype, and `dL/dx = G W + ((G L) R) M^T`. `x` itself is not kept.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - torch calls it by position
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, left: Tensor, core: Tensor, right: Tensor
    ) -> Tensor:
        """`x (…, d_in)`, `weight (d_out, d_in)`, `left (r, d_out)`, `core (r, r)`, `right (r, d_in)`."""
        rows = x.reshape(-1, x.shape[-1])
        h = F.linear(rows, right)
        y = F.linear(rows, weight, bias)
        y.addmm_(h @ core.to(h.dtype).T, left)
        ctx.save_for_backward(weight, left, core, right, h)
        return shaped_like(x, y)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Gradients in the order of the arguments."""
        weight, left, core, right, h = ctx.saved_tensors
        (gradient,) = gradients
        G = gradient.reshape(-1, gradient.shape[-1])
        GL = F.linear(G, left)
        d_core = GL.to(core.dtype).T @ h.to(core.dtype)
        d_x = None
        if ctx.needs_input_grad[0]:
            d_x = G @ weight
            d_x.addmm_(GL @ core.to(GL.dtype), right)
            d_x = d_x.view(*gradient.shape[:-1], -1)
        return d_x, None, None, None, d_core, None


def shaped_like(x: Tensor, rows: Tensor) -> Tensor:
    """Rows `(n, d)` in the shape of `x (…, d_in)`, and no view of them.

    Autograd forbids writing into a view that a function of one's own returns, and models do write into what a layer returns:
    `ReLU(inplace=True)`, `y += residual`. torch's own `matmul` folds its rows by the same operation.
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
    """Free factors: `dW = s B A`."""

    A: Tensor
    B: Tensor
    scale: float

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`x W^T + b + s (x A^T) B^T`."""
        low = F.linear(F.linear(x, self.A.to(x.dtype)), self.B.to(x.dtype))
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
        """The update itself."""
        return self.values


@contextmanager
def adapted(layers: Mapping[str, Layer], adapters: Mapping[str, Adapter]) -> Generator[None]:
    """Inside, the named sites compute with their adapters; the module tree stays as it is, and so does its class.

    A sum `W + dW` is part of one graph: enter anew for each backward pass.
    """
    low = {name: adapter for name, adapter in adapters.items() if layers[name].low_rank}
    forwards = (
        (
            module,
            of_input(partial(adapter.forward, weight=layers[name].weight, bias=cast("Any", module).bias)),
        )
        for name, adapter in low.items()
        for module in layers[name].modules
    )
    sums = {
        name: layers[name].oriented(layers[name].weight + adapter.delta().to(layers[name].weight.dtype))
        for name, adapter in adapters.items()
        if name not in low
    }
    with replaced(forwards), _summed(layers, sums):
        yield


def of_input(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A forward of one tensor, whatever name it is given under: `nn.Linear` calls it `input`, `Conv1D` calls it `x`."""

    def called(*args: Tensor, **kwargs: Tensor) -> Any:
        return forward(*args, *kwargs.values())

    return called


@contextmanager
def replaced(forwards: Iterable[tuple[nn.Module, Callable[..., Any]]]) -> Generator[None]:
    """Inside, the modules compute by the given forwards; afterwards by those that they had, be it their class's or one of their own."""
    begun = list[tuple[nn.Module, dict[str, Any]]]()
    try:
        for module, forward in forwards:
            own = vars(module)
            begun.append((module, {"forward": own["forward"]} if "forward" in own else {}))
            module.forward = forward
        yield
    finally:
        for module, own in reversed(begun):
            vars(module).pop("forward", None)
            vars(module).update(own)


@contextmanager
def _summed(layers: Mapping[str, Layer], sums: Mapping[str, Tensor]) -> Generator[None]:
    """Inside, the modules of the named sites find the given tensor where their weight was, as `torch.func.functional_call` does it."""
    # What a module's `weight` is; the attribute itself takes nothing but parameters.
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
