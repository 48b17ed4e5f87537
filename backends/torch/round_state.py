"""The state of a training round, and the loss of its batches."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch
from torch import Tensor

from ...engine.contracts import Batch, Examples
from .deltas import Layer, adapted
from .devices import Placement
from .distributed import SINGLE, TorchProcessGroup
from .length_groups import by_count, lengths_of
from .losses import Targets, negative_log_likelihood, residual_loss, surrogate
from .nets import Net
from .trainables import Trainables


@attrs.frozen(kw_only=True, eq=False)
class RoundState:
    """A round in training: the module, its sites and the trained parameters."""

    net: Net
    layers: Mapping[str, Layer]
    trainables: Trainables
    place: Placement
    micro_batch: int
    processes: TorchProcessGroup = SINGLE
    """The processes over which a batch is sharded."""

    def accumulate(self, batch: Batch, examples: Examples) -> float:
        """The loss of a batch; gradients are left in the leaves, summed over processes and micro-batches."""
        if self.processes.size == 1:
            return self._backward(batch, examples, whole=len(batch))
        leaves = self.trainables.leaves
        mine = batch.take(self.processes.shard_rows(lengths_of(batch.rows(examples))))

        def part() -> list[Tensor]:
            loss = self._backward(mine, examples, whole=len(batch)) if len(mine) else 0.0
            # A process whose examples reach no leaf still takes part: collectives need every process.
            grads = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
            return [torch.tensor(loss, dtype=torch.float64), *grads]

        like = [torch.tensor(0.0, dtype=torch.float64), *(leaf.detach() for leaf in leaves)]
        loss, *gradients = self.processes.all_reduce(part, like)
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = gradient
        return float(loss)

    def _backward(self, batch: Batch, examples: Examples, whole: int) -> float:
        """This part's contribution to the loss of a batch of `whole` examples, and its gradients.

        Cores are leaves during the micro-batches, so that the map from `v` to the cores is differentiated only once.
        """
        lengths = lengths_of(batch.rows(examples))
        cores, scale = self.trainables.cores.assemble(), self.place.loss_scale
        leaves = {site: core.detach().requires_grad_() for site, core in cores.items()}
        total = 0.0
        for part in by_count(lengths, self.micro_batch):
            with adapted(self.layers, self.trainables.adapters(leaves)):
                loss = loss_of(self.net, batch.take(part), examples, self.place, whole=whole)
                if loss.requires_grad:
                    # The scale keeps float16 gradients from underflowing; the leaves are divided by it below.
                    (scale * loss).backward()
            total += float(loss.detach())
        # `dL/dv = sum_s (dR_s/dv)' dL/dR_s`: one backward pass from the cores to `v`.
        reached = [site for site in cores if leaves[site].grad is not None]
        if reached:
            torch.autograd.backward([cores[s] for s in reached], [leaves[s].grad for s in reached])
        for leaf in self.trainables.leaves:
            # A leaf that no gradient reaches gets gradient 0: with None the optimiser would not update its state.
            leaf.grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad.div_(scale)
        return total


def loss_of(net: Net, batch: Batch, examples: Examples, place: Placement, whole: int) -> Tensor:
    """A batch's contribution to the loss of a batch of `whole` examples; see `Batch` and `Rollouts` for the equations."""
    rows = batch.rows(examples)
    targets, rollouts = Targets.of(rows, predicts_tokens=net.predicts_tokens), batch.rollouts
    if rows.values is not None:
        losses = residual_loss(net.logits(rows), rows.values, place.master_dtype, batch.delta)
        return torch.dot(losses, torch.from_numpy(batch.weights / whole).to(losses))
    temperature = 1.0 if rollouts is None else rollouts.temperature
    nll = negative_log_likelihood(net.logits(rows), targets.labels, place.master_dtype, temperature)
    if rollouts is not None:
        return surrogate(-nll, batch.weights, rollouts)
    shares = torch.from_numpy(targets.weights(batch.weights, whole))
    return torch.dot(nll, shares.to(nll))
