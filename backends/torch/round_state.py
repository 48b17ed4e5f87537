"""A round in training, and the loss of its batches."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch
from torch import Tensor

from ...engine.contracts import Batch, Examples
from .deltas import Layer, adapted
from .devices import Place
from .distributed import SINGLE, TorchProcessGroup
from .length_groups import by_count, lengths_of
from .losses import Targets, negative_log_likelihood, surrogate
from .nets import Net
from .trainables import Trainables


@attrs.frozen(kw_only=True, eq=False)
class Round:
    """A round in training: the module, its sites, what is trained, and how it is computed."""

    net: Net
    layers: Mapping[str, Layer]
    trainables: Trainables
    place: Place
    micro_batch: int
    processes: TorchProcessGroup = SINGLE
    """The processes among which a batch is shared out."""

    def accumulate(self, batch: Batch, examples: Examples) -> float:
        """The loss of a batch, its gradients left in the leaves; processes and micro-batches add up."""
        if self.processes.size == 1:
            return self._backward(batch, examples, whole=len(batch))
        leaves = self.trainables.leaves
        mine = batch.take(self.processes.rows(lengths_of(batch.rows(examples))))

        def part() -> list[Tensor]:
            loss = self._backward(mine, examples, whole=len(batch)) if len(mine) else 0.0
            grads = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
            return [torch.tensor(loss, dtype=torch.float64), *grads]

        like = [torch.tensor(0.0, dtype=torch.float64), *(leaf.detach() for leaf in leaves)]
        loss, *gradients = self.processes.summed(part, like)
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = gradient
        return float(loss)

    def _backward(self, batch: Batch, examples: Examples, whole: int) -> float:
        """The part of the loss of a batch of `whole` examples that is this one's, and its gradients.

        Cores are leaves of their own while micro-batches run, so that the way from `v` to the cores is differentiated once.
        """
        lengths = lengths_of(batch.rows(examples))
        cores, scale = self.trainables.cores.assemble(), self.place.loss_scale
        leaves = {site: core.detach().requires_grad_() for site, core in cores.items()}
        total = 0.0
        for part in by_count(lengths, self.micro_batch):
            with adapted(self.layers, self.trainables.adapters(leaves)):
                loss = loss_of(self.net, batch.take(part), examples, self.place, whole=whole)
                if loss.requires_grad:
                    (scale * loss).backward()
            total += float(loss.detach())
        heard = [site for site in cores if leaves[site].grad is not None]
        if heard:
            torch.autograd.backward([cores[s] for s in heard], [leaves[s].grad for s in heard])
        for leaf in self.trainables.leaves:
            # A site that no gradient reaches has gradient 0; without one, the optimiser would leave its state as it is.
            leaf.grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad.div_(scale)
        return total


def loss_of(net: Net, batch: Batch, examples: Examples, place: Place, whole: int) -> Tensor:
    """A batch's loss, or its part of the loss of a batch of `whole` examples; see `Batch` and `Rollouts`."""
    rows = batch.rows(examples)
    targets, rollouts = Targets.of(rows, completes=net.completes), batch.rollouts
    temperature = 1.0 if rollouts is None else rollouts.temperature
    nll = negative_log_likelihood(net.logits(rows), targets.labels, place.master, temperature)
    if rollouts is not None:
        return surrogate(-nll, batch.weights, rollouts)
    shares = torch.from_numpy(targets.weights(batch.weights, whole))
    return torch.dot(nll, shares.to(nll))
