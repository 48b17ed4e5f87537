"""What is asked of a tiny model: that training and answers are those of the module alone, called text by text without padding."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the field uses

from boostlora.backends.torch.nets import accepted_arguments
from boostlora.engine.contracts import (
    Batch,
    DenseDelta,
    Examples,
    GenerationRequest,
    Site,
    Tokens,
    TrainingRequest,
)
from boostlora.plugins.models._hf.nets import Kind
from boostlora.plugins.optimizers.sgd import Sgd

NEW = 8
"""Tokens that are written."""
CLASSES = 3
LENGTHS, STARTS = (9, 5, 12, 3, 3), (4, 3, 6, 2, 2)
BATCH = Batch(indices=np.arange(len(LENGTHS)), weights=np.array([1.0, 0.5, 2.0, 1.0, 1.5]))
TOLERANCE = 1e-3
"""Relative error in float32; what is wrong is off by the size of the numbers."""
STEP = 0.1
"""Norm of the largest update after a step, relative to its weight's."""
FLOOR = 1e-3
"""A gradient this much smaller than the largest counts as this large: of saturated attention little is left but rounding."""
ASKED = 3
"""Sites whose gradient is asked for one by one, beside those that train on the sum."""

Slopes = Mapping[str, NDArray[np.float64]]


def examples(kind: Kind) -> Examples:
    """Random tokens; the last two texts, or prompts, are equal."""
    rng = np.random.default_rng(1)
    rows = [rng.integers(4, 60, n).tolist() for n in LENGTHS]
    rows[-1] = list(rows[-2])
    causal = kind == "causal"
    return Examples(
        ids=np.arange(len(rows)),
        inputs=Tokens.join(rows, STARTS if causal else None),
        labels=np.zeros(len(rows), dtype=np.int64) if causal else np.arange(len(rows)) % CLASSES,
    )


def training_is_right(model: Any, sites: Sequence[Site], kind: Kind) -> None:
    """Two steps of every dense update, all texts at once, are two steps of the weights themselves: slopes, and the loss between them."""
    first, losses = slopes(model, sites, kind)
    sizes = [
        float(np.linalg.norm(first[s.name]) / max(np.linalg.norm(model.weight(s.name)), 1e-30)) for s in sites
    ]
    rate = STEP / max(*sizes, 1e-30)
    with _moved(model.net.module, {name: -rate * G for name, G in first.items()}):
        second, after = slopes(model, sites, kind)
    training = model.train(
        TrainingRequest(
            parametrisations={site.name: DenseDelta() for site in sites},
            frames={},
            examples=examples(kind),
            batches=[BATCH, BATCH],
            learning_rates=np.full(2, rate),
            optimizer=Sgd(momentum=0.0),
        )
    )
    floor = FLOOR * max(float(np.linalg.norm(G)) for G in first.values())
    for site in sites:
        G, H = first[site.name], second[site.name]
        scale = max(floor, float(np.linalg.norm(G) + np.linalg.norm(H)))
        _same(
            site.name,
            training.values[site.name],
            -rate * (G + H),
            rate * scale,
        )
    _same("losses", training.losses, np.array([losses, after]), abs(losses))
    summed = [name for name, layer in model._layers.items() if not layer.low_rank]
    asked = [site.name for site in sites[:: max(1, len(sites) // ASKED)]]
    for name in dict.fromkeys([*asked, *summed]):
        scale = max(floor, float(np.linalg.norm(first[name])))
        _same(name, model.gradient(name, examples(kind), BATCH), first[name], scale)


def _same(what: str, found: NDArray[np.float64], expected: NDArray[np.float64], scale: float) -> None:
    error = float(np.linalg.norm(found - expected))
    if not error <= TOLERANCE * max(scale, 1e-30):
        raise AssertionError(f"{what}: off by {error / max(scale, 1e-30):.1g} of its size")


def slopes(model: Any, sites: Sequence[Site], kind: Kind) -> tuple[Slopes, float]:
    """The gradient of every weight, and the loss, by torch's own autograd through the module, one text after the other."""
    module = model.net.module
    parameters = {site.name: module.get_parameter(site.name) for site in sites}
    total = 0.0
    try:
        for parameter in parameters.values():
            parameter.requires_grad = True
        for index, weight in enumerate(BATCH.weights.tolist()):
            loss = weight * _loss(module, kind, index) / len(BATCH)
            total += float(loss)
            loss.backward()
        return {name: _gradient(module, name, p) for name, p in parameters.items()}, total
    finally:
        for parameter in parameters.values():
            parameter.requires_grad, parameter.grad = False, None


def _gradient(module: Any, name: str, parameter: Tensor) -> NDArray[np.float64]:
    slope = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    return _turned(module, name, slope).double().numpy()


def _turned(module: Any, name: str, values: Tensor) -> Tensor:
    """From the layer's orientation to `(d_out, d_in)`, or back."""
    owner = module.get_submodule(name.rpartition(".")[0])
    return values.T if type(owner).__name__ == "Conv1D" else values


def _loss(module: Any, kind: Kind, index: int) -> Tensor:
    data = examples(kind)
    if kind == "encoder":
        return F.cross_entropy(
            said_alone(module, data.inputs.sequence(index)), torch.tensor([data.labels[index]])
        )
    ids = data.inputs.sequence(index)
    return F.cross_entropy(
        said_alone(module, ids)[0, STARTS[index] - 1 : -1],
        torch.from_numpy(ids[STARTS[index] :].astype(np.int64)),
    )


def said_alone(module: Any, ids: NDArray[Any]) -> Tensor:
    """What the module says of one text."""
    row = torch.from_numpy(ids.astype(np.int64))[None]
    given = {"input_ids": row, "attention_mask": torch.ones_like(row), "use_cache": False}
    answer = module(**(accepted_arguments(module, given)))
    return getattr(answer, "logits", answer)


@contextmanager
def _moved(module: Any, moves: Slopes) -> Generator[None]:
    """Inside, the weights are elsewhere."""
    before = {name: module.get_parameter(name).detach().clone() for name in moves}
    with torch.no_grad():
        for name, move in moves.items():
            module.get_parameter(name).add_(_turned(module, name, torch.from_numpy(move)))
    try:
        yield
    finally:
        for name, values in before.items():
            module.get_parameter(name).data.copy_(values)


def answers_are_right(model: Any, sites: Sequence[Site], kind: Kind) -> None:
    """Greedy answers are the likeliest tokens that the module has after the prompt and those before, all computed anew."""
    del sites
    tokens: Tokens = examples(kind).inputs
    written = model.generate(examples(kind), GenerationRequest(max_new_tokens=NEW, end_tokens=()))
    for index, answer in enumerate(written):
        prompt, given = tokens.sequence(index)[: STARTS[index]], answer.tokens
        if len(given) != NEW:
            raise AssertionError(f"answer {index} has {len(given)} tokens")
        with torch.no_grad():
            whole = said_alone(model.net.module, np.concatenate([prompt, given]))[0, len(prompt) - 1 : -1]
            last = said_alone(model.net.module, np.concatenate([prompt, given[:-1]]))[0, -1]
        likeliest = [*whole.argmax(dim=-1).tolist()[:-1], int(last.argmax())]
        if likeliest != given.tolist():
            raise AssertionError(f"answer {index}: {given.tolist()} rather than {likeliest}")
