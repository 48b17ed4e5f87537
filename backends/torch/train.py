"""One round of training; the module's weights do not change."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...engine.contracts import Step, Training, TrainingRequest
from ...engine.errors import NonFiniteError, UsageError
from ...engine.foundation.run_context import Report, no_report
from .deltas import Layer, replaced_forwards
from .devices import Placement
from .distributed import SINGLE, TorchProcessGroup
from .nets import Net
from .optimizers import RULES, clip, set_learning_rate
from .policy import TorchPolicy
from .round_state import RoundState
from .trainables import Trainables

if TYPE_CHECKING:
    from .options import ComputeOptions


def train(
    net: Net,
    layers: Mapping[str, Layer],
    request: TrainingRequest,
    *,
    place: Placement,
    options: ComputeOptions,
    report: Report = no_report,
    processes: TorchProcessGroup = SINGLE,
) -> Training:
    """Train a round's parameters. Raises `NonFiniteError` naming the step whose loss or gradient is NaN or Inf."""
    trainables = Trainables(request, layers, place)
    state = RoundState(
        net=net,
        layers=layers,
        trainables=trainables,
        place=place,
        micro_batch=options.micro_batch,
        processes=processes,
    )
    policy = TorchPolicy(state=state, budget=options.eval_tokens, report=report)
    with checkpointed(net.module, place) if options.checkpointing else nullcontext():
        losses = _run_steps(state, request, policy)
    values = trainables.values()
    updates = trainables.updates(values)
    for site, update in updates.items():
        if not update.is_finite():
            raise NonFiniteError(f"{site}: the trained update contains NaN or Inf")
    return Training(updates=updates, values=values, losses=losses)


def _run_steps(state: RoundState, request: TrainingRequest, policy: TorchPolicy) -> NDArray[np.float64]:
    """Run all optimiser steps; returns the loss before each `(steps,)`."""
    trainables, leaves = state.trainables, state.trainables.leaves
    rules: Any = request.optimizer
    optimizer = RULES[rules.rule](leaves, rules)
    losses = np.zeros(request.steps)
    steps = zip(request.iter_batches(policy), request.learning_rates.tolist(), strict=True)
    for number, (batch, rate) in enumerate(steps, start=1):
        optimizer.zero_grad(set_to_none=True)
        loss = state.accumulate(batch, request.examples) if len(batch) else 0.0
        losses[number - 1] = loss
        _require_finite(loss, leaves, number)
        gradients = trainables.gradients() if request.trace else {}
        # A step without examples changes neither the moments nor Adam's step count.
        if len(batch):
            clip(leaves, rules.clip)
            set_learning_rate(optimizer, rate)
            optimizer.step()
        request.on_step(number, loss)
        if request.trace:
            request.trace(Step(number=number, loss=loss, gradients=gradients, values=trainables.values()))
    return losses


def _require_finite(loss: float, leaves: Sequence[Tensor], step: int) -> None:
    if not np.isfinite(loss):
        raise NonFiniteError(f"step {step}: the loss is {loss}")
    if not all(bool(torch.isfinite(leaf.grad).all()) for leaf in leaves if leaf.grad is not None):
        raise NonFiniteError(f"step {step}: a gradient contains NaN or Inf")


@contextmanager
def checkpointed(module: nn.Module, place: Placement) -> Generator[None]:
    """A context with gradient checkpointing: layers save only their inputs, and are recomputed in the backward pass.

    Hugging Face's own switch requires training mode, which enables dropout; here the model stays in evaluation mode. Raises
    `UsageError` for a module without checkpointable layers.
    """
    layers = list(_checkpointable(module))
    if not layers:
        raise UsageError(
            "backend.checkpointing: this model has no layers that can be checkpointed; set it to false"
        )
    with replaced_forwards((layer, _recomputed(layer.forward, place)) for layer in layers):
        yield


def _checkpointable(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost layers of transformers' class `GradientCheckpointingLayer`."""
    for child in module.children():
        if any(kind.__name__ == "GradientCheckpointingLayer" for kind in type(child).__mro__):
            yield child
        else:
            yield from _checkpointable(child)


def _recomputed(forward: Callable[..., Any], place: Placement) -> Callable[..., Any]:
    def computed(*args: Any, **kwargs: Any) -> Any:
        # Evaluation and generation save nothing for a backward pass, so there is nothing to recompute.
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(
            forward,
            *args,
            # Reentrant checkpoints need an input that requires a gradient; embeddings of a frozen model do not.
            use_reentrant=False,
            # The recomputation runs inside autograd's backward pass, so the float64 mode is entered again for it.
            context_fn=lambda: (nullcontext(), place.float64_mode()),
            **kwargs,
        )

    return computed
