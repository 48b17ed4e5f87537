"""How a site computes while its adapter trains: the frozen product and the low-rank path, as one operation.

A layer computes `y = x W^T + b`. With frozen factors `L (d_out, r)`, `M (d_in, r)` and the trained core `R (r, r)`, training
adds `((x M) R^T) L^T`: nothing of the size of `W` is made, and of the activations only `h = x M` `(n, r)` is kept. The factors are
held as rows, `left = L^T` and `right = M^T`: a product with two contiguous columns takes a BLAS six times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

Forward = Callable[[Tensor], Tensor]


@attrs.frozen(kw_only=True, eq=False)
class Layer:
    """A site's module: `nn.Linear`, or Hugging Face's `Conv1D`, which keeps its weight as `(d_in, d_out)`."""

    name: str
    module: nn.Module
    transposed: bool

    @property
    def parameter(self) -> nn.Parameter:
        """The weight as the module has it."""
        return self.module.weight  # type: ignore[return-value] - both kinds have one

    @property
    def weight(self) -> Tensor:
        """The weight as `(d_out, d_in)`."""
        return self.parameter.T if self.transposed else self.parameter

    @property
    def bias(self) -> Tensor | None:
        """The bias `(d_out,)`, if there is one."""
        return self.module.bias  # type: ignore[return-value]


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
        return y.view(*x.shape[:-1], -1)

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


def core_forward(layer: Layer, left: Tensor, core: Tensor, right: Tensor) -> Forward:
    """The layer with a core in training."""

    def forward(x: Tensor) -> Tensor:
        return CoreLinear.apply(x, layer.weight, layer.bias, left, core, right)  # type: ignore[return-value]

    return forward


def factor_forward(layer: Layer, A: Tensor, B: Tensor, scale: float) -> Forward:
    """The layer with `s B A` in training: `y = x W^T + b + s (x A^T) B^T`."""

    def forward(x: Tensor) -> Tensor:
        low = F.linear(F.linear(x, A.to(x.dtype)), B.to(x.dtype))
        return F.linear(x, layer.weight, layer.bias) + scale * low

    return forward


def dense_forward(layer: Layer, delta: Tensor) -> Forward:
    """The layer with a dense update in training: `y = x W^T + b + x dW^T`."""

    def forward(x: Tensor) -> Tensor:
        return F.linear(x, layer.weight, layer.bias) + F.linear(x, delta.to(x.dtype))

    return forward


@contextmanager
def computing(layers: Mapping[str, Layer], forwards: Mapping[str, Forward]) -> Generator[None]:
    """Inside, the named sites compute by the given forwards; the module tree stays as it is, and so does its class."""
    try:
        for site, forward in forwards.items():
            layers[site].module.forward = forward
        yield
    finally:
        for site in forwards:
            vars(layers[site].module).pop("forward", None)
