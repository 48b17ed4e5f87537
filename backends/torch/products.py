"""Products with gradients and activations, accumulated during a pass: no matrix of a weight's size is formed.

With a layer's input `X (n, d_in)` and `G = dL/dY (n, d_out)`, the gradient `dL/dW = G'X` is never formed: `(dL/dW) O = G'(X O)` and
`(dL/dW)' Q = X'(G Q)`. A layer saves only `X O` if only the first is needed. Products are computed and summed in the master
dtype, whatever the compute dtype; factors and sums are stored transposed, as in `deltas`. A weight that is used in any other
way does form its gradient, one weight at a time; it is discarded after its products.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from ...engine.contracts import Batch, Examples, Factors, Products
from ...engine.errors import NonFiniteError, UsageError
from ...engine.foundation.run_context import Report
from .deltas import Layer, replaced_forwards, shaped_like, single_input
from .devices import Placement
from .distributed import TorchProcessGroup
from .length_groups import Index, by_budget, lengths_of
from .nets import Net
from .round_state import loss_of
from .train import checkpointed
from .trainables import to_array

if TYPE_CHECKING:
    from .options import ComputeOptions


@attrs.define(kw_only=True, eq=False)
class ProductSums:
    """One site's factors `right (k, d_in)` and `left (k, d_out)` in the master dtype, and the accumulated products."""

    right: Tensor | None
    left: Tensor | None
    sums: dict[str, Tensor]
    """`right (k, d_out)`: rows of `G O`; `left (k, d_in)`: rows of `G'Q`."""
    share: float = 1.0
    """Weight of the current backward pass in the sums."""

    def saved(self, rows: Tensor) -> Tensor:
        """What the backward pass needs of the input: `X O` if that is enough, else a copy, since models may overwrite `X` in place."""
        # `X O` has k columns in place of d_in: this is what bounds the memory of the right product alone.
        if self.right is not None and self.left is None:
            return F.linear(rows.to(self.right.dtype), self.right)
        return rows.clone()

    def add_gradient(self, G: Tensor) -> None:
        """Accumulate the products of a full gradient `(d_out, d_in)`."""
        if self.right is not None:
            self.sums["right"].add_(F.linear(self.right, G.to(self.right.dtype)), alpha=self.share)
        if self.left is not None:
            self.sums["left"].addmm_(self.left, G.to(self.left.dtype), alpha=self.share)

    def add(self, saved: Tensor, gradient: Tensor) -> None:
        """Accumulate the products of one backward pass through the layer."""
        if self.left is not None:
            # To the master dtype before the sum over rows: in half precision it would lose small terms.
            wide, rows = gradient.to(self.left.dtype), saved.to(self.left.dtype)
            self.sums["left"].addmm_(F.linear(wide, self.left).T, rows, alpha=self.share)
            if self.right is not None:
                self.sums["right"].addmm_(F.linear(rows, self.right).T, wide, alpha=self.share)
        else:
            self.sums["right"].addmm_(saved.T, gradient.to(saved.dtype), alpha=self.share)


