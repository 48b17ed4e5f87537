"""A boosted model in NumPy: evaluate, factorise, train, assemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from .evaluation import answers, chunks, joined, targets_of
from .factorise import leading_triplets
from .generation import continued
from .losses import negative_log_likelihood, surrogate_loss, weighted_loss
from .nets import make_net
from .policy import ReferencePolicy
from .products import Gram, Sums, row_shares, weighted_means
from .train import Round, train
from .trainables import Trainable, bind


class ReferenceModel:
    """A base model in float64 and the ensemble of updates assembled onto it; in float32 throughout, if told so."""

    def __init__(
        self,
        source: ModelSource,
        sites: Sequence[Site],
        threads: int,
        dtype: str = "float64",
        report: Report = no_report,
    ) -> None:
        self._net = make_net(
            source.blueprint, (site.name for site in sites), lambda end: w.table(source, end)
        )
        self._sites = {site.name: site for site in sites}
        self._dtype = np.dtype(dtype)
        self._base = w.load(source, self._net.parameters, self._dtype)
        self._weights = dict(self._base)
        self._ensemble: w.Ensemble = ()
        self._blas, self._threads, self._report = ThreadpoolController(), threads, report

    def _limited(self) -> Any:
        """BLAS on a fixed number of threads: sums in another order are other bits."""
        return self._blas.limit(limits=self._threads, user_api="blas")

    def predict(
        self, examples: Examples, trial: Mapping[str, Update] | None = None, scale: float = 1.0
    ) -> Predictions:
        """Class and loss against the label; for completions, how many of their tokens are the likeliest, and their mean loss."""
        weights, completes = self._tried(trial, scale), self._net.completes
        parts = list[Predictions]()
        with self._limited(), np.errstate(over="ignore", invalid="ignore"):
            for chunk in chunks(examples):
                self._report("evaluating", sum(len(part.output) for part in parts), len(examples))
                targets = targets_of(chunk, completes=completes)
                parts.append(answers(self._logits(weights, chunk.inputs), targets, completes=completes))
        return joined(parts)

    def logits(self, examples: Examples) -> NDArray[np.float64]:
        """The current model's logits `(n, classes)`; of completions, a row for every token to be predicted."""
        with self._limited(), np.errstate(over="ignore", invalid="ignore"):
            parts = [self._logits(self._weights, chunk.inputs) for chunk in chunks(examples)]
        return np.concatenate(parts).astype(np.float64)

    def generate(
        self,
        examples: Examples,
        request: GenerationRequest,
        trial: Mapping[str, Update] | None = None,
        scale: float = 1.0,
    ) -> list[Completion]:
        """Continuations of every prompt (the tokens before `starts`)."""
        tokens, weights = examples.inputs, self._tried(trial, scale)
        if not (self._net.completes and isinstance(tokens, Tokens)):
            raise UsageError(
                "this model predicts classes, and cannot write texts; a causal language model can"
            )
        with self._limited(), np.errstate(over="ignore", invalid="ignore"):
            return [
                continued(
                    tokens.sequence(i)[:start],
                    request.take(np.array([i])),
                    lambda t: self._logits(weights, t),
                )
                for i, start in enumerate(tokens.starts.tolist())
            ]

    def _log_probabilities(
        self, trial: Mapping[str, Update] | None, examples: Examples, temperature: float
    ) -> Matrix:
        weights, found = self._tried(trial, 1.0), list[Matrix]()
        for chunk in chunks(examples):
            logits = self._logits(weights, chunk.inputs) / self._dtype.type(temperature)
            found.append(-negative_log_likelihood(logits, targets_of(chunk, completes=True).ids))
        return np.concatenate(found)

    def _tried(self, trial: Mapping[str, Update] | None, scale: float) -> Mapping[str, Matrix]:
        if trial is None or scale == 0.0:
            return self._weights
        return self._assembled((*self._ensemble, (trial, scale)))

    def _logits(self, weights: Mapping[str, Matrix], inputs: Any) -> Matrix:
        logits, _ = self._net.forward(weights, inputs, {})
        if not np.isfinite(logits).all():
            raise NonFiniteError("the model's logits contain NaN or Inf")
        return logits

    def directions(self, site: str, count: int, *, merged: bool = False) -> Frame:
        """The leading singular triplets of the base weight, or of the merged one; in float64 always."""
        weight = (self._weights if merged else self._base)[site]
        with self._limited():
            return leading_triplets(weight.astype(np.float64, copy=False), count)

    def rms_singular_value(self, site: str) -> float:
        """`||W||_F / sqrt(min(d_out, d_in))`."""
        weight = self._base[site].astype(np.float64, copy=False)
        return float(np.linalg.norm(weight) / np.sqrt(min(weight.shape)))

    def gradient(self, site: str, examples: Examples, batch: Batch) -> NDArray[np.float64]:
        """`dL/dW = G^T X` of the batch's loss."""
        with self._limited():
            _, pairs = self._loss_and_pairs(examples, batch, {})
            X, G = pairs[site]
            return (G.T @ X).astype(np.float64)

    def gradient_products(
        self, examples: Examples, batches: Sequence[Batch], *, right: Factors, left: Factors
    ) -> dict[str, Products]:
        """`G'(X O)` and `X'(G Q)` at every named site, of the batches' mean loss."""
        shapes = {name: site.shape for name, site in self._sites.items()}
        with self._limited(), np.errstate(over="ignore", invalid="ignore"):
            sums = Sums.of(right, left, shapes, self._dtype)
            sums.add(batches, lambda batch: self._loss_and_pairs(examples, batch, {}))
            return sums.products()

    def activation_products(self, examples: Examples, batches: Sequence[Batch], right: Factors) -> Factors:
        """`X' diag(w) (X O) / sum w` at every named site; examples of one weight are computed together."""
        with self._limited(), np.errstate(over="ignore", invalid="ignore"):
            grams = {site: Gram.of(factor, self._dtype) for site, factor in right.items()}
            for batch in batches:
                rows, shares = batch.rows(examples), row_shares(batch)
                for share in np.unique(shares):
                    for gram in grams.values():
                        gram.share = float(share)
                    for chunk in chunks(rows.take(np.flatnonzero(shares == share))):
                        self._net.forward(self._weights, chunk.inputs, grams)
            return weighted_means(grams)

    def unreached_sites(self, examples: Examples) -> tuple[str, ...]:
        """None: every layer of these architectures is used by every example, and only by calling it."""
        del examples
        return ()

    def _loss_and_pairs(
        self, examples: Examples, batch: Batch, deltas: Mapping[str, Any]
    ) -> tuple[float, dict[str, tuple[Matrix, Matrix]]]:
        rows, rollouts = batch.rows(examples), batch.rollouts
        targets = targets_of(rows, completes=self._net.completes)
        logits, tape = self._net.forward(self._weights, rows.inputs, deltas)
        if rollouts is None:
            loss, G = weighted_loss(logits, targets.ids, targets.spread(batch.weights), len(rows))
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
        state = Round(
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
            ask=lambda trial, examples, asked: self.generate(examples, asked, trial, 1.0),
            log_p=self._log_probabilities,
            start_weight=self.weight,
        )
        with self._limited():
            return train(state, request, policy)

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

    def weight(self, site: str) -> NDArray[np.float64]:
        """The current weight; a copy, so that nobody can change the model by accident."""
        return self._weights[site].astype(np.float64)
