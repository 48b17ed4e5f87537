"""A boosted model in NumPy: evaluate, factorise, train, assemble."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from ...engine.contracts import (
    Batch,
    Examples,
    Frame,
    ModelSource,
    Predictions,
    Site,
    Training,
    TrainingRequest,
    Update,
)
from ...engine.errors import NonFiniteError
from . import weights as w
from .factorise import leading_triplets
from .losses import negative_log_likelihood, weighted_loss
from .mlp import Mlp
from .optimizers import RULES, State, clipped
from .trainables import Trainable, bind

Matrix = NDArray[np.float64]

ARCHITECTURES = {"mlp": Mlp}
CHUNK = 8192
"""Examples evaluated at once: bounds the memory of activations."""


class ReferenceModel:
    """A base model in float64 and the ensemble of updates assembled onto it."""

    def __init__(self, source: ModelSource, sites: Sequence[Site], threads: int) -> None:
        self._net = ARCHITECTURES[source.blueprint.architecture](source.blueprint.config)
        self._sites = {site.name: site for site in sites}
        self._base = w.load(source)
        self._weights = dict(self._base)
        self._ensemble: w.Ensemble = ()
        self._blas, self._threads = ThreadpoolController(), threads

    def _limited(self) -> Any:
        """BLAS on a fixed number of threads: sums in another order are other bits."""
        return self._blas.limit(limits=self._threads, user_api="blas")

    def predict(
        self, examples: Examples, trial: Mapping[str, Update] | None = None, scale: float = 1.0
    ) -> Predictions:
        """Class of the largest logit (the first, on a tie) and its negative log-likelihood against the label."""
        weights = self._weights
        if trial is not None and scale != 0.0:
            weights = self._assembled((*self._ensemble, (trial, scale)))
        with self._limited(), np.errstate(over="ignore", invalid="ignore"):
            parts = [self._logits(weights, chunk) for chunk in _chunks(examples)]
        logits = np.concatenate(parts)
        loss = negative_log_likelihood(logits, examples.labels)
        return Predictions(output=np.argmax(logits, axis=1).astype(np.int64), loss=loss)

    def _logits(self, weights: Mapping[str, Matrix], examples: Examples) -> Matrix:
        logits, _ = self._net.forward(weights, examples.inputs, {})
        if not np.isfinite(logits).all():
            raise NonFiniteError("the model's logits contain NaN or Inf")
        return logits

    def directions(self, site: str, count: int, *, merged: bool = False) -> Frame:
        """The leading singular triplets of the base weight, or of the merged one."""
        with self._limited():
            return leading_triplets((self._weights if merged else self._base)[site], count)

    def rms_singular_value(self, site: str) -> float:
        """`||W||_F / sqrt(min(d_out, d_in))`."""
        return float(np.linalg.norm(self._base[site]) / np.sqrt(min(self._base[site].shape)))

    def gradient(self, site: str, examples: Examples, batch: Batch) -> Matrix:
        """`dL/dW = G^T X` of the batch's loss."""
        with self._limited():
            _, pairs = self._loss_and_pairs(examples, batch, {})
        X, G = pairs[site]
        return G.T @ X

    def _loss_and_pairs(
        self, examples: Examples, batch: Batch, deltas: Mapping[str, Any]
    ) -> tuple[float, dict[str, tuple[Matrix, Matrix]]]:
        rows = examples.take(batch.indices)
        logits, tape = self._net.forward(self._weights, rows.inputs, deltas)
        loss, G = weighted_loss(logits, rows.labels, batch.weights)
        return loss, self._net.backward(self._weights, tape, G, deltas)

    def loss_and_gradients(
        self,
        trainables: Mapping[str, Trainable],
        values: Mapping[str, Matrix],
        examples: Examples,
        batch: Batch,
    ) -> tuple[float, dict[str, Matrix]]:
        """A batch's loss at `values`, and the gradient of every value; tied sites add up."""
        deltas = {site: trainable.delta(values) for site, trainable in trainables.items()}
        loss, pairs = self._loss_and_pairs(examples, batch, deltas)
        total = dict[str, Matrix]()
        for site, trainable in trainables.items():
            for name, gradient in trainable.pull_back(deltas[site].gradients(*pairs[site])).items():
                total[name] = total[name] + gradient if name in total else gradient
        return loss, total

    def bind(self, request: TrainingRequest) -> dict[str, Trainable]:
        """The request's parametrisations, bound to their frames."""
        return {
            site: bind(site, self._sites[site].shape, parametrisation, request.frames.get(site))
            for site, parametrisation in request.parametrisations.items()
        }

    def train(self, request: TrainingRequest) -> Training:
        """Follow the optimiser's rule over the request's batches. Raises `NonFiniteError` at the first NaN or Inf."""
        trainables = self.bind(request)
        values = {name: value for t in trainables.values() for name, value in t.initial().items()}
        options: Any = request.optimizer
        rule, states = RULES[options.rule], dict[str, State]()
        losses = np.empty(len(request.batches))
        steps = zip(request.batches, request.learning_rates, strict=True)
        with self._limited(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for step, (batch, rate) in enumerate(steps, start=1):
                losses[step - 1], gradients = self.loss_and_gradients(
                    trainables, values, request.examples, batch
                )
                _require_finite(losses[step - 1], gradients, step)
                for name, gradient in clipped(gradients, options.clip).items():
                    direction, states[name] = rule(
                        options, values[name], gradient, states.get(name, {}), step
                    )
                    values[name] = values[name] - rate * direction
                request.on_step(step, float(losses[step - 1]))
        updates = {site: trainable.update(values) for site, trainable in trainables.items()}
        for site, update in updates.items():
            if not update.is_finite():
                raise NonFiniteError(f"{site}: the trained update contains NaN or Inf")
        return Training(updates=updates, values=values, losses=losses)

    def assemble(self, ensemble: w.Ensemble) -> None:
        """Rebuild every site from the base; the model changes only when all sites are finite."""
        self._weights = self._assembled(ensemble)
        self._ensemble = tuple(ensemble)

    def _assembled(self, ensemble: w.Ensemble) -> dict[str, Matrix]:
        with self._limited():
            return self._base | {
                site: w.merged(self._base[site], [(u[site], s) for u, s in ensemble if site in u], site)
                for site in self._sites
            }

    def weight(self, site: str) -> Matrix:
        """The current weight; a copy, so that nobody can change the model by accident."""
        return self._weights[site].copy()


def _chunks(examples: Examples) -> Iterator[Examples]:
    for start in range(0, max(len(examples), 1), CHUNK):
        yield examples.take(np.arange(start, min(start + CHUNK, len(examples))))


def _require_finite(loss: float, gradients: Mapping[str, Matrix], step: int) -> None:
    if not np.isfinite(loss):
        raise NonFiniteError(f"step {step}: the loss is {loss}")
    for name, gradient in gradients.items():
        if not np.isfinite(gradient).all():
            raise NonFiniteError(f'step {step}: the gradient of "{name}" contains NaN or Inf')
