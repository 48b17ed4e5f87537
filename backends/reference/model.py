"""A boosted model in NumPy: prediction, singular directions, training and merging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from ...engine.contracts import (
    Batch,
    Completion,
    Examples,
    Factors,
    Frame,
    GenerationRequest,
    ModelSource,
    Predictions,
    Products,
    Site,
    Tokens,
    Training,
    TrainingRequest,
    Update,
)
from ...engine.errors import NonFiniteError, UsageError
from ...engine.foundation.run_context import Report, no_report
from . import weights as w
from .arrays import Matrix
from .deltas import Delta
from .evaluation import chunks, concatenated, predictions_of, targets_of
from .factorise import leading_triplets
from .generation import generate_completion
from .losses import negative_log_likelihood, surrogate_loss, weighted_loss, weighted_residual_loss
from .nets import make_net
from .policy import ReferencePolicy
from .products import ActivationGram, ProductSums, row_shares, weighted_means
from .train import RoundState, train
from .trainables import Trainable, bind


class ReferenceModel:
    """A base model in float64 (or float32) with an ensemble of updates merged into its weights."""

    def __init__(
        self,
        source: ModelSource,
        sites: Sequence[Site],
        threads: int,
        dtype: str = "float64",
        report: Report = no_report,
    ) -> None:
        self._net = make_net(
            source.blueprint, (site.name for site in sites), lambda suffix: w.find_table(source, suffix)
        )
        self._sites = {site.name: site for site in sites}
        self._dtype = np.dtype(dtype)
        self._base = w.load(source, self._net.parameters, self._dtype)
        self._weights = dict(self._base)
        self._ensemble: w.Ensemble = ()
        self._blas, self._threads, self._report = ThreadpoolController(), threads, report

    def _blas_limit(self) -> AbstractContextManager[object]:
        """A context with a fixed number of BLAS threads: the order of sums, and so the last bits, depend on it."""
        return self._blas.limit(limits=self._threads, user_api="blas")

    def predict(
        self, examples: Examples, trial: Mapping[str, Update] | None = None, scale: float = 1.0
    ) -> Predictions:
        """The argmax class (the first, on a tie), or the number of completion tokens that are the argmax; and the loss in nats."""
        weights, predicts_tokens = self._trial_weights(trial, scale), self._net.predicts_tokens
        parts = list[Predictions]()
        with self._blas_limit(), np.errstate(over="ignore", invalid="ignore"):
            for chunk in chunks(examples):
                self._report("evaluating", sum(len(part.output) for part in parts), len(examples))
                logits = self._logits(weights, chunk.inputs)
                parts.append(predictions_of(logits, chunk, predicts_tokens=predicts_tokens))
        return concatenated(parts)

    def logits(self, examples: Examples) -> NDArray[np.float64]:
        """The current model's logits `(n, classes)`; for completions, one row per target token."""
        with self._blas_limit(), np.errstate(over="ignore", invalid="ignore"):
            parts = [self._logits(self._weights, chunk.inputs) for chunk in chunks(examples)]
        return np.concatenate(parts).astype(np.float64)

    def generate(
        self,
        examples: Examples,
        request: GenerationRequest,
        trial: Mapping[str, Update] | None = None,
        scale: float = 1.0,
    ) -> list[Completion]:
        """Completions of every prompt (the tokens before `starts`)."""
        tokens, weights = examples.inputs, self._trial_weights(trial, scale)
        if not (self._net.predicts_tokens and isinstance(tokens, Tokens)):
            raise UsageError(
                "this model is a classifier and cannot generate text; choose a causal language model"
            )
        with self._blas_limit(), np.errstate(over="ignore", invalid="ignore"):
            return [
                generate_completion(
                    tokens.sequence(i)[:start],
                    request.take(np.array([i])),
                    lambda t: self._logits(weights, t),
                )
                for i, start in enumerate(tokens.starts.tolist())
            ]

    def _log_probabilities(
        self, trial: Mapping[str, Update] | None, examples: Examples, temperature: float
    ) -> Matrix:
        weights, found = self._trial_weights(trial, 1.0), list[Matrix]()
        for chunk in chunks(examples):
            logits = self._logits(weights, chunk.inputs) / self._dtype.type(temperature)
            found.append(-negative_log_likelihood(logits, targets_of(chunk, predicts_tokens=True).ids))
        return np.concatenate(found)

    def _trial_weights(self, trial: Mapping[str, Update] | None, scale: float) -> Mapping[str, Matrix]:
        if trial is None or scale == 0.0:
            return self._weights
        return self._merged_weights((*self._ensemble, (trial, scale)))

    def _logits(self, weights: Mapping[str, Matrix], inputs: Any) -> Matrix:
        logits, _ = self._net.forward(weights, inputs, {})
        if not np.isfinite(logits).all():
            raise NonFiniteError("the model's logits contain NaN or Inf")
        return logits

    def directions(self, site: str, count: int, *, merged: bool = False) -> Frame:
        """The `count` leading singular triplets of the base weight, or of the merged weight; always in float64."""
        weight = (self._weights if merged else self._base)[site]
        with self._blas_limit():
            return leading_triplets(weight.astype(np.float64, copy=False), count)

    def rms_singular_value(self, site: str) -> float:
        """`||W||_F / sqrt(min(d_out, d_in))` of the base weight."""
        weight = self._base[site].astype(np.float64, copy=False)
        return float(np.linalg.norm(weight) / np.sqrt(min(weight.shape)))

    def gradient(self, site: str, examples: Examples, batch: Batch) -> NDArray[np.float64]:
        """`dL/dW = G^T X` `(d_out, d_in)` of the batch's loss."""
        with self._blas_limit():
            _, pairs = self._loss_and_pairs(examples, batch, {})
            X, G = pairs[site]
            return (G.T @ X).astype(np.float64)

    def gradient_products(
        self, examples: Examples, batches: Sequence[Batch], *, right: Factors, left: Factors
    ) -> dict[str, Products]:
        """`G'(X O)` and `X'(G Q)` at every named site, for the batches' mean loss."""
        shapes = {name: site.shape for name, site in self._sites.items()}
        with self._blas_limit(), np.errstate(over="ignore", invalid="ignore"):
            sums = ProductSums.of(right, left, shapes, self._dtype)
            sums.add(batches, lambda batch: self._loss_and_pairs(examples, batch, {}))
            return sums.products()

    def activation_products(self, examples: Examples, batches: Sequence[Batch], right: Factors) -> Factors:
        """`X' diag(w) (X O) / sum w` at every named site; examples of equal weight are batched."""
        with self._blas_limit(), np.errstate(over="ignore", invalid="ignore"):
            grams = {site: ActivationGram.of(factor, self._dtype) for site, factor in right.items()}
            for batch in batches:
                rows, shares = batch.rows(examples), row_shares(batch)
                for share in np.unique(shares):
                    for gram in grams.values():
                        gram.share = float(share)
                    for chunk in chunks(rows.take(np.flatnonzero(shares == share))):
                        self._net.forward(self._weights, chunk.inputs, grams)
            return weighted_means(grams)

    def unreached_sites(self, examples: Examples) -> tuple[str, ...]:
        """Empty: in these architectures every example uses every layer, and only by calling it."""
        del examples
        return ()

    def _loss_and_pairs(
        self, examples: Examples, batch: Batch, deltas: Mapping[str, Delta]
    ) -> tuple[float, dict[str, tuple[Matrix, Matrix]]]:
        rows, rollouts = batch.rows(examples), batch.rollouts
        targets = targets_of(rows, predicts_tokens=self._net.predicts_tokens)
        logits, tape = self._net.forward(self._weights, rows.inputs, deltas)
        if rows.values is not None:
            loss, G = weighted_residual_loss(logits, rows.values.standardised, batch.weights, batch.delta)
        elif rollouts is None:
            loss, G = weighted_loss(logits, targets.ids, targets.row_weights(batch.weights), len(rows))
        else:
            loss, G = surrogate_loss(logits, targets.ids, np.repeat(batch.weights, targets.counts), rollouts)
        return loss, self._net.backward(self._weights, tape, G, deltas)

    def loss_and_gradients(
        self,
        trainables: Mapping[str, Trainable],
        values: Mapping[str, Matrix],
        examples: Examples,
        batch: Batch,
    ) -> tuple[float, dict[str, Matrix]]:
        """A batch's loss at `values` and the gradients; those of tied sites are summed."""
        deltas = {site: trainable.delta(values) for site, trainable in trainables.items()}
        loss, pairs = self._loss_and_pairs(examples, batch, deltas)
        total = dict[str, Matrix]()
        for site, trainable in trainables.items():
            for name, gradient in trainable.pull_back(deltas[site].gradients(*pairs[site])).items():
                total[name] = total[name] + gradient if name in total else gradient
        return loss, total

    def bind(self, request: TrainingRequest) -> dict[str, Trainable]:
        """The request's parametrisations with their frames, by site."""
        return {
            site: bind(site, self._sites[site].shape, parametrisation, request.frames.get(site))
            for site, parametrisation in request.parametrisations.items()
        }

    def train(self, request: TrainingRequest) -> Training:
        """Train one round on the request's batches. Raises `NonFiniteError` at the first NaN or Inf."""
        trainables = self.bind(request)
        state = RoundState(
            trainables=trainables,
            values={
                name: value.astype(self._dtype)
                for t in trainables.values()
                for name, value in t.initial().items()
            },
            compute=lambda values, batch: self.loss_and_gradients(
                trainables, values, request.examples, batch
            ),
        )
        policy = ReferencePolicy(
            updates=state.updates,
            update=state.update,
            generate_with=lambda trial, examples, request: self.generate(examples, request, trial, 1.0),
            log_p_with=self._log_probabilities,
            start_weight=self.weight,
        )
        with self._blas_limit():
            return train(state, request, policy)

    def assemble(self, ensemble: w.Ensemble) -> None:
        """Rebuild every site from the base weight; the model changes only if all merged weights are finite."""
        self._weights = self._merged_weights(ensemble)
        self._ensemble = tuple(ensemble)

    def _merged_weights(self, ensemble: w.Ensemble) -> dict[str, Matrix]:
        with self._blas_limit():
            return self._base | {
                site: w.merged(self._base[site], [(u[site], s) for u, s in ensemble if site in u], site)
                for site in self._sites
            }

    def weight(self, site: str) -> NDArray[np.float64]:
        """The current weight `(d_out, d_in)`; a copy."""
        return self._weights[site].astype(np.float64)
