"""One round of training: batches in, updates out, the module untouched."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...engine.contracts import Batch, Examples, Step, Training, TrainingRequest
from ...engine.errors import NonFiniteError, UsageError
from ...engine.workplace import Report, silent
from .batching import by_count, lengths_of
from .crew import ALONE, Team
from .deltas import Layer, adapted, replaced
from .devices import Place
from .losses import Targets, negative_log_likelihood, surrogate
from .nets import Net
from .optimizers import RULES, clip, set_rate
from .policy import TorchPolicy
from .trainables import Trainables

if TYPE_CHECKING:
    from .backend import Torch


@attrs.frozen(kw_only=True, eq=False)
class Round:
    """A round in training: the module, its sites, what is trained, and how it is computed."""

    net: Net
    layers: Mapping[str, Layer]
    trainables: Trainables
    place: Place
    micro_batch: int
    team: Team = ALONE
    """The processes among which a batch is shared out."""

    def accumulate(self, batch: Batch, examples: Examples) -> float:
        """The loss of a batch, its gradients left in the leaves; processes and micro-batches add up."""
        if self.team.size == 1:
            return self._backward(batch, examples, whole=len(batch))
        leaves = self.trainables.leaves
        mine = batch.take(self.team.rows(lengths_of(batch.rows(examples))))

        def part() -> list[Tensor]:
            loss = self._backward(mine, examples, whole=len(batch)) if len(mine) else 0.0
            grads = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
            return [torch.tensor(loss, dtype=torch.float64), *grads]

        like = [torch.tensor(0.0, dtype=torch.float64), *(leaf.detach() for leaf in leaves)]
        loss, *gradients = self.team.summed(part, like)
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


def train(
    net: Net,
    layers: Mapping[str, Layer],
    request: TrainingRequest,
    *,
    place: Place,
    options: Torch,
    report: Report = silent,
    team: Team = ALONE,
) -> Training:
    """Follow the optimiser's rule. Raises `NonFiniteError` naming the step whose loss or gradient is NaN or Inf."""
    trainables = Trainables(request, layers, place)
    state = Round(
        net=net,
        layers=layers,
        trainables=trainables,
        place=place,
        micro_batch=options.micro_batch,
        team=team,
    )
    policy = TorchPolicy(state=state, budget=options.eval_tokens, report=report)
    with checkpointed(net.module, place) if options.checkpointing else nullcontext():
        losses = _descend(state, request, policy)
    values = trainables.values()
    updates = trainables.updates(values)
    for site, update in updates.items():
        if not update.is_finite():
            raise NonFiniteError(f"{site}: the trained update contains NaN or Inf")
    return Training(updates=updates, values=values, losses=losses)


def _descend(state: Round, request: TrainingRequest, policy: TorchPolicy) -> NDArray[np.float64]:
    """Take every step of a round; the loss before each `(steps,)`."""
    trainables, leaves = state.trainables, state.trainables.leaves
    rules: Any = request.optimizer
    optimizer = RULES[rules.rule](leaves, rules)
    losses = np.zeros(request.steps)
    steps = zip(request.drawn(policy), request.learning_rates.tolist(), strict=True)
    for number, (batch, rate) in enumerate(steps, start=1):
        optimizer.zero_grad(set_to_none=True)
        loss = state.accumulate(batch, request.examples) if len(batch) else 0.0
        losses[number - 1] = loss
        _require_finite(loss, leaves, number)
        gradients = trainables.gradients() if request.trace else {}
        if len(batch):
            clip(leaves, rules.clip)
            set_rate(optimizer, rate)
            optimizer.step()
        request.on_step(number, loss)
        if request.trace:
            request.trace(Step(number=number, loss=loss, gradients=gradients, values=trainables.values()))
    return losses


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


def _require_finite(loss: float, leaves: Sequence[Tensor], step: int) -> None:
    if not np.isfinite(loss):
        raise NonFiniteError(f"step {step}: the loss is {loss}")
    if not all(bool(torch.isfinite(leaf.grad).all()) for leaf in leaves if leaf.grad is not None):
        raise NonFiniteError(f"step {step}: a gradient contains NaN or Inf")


@contextmanager
def checkpointed(module: nn.Module, place: Place) -> Generator[None]:
    """Inside, the model's layers keep only their inputs for the backward pass, and are computed again there.

    Hugging Face's own switch works only in training mode, in which layers drop units out as well; here they stay in evaluation
    mode. Raises `UsageError` for a module that has no such layers.
    """
    layers = list(_checkpointable(module))
    if not layers:
        raise UsageError(
            "backend.checkpointing: this model has no layers that can be checkpointed; leave it false"
        )
    with replaced((layer, _recomputed(layer.forward, place)) for layer in layers):
        yield


def _checkpointable(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost of the layers that transformers marks by their class."""
    for child in module.children():
        if any(kind.__name__ == "GradientCheckpointingLayer" for kind in type(child).__mro__):
            yield child
        else:
            yield from _checkpointable(child)


def _recomputed(forward: Callable[..., Any], place: Place) -> Callable[..., Any]:
    def computed(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(
            forward, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), place.exact()), **kwargs
        )

    return computed
