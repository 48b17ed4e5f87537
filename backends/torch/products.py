"""Products with gradients and activations, taken while a pass goes by: nothing of a weight's size is made.

With a layer's input `X (n, d_in)` and `G = dL/dY (n, d_out)`, the gradient `dL/dW = G'X` is never formed: `(dL/dW) O = G'(X O)` and
`(dL/dW)' Q = X'(G Q)`. Between the passes a layer keeps `X O` alone where only the first is asked. Products are taken and summed in the
master dtype, whatever the compute dtype; factors and sums are held as rows, for the reason that `deltas` has. A weight that is used
otherwise than by such a layer does form its gradient, one at a time: its products are taken from it, and it is let go.
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
from .deltas import Layer, of_input, replaced, shaped_like
from .devices import Place
from .distributed import TorchProcessGroup
from .length_groups import Index, by_count, lengths_of
from .nets import Net
from .round_state import loss_of
from .train import checkpointed
from .trainables import to_array

if TYPE_CHECKING:
    from .options import ComputeOptions


@attrs.define(kw_only=True, eq=False)
class Probe:
    """What one site is asked: `right (k, d_in)` and `left (k, d_out)`, in the master dtype; and the sums so far."""

    right: Tensor | None
    left: Tensor | None
    sums: dict[str, Tensor]
    """`right (k, d_out)`: rows of `G O`; `left (k, d_in)`: rows of `G'Q`."""
    share: float = 1.0
    """What the backward pass under way counts for in the sums."""

    def kept(self, rows: Tensor) -> Tensor:
        """What the backward pass will need of the input: `X O` where that is enough, else a copy, since models may write into `X`."""
        if self.right is not None and self.left is None:
            return F.linear(rows.to(self.right.dtype), self.right)
        return rows.clone()

    def add_gradient(self, G: Tensor) -> None:
        """Add up the products with a whole gradient `(d_out, d_in)`."""
        if self.right is not None:
            self.sums["right"].add_(F.linear(self.right, G.to(self.right.dtype)), alpha=self.share)
        if self.left is not None:
            self.sums["left"].addmm_(self.left, G.to(self.left.dtype), alpha=self.share)

    def add(self, kept: Tensor, gradient: Tensor) -> None:
        """Add up the products of one backward pass through the layer."""
        if self.left is not None:
            wide, rows = gradient.to(self.left.dtype), kept.to(self.left.dtype)
            self.sums["left"].addmm_(F.linear(wide, self.left).T, rows, alpha=self.share)
            if self.right is not None:
                self.sums["right"].addmm_(F.linear(rows, self.right).T, wide, alpha=self.share)
        else:
            self.sums["right"].addmm_(kept.T, gradient.to(kept.dtype), alpha=self.share)


class ProbedLinear(torch.autograd.Function):
    """`y = x W^T + b`, whose backward pass tells a probe of `x` and `G = dL/dy`, and passes `G W` on.

    `reach` is a leaf that belongs to nothing: the graph goes through it to layers whose input needs no gradient.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - torch calls it by position
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, reach: Tensor, probe: Probe
    ) -> Tensor:
        """`x (…, d_in)`, `weight (d_out, d_in)`."""
        del reach
        ctx.probe = probe
        rows = x.reshape(-1, x.shape[-1])
        ctx.save_for_backward(weight, probe.kept(rows))
        return shaped_like(x, F.linear(rows, weight, bias))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """A gradient for `x` alone, and that only where one is wanted."""
        weight, kept = ctx.saved_tensors
        (gradient,) = gradients
        ctx.probe.add(kept, gradient.reshape(-1, gradient.shape[-1]))
        return (gradient @ weight if ctx.needs_input_grad[0] else None), None, None, None, None


@attrs.define(kw_only=True, eq=False)
class Gram:
    """`X' diag(w) X O` of one site as rows `(k, d_in)`, summed over the rows that have come in, and the sum of their weights."""

    right: Tensor
    total: Tensor
    count: Tensor
    share: float = 1.0
    """The weight of every row that comes in now."""

    def add(self, _module: nn.Module, args: tuple[Tensor, ...], kwargs: Mapping[str, Tensor]) -> None:
        """A hook before a module's forward: whatever it computes of its input."""
        x = (*args, *kwargs.values())[0]
        rows = x.reshape(-1, x.shape[-1]).to(self.right.dtype)
        self.total.addmm_(F.linear(rows, self.right).T, rows, alpha=self.share)
        self.count += self.share * len(rows)