class ProductLinear(torch.autograd.Function):
    """`y = x W^T + b`; the backward pass accumulates products of `x` and `G = dL/dy`, and returns `G W`.

    `reach` is a dummy leaf that needs a gradient, so that autograd also visits layers whose input needs none.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - torch calls it by position
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, reach: Tensor, sums: ProductSums
    ) -> Tensor:
        """`x (…, d_in)`, `weight (d_out, d_in)`."""
        del reach
        ctx.sums = sums
        rows = x.reshape(-1, x.shape[-1])
        ctx.save_for_backward(weight, sums.saved(rows))
        return shaped_like(x, F.linear(rows, weight, bias))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """The gradient of `x`, if needed."""
        weight, saved = ctx.saved_tensors
        (gradient,) = gradients
        # Products are accumulated here, while `G` exists; autograd frees it afterwards.
        ctx.sums.add(saved, gradient.reshape(-1, gradient.shape[-1]))
        return (gradient @ weight if ctx.needs_input_grad[0] else None), None, None, None, None


@attrs.define(kw_only=True, eq=False)
class ActivationGram:
    """One site's `X' diag(w) X O`, transposed `(k, d_in)`, summed over the input rows so far, and the sum of their weights."""

    right: Tensor
    total: Tensor
    count: Tensor
    share: float = 1.0
    """Weight of every row of the current forward pass."""

    def add(self, _module: nn.Module, args: tuple[Tensor, ...], kwargs: Mapping[str, Tensor]) -> None:
        """A forward pre-hook that accumulates the module's input."""
        x = (*args, *kwargs.values())[0]
        rows = x.reshape(-1, x.shape[-1]).to(self.right.dtype)
        self.total.addmm_(F.linear(rows, self.right).T, rows, alpha=self.share)
        self.count += self.share * len(rows)


@attrs.frozen(kw_only=True, eq=False)
class ProductPass:
    """Computes products of a model's gradients or activations at its sites."""

    net: Net
    layers: Mapping[str, Layer]
    place: Placement
    options: ComputeOptions
    report: Report
    processes: TorchProcessGroup

    # -- Gradients

    def gradients(
        self, examples: Examples, batches: Sequence[Batch], right: Factors, left: Factors
    ) -> dict[str, Products]:
        """`G O` and `G'Q` at every named site, for the mean of the batches' losses weighted by `Batch.counts`."""
        sites = {site: self._product_sums(site, right, left) for site in dict.fromkeys((*right, *left))}
        like = [total for site in sites.values() for total in site.sums.values()]

        def part() -> list[Tensor]:
            self._backward_batches(sites, examples, [batch for batch in batches if len(batch)])
            return like

        # The sums of all sites are reduced together, in the order of `like`.
        reduced = iter(self.processes.all_reduce(part, like) if sites else [])
        products = {
            name: {side: _finite(next(reduced), name, "gradient") for side in site.sums}
            for name, site in sites.items()
        }
        return {name: Products(**sides) for name, sides in products.items()}

    def _product_sums(self, site: str, right: Factors, left: Factors) -> ProductSums:
        d_out, d_in = self.layers[site].weight.shape
        sides, sums = dict[str, Tensor](), dict[str, Tensor]()
        for name, factors, width in (("right", right, d_out), ("left", left, d_in)):
            if site in factors:
                sides[name] = self._rows(factors[site])
                sums[name] = self._zeros(len(sides[name]), width)
        return ProductSums(right=sides.get("right"), left=sides.get("left"), sums=sums)

    def _backward_batches(
        self, sites: Mapping[str, ProductSums], examples: Examples, batches: Sequence[Batch]
    ) -> None:
        """Forward and backward pass over this process's part of every batch."""
        sizes, done = [int(batch.counts.sum()) for batch in batches], 0
        total = sum(sizes)
        checkpointing = self.options.checkpointing
        with (
            checkpointed(self.net.module, self.place) if checkpointing else nullcontext(),
            _accumulating(self.layers, sites, self.place),
        ):
            for batch, size in zip(batches, sizes, strict=True):
                self.report("gradient products", done, total)
                for site in sites.values():
                    # The weight is not applied to the loss: float16 gradients would underflow.
                    site.share = size / total / self.place.loss_scale
                self._backward(batch, examples)
                done += size

    def _backward(self, batch: Batch, examples: Examples) -> None:
        """Backward passes over groups of similar length: the batch's loss is the sum of theirs."""
        # `whole` stays the full batch's size below, so that the sum over processes is the batch's mean.
        mine = batch.take(self.processes.shard_rows(lengths_of(batch.rows(examples))))
        if not len(mine):
            return
        options, lengths = self.options, lengths_of(mine.rows(examples))
        for part in by_budget(lengths, options.eval_tokens, options.micro_batch):
            loss = loss_of(self.net, mine.take(part), examples, self.place, whole=len(batch))
            if not bool(torch.isfinite(loss)):
                raise NonFiniteError(f"gradient products: the loss of a batch is {float(loss.detach())}")
            if loss.requires_grad:  # else no site influences it
                (self.place.loss_scale * loss).backward()

    # -- Activations

    def activations(
        self, examples: Examples, batches: Sequence[Batch], right: Factors
    ) -> dict[str, NDArray[np.float64]]:
        """`X' diag(w) X O / sum w` at every named site; call it under `torch.no_grad`.

        Texts are batched by equal length and weight, so that no row is padding and all rows of a pass have one weight, whatever
        shape a module gives its input. Raises `UsageError` for a site whose layer is never called.
        """
        grams = {site: self._gram(factor) for site, factor in right.items()}
        like = [x for gram in grams.values() for x in (gram.total, gram.count)]
        groups = list(
            _uniform_groups(examples, [batch for batch in batches if len(batch)], self.options.eval_tokens)
        )

        def part() -> list[Tensor]:
            mine = self.processes.shard(groups)
            with ExitStack() as hooks:
                for site, gram in grams.items():
                    for module in self.layers[site].modules:
                        hooks.enter_context(module.register_forward_pre_hook(gram.add, with_kwargs=True))
                for done, (share, rows) in enumerate(mine):
                    self.report("activation products", done, len(mine))
                    for gram in grams.values():
                        gram.share = share
                    self.net.logits(rows)
            return like

        found = self.processes.all_reduce(part, like) if grams else []
        products = dict[str, NDArray[np.float64]]()
        for site, total, count in zip(grams, found[::2], found[1::2], strict=True):
            if groups and float(count) == 0.0 and not self.layers[site].low_rank:
                raise UsageError(
                    f"{site}: the model uses this weight without calling its layer, so its input activations are unknown; choose "
                    "a basis that needs no activations, or exclude the site (sites.targets)"
                )
            products[site] = _finite(total, site, "activations") / (float(count) or 1.0)
        return products

    def _gram(self, factor: NDArray[np.float64]) -> ActivationGram:
        right = self._rows(factor)
        return ActivationGram(
            right=right, total=torch.zeros_like(right), count=torch.zeros((), dtype=torch.float64)
        )

    # -- Factors

    def _rows(self, factor: NDArray[np.float64]) -> Tensor:
        """A factor, transposed, in the master dtype on the device."""
        return torch.from_numpy(np.ascontiguousarray(factor.T)).to(self.place.device, self.place.master_dtype)

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self.place.master_dtype, device=self.place.device)