@attrs.frozen(kw_only=True, eq=False)
class Survey:
    """A model as it is, asked for products: the module, its sites, and how it is computed."""

    net: Net
    layers: Mapping[str, Layer]
    place: Place
    options: ComputeOptions
    report: Report
    processes: TorchProcessGroup

    # -- Gradients

    def gradients(
        self, examples: Examples, batches: Sequence[Batch], right: Factors, left: Factors
    ) -> dict[str, Products]:
        """`G O` and `G'Q` at every named site, of the mean of the batches' losses by their examples."""
        probes = {site: self._probe(site, right, left) for site in dict.fromkeys((*right, *left))}
        like = [total for probe in probes.values() for total in probe.sums.values()]

        def part() -> list[Tensor]:
            self._listen(probes, examples, [batch for batch in batches if len(batch)])
            return like

        found = iter(self.processes.summed(part, like) if probes else [])
        answers = {
            site: {side: _finite(next(found), site, "gradient") for side in probe.sums}
            for site, probe in probes.items()
        }
        return {site: Products(**sides) for site, sides in answers.items()}

    def _probe(self, site: str, right: Factors, left: Factors) -> Probe:
        d_out, d_in = self.layers[site].weight.shape
        sides, sums = dict[str, Tensor](), dict[str, Tensor]()
        for name, factors, width in (("right", right, d_out), ("left", left, d_in)):
            if site in factors:
                sides[name] = self._rows(factors[site])
                sums[name] = self._zeros(len(sides[name]), width)
        return Probe(right=sides.get("right"), left=sides.get("left"), sums=sums)

    def _listen(self, probes: Mapping[str, Probe], examples: Examples, batches: Sequence[Batch]) -> None:
        """This process's part of every batch, forward and back."""
        sizes, done = [int(batch.counts.sum()) for batch in batches], 0
        total = sum(sizes)
        saving = self.options.checkpointing
        with (
            checkpointed(self.net.module, self.place) if saving else nullcontext(),
            _listening(self.layers, probes, self.place),
        ):
            for batch, size in zip(batches, sizes, strict=True):
                self.report("gradient products", done, total)
                for probe in probes.values():
                    # Shares are no factor on the loss: in float16 they would push gradients below its smallest number.
                    probe.share = size / total / self.place.loss_scale
                self._backward(batch, examples)
                done += size

    def _backward(self, batch: Batch, examples: Examples) -> None:
        mine = batch.take(self.processes.rows(lengths_of(batch.rows(examples))))
        if not len(mine):
            return
        for part in by_count(lengths_of(mine.rows(examples)), self.options.micro_batch):
            loss = loss_of(self.net, mine.take(part), examples, self.place, whole=len(batch))
            if not bool(torch.isfinite(loss)):
                raise NonFiniteError(f"gradient products: the loss of a batch is {float(loss.detach())}")
            if loss.requires_grad:  # else no site has a say in it
                (self.place.loss_scale * loss).backward()

    # -- Activations

    def activations(self, examples: Examples, batches: Sequence[Batch], right: Factors) -> dict[str, Any]:
        """`X' diag(w) X O / sum w` at every named site; call it without gradients.

        Only texts of equal length and weight are computed together, so that no row is padding, and each has that weight, whatever
        shape a module gives its rows. Raises `UsageError` for a site whose inputs are not seen.
        """
        grams = {site: self._gram(factor) for site, factor in right.items()}
        like = [x for gram in grams.values() for x in (gram.total, gram.count)]
        groups = list(_alike(examples, [batch for batch in batches if len(batch)], self.options.eval_tokens))

        def part() -> list[Tensor]:
            mine = self.processes.share(groups)
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

        found = self.processes.summed(part, like) if grams else []
        answers = dict[str, Any]()
        for site, total, count in zip(grams, found[::2], found[1::2], strict=True):
            if groups and float(count) == 0.0 and not self.layers[site].low_rank:
                raise UsageError(
                    f"{site}: its weight is used without its layer being called, so that nobody sees what comes into it; take "
                    "a basis that needs no activations, or leave it out (sites.targets)"
                )
            answers[site] = _finite(total, site, "activations") / (float(count) or 1.0)
        return answers

    def _gram(self, factor: NDArray[np.float64]) -> Gram:
        right = self._rows(factor)
        return Gram(right=right, total=torch.zeros_like(right), count=torch.zeros((), dtype=torch.float64))

    # -- Factors

    def _rows(self, factor: NDArray[np.float64]) -> Tensor:
        """A factor's columns as rows, in the master dtype."""
        return torch.from_numpy(np.ascontiguousarray(factor.T)).to(self.place.device, self.place.master)

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self.place.master, device=self.place.device)


@contextmanager
def _listening(layers: Mapping[str, Layer], probes: Mapping[str, Probe], place: Place) -> Generator[None]:
    """Inside, every backward pass tells the probes of their sites."""
    reach = torch.zeros((), device=place.device, requires_grad=True)
    forwards = (
        (module, _probed(layers[site].weight, module.bias, reach, probe))
        for site, probe in probes.items()
        if layers[site].low_rank
        for module in layers[site].modules
    )
    with ExitStack() as undo:
        for site, probe in probes.items():
            if not layers[site].low_rank:
                undo.enter_context(each_gradient(layers[site], probe.add_gradient))
        with replaced(forwards):
            yield


@contextmanager
def each_gradient(layer: Layer, add: Callable[[Tensor], object]) -> Generator[None]:
    """Inside, each backward pass tells of the site's gradient `(d_out, d_in)`, summed over all uses of the weight, and lets it go."""

    def told(parameter: Tensor) -> None:
        if parameter.grad is not None:
            add(layer.oriented(parameter.grad))
            parameter.grad = None

    parameter = layer.parameter
    parameter.requires_grad = True
    handle = parameter.register_post_accumulate_grad_hook(told)
    try:
        yield
    finally:
        handle.remove()
        parameter.requires_grad = False


def _probed(weight: Tensor, bias: Any, reach: Tensor, probe: Probe) -> Callable[..., Any]:
    return of_input(lambda x: ProbedLinear.apply(x, weight, bias, reach, probe))


def _alike(examples: Examples, batches: Sequence[Batch], budget: int) -> Iterator[tuple[float, Examples]]:
    """Examples of one length and weight, at most `budget` tokens at once, with that weight; an answer's is how often it was given."""
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
        alike, count = np.flatnonzero(lengths == length), max(budget // max(length, 1), 1)
        for start in range(0, len(alike), count):
            yield alike[start : start + count]


def _finite(rows: Tensor, site: str, what: str) -> NDArray[np.float64]:
    """The columns again, as an array of their own. Raises `NonFiniteError`."""
    found = np.ascontiguousarray(to_array(rows).T)
    if not np.isfinite(found).all():
        raise NonFiniteError(f"{site}: products with its {what} contain NaN or Inf")
    return found