@contextmanager
def _accumulating(
    layers: Mapping[str, Layer], sites: Mapping[str, ProductSums], place: Placement
) -> Generator[None]:
    """A context in which every backward pass accumulates the sites' products."""
    # One leaf for all sites; its gradient is never read.
    reach = torch.zeros((), device=place.device, requires_grad=True)
    forwards = (
        (module, _product_forward(layers[site].weight, module.bias, reach, sums))
        for site, sums in sites.items()
        if layers[site].low_rank
        for module in layers[site].modules
    )
    with ExitStack() as undo:
        for site, sums in sites.items():
            if not layers[site].low_rank:
                undo.enter_context(gradient_hook(layers[site], sums.add_gradient))
        with replaced_forwards(forwards):
            yield


@contextmanager
def gradient_hook(layer: Layer, add: Callable[[Tensor], object]) -> Generator[None]:
    """A context in which each backward pass calls `add` with the site's gradient `(d_out, d_in)`, summed over all uses, and frees it."""

    def consume(parameter: Tensor) -> None:
        if parameter.grad is not None:
            add(layer.oriented(parameter.grad))
            # Freed at once: kept, the dense gradients of all sites would need the memory of the model.
            parameter.grad = None

    parameter = layer.parameter
    parameter.requires_grad = True
    handle = parameter.register_post_accumulate_grad_hook(consume)
    try:
        yield
    finally:
        handle.remove()
        parameter.requires_grad = False


def _product_forward(weight: Tensor, bias: Any, reach: Tensor, sums: ProductSums) -> Callable[..., Tensor]:
    return single_input(lambda x: ProductLinear.apply(x, weight, bias, reach, sums))


def _uniform_groups(
    examples: Examples, batches: Sequence[Batch], budget: int
) -> Iterator[tuple[float, Examples]]:
    """Groups of examples of equal length and weight, at most `budget` tokens each; a rollout's weight is its count."""
    for batch in batches:
        rows = batch.rows(examples)
        weights = batch.weights if batch.rollouts is None else batch.counts
        for weight in np.unique(weights).tolist():
            these = np.flatnonzero(weights == weight)
            for group in by_length(lengths_of(rows)[these], budget):
                yield weight, rows.take(these[group])


def by_length(lengths: Index, budget: int) -> Iterator[Index]:
    """Groups of indices of equal length, shortest first, each of at most `budget` tokens (or of one example)."""
    for length in np.unique(lengths).tolist():
        # At least one example, even if it alone exceeds the budget.
        alike, count = np.flatnonzero(lengths == length), max(budget // max(length, 1), 1)
        for start in range(0, len(alike), count):
            yield alike[start : start + count]


def _finite(rows: Tensor, site: str, what: str) -> NDArray[np.float64]:
    """A copy, transposed back to columns. Raises `NonFiniteError`."""
    found = np.ascontiguousarray(to_array(rows).T)
    if not np.isfinite(found).all():
        raise NonFiniteError(f"{site}: products with its {what} contain NaN or Inf")
    return found
