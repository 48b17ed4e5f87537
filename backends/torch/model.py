"""A boosted model in torch: prediction, singular directions, training and merging."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

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
    Training,
    TrainingRequest,
    Update,
)
from ...engine.foundation.run_context import Report, no_report
from . import weights as w
from .deltas import layers_of
from .devices import deterministic, resolve
from .distributed import current
from .evaluation import Evaluation
from .factorise import leading_triplets
from .generation import continuations
from .length_groups import lengths_of
from .nets import CausalNet, open_net
from .products import ProductPass, gradient_hook
from .round_state import loss_of
from .site_check import CheckedSites, SiteCheck, sample_examples
from .text_check import check_texts
from .train import train
from .trainables import to_array

if TYPE_CHECKING:
    from .options import ComputeOptions


class TorchModel:
    """A module on its device, with an ensemble of updates merged into its weights."""

    def __init__(
        self, source: ModelSource, sites: Sequence[Site], options: ComputeOptions, report: Report = no_report
    ) -> None:
        self._options, self._report, self._processes = options, report, current()
        self._place = resolve(options.device, options.dtype)
        self._base = w.BaseWeights(source)
        with self._running():
            self.net = open_net(source, self._base, self._place)
        self._layers = layers_of(
            self.net.module, {site.name: self._base.is_transposed(site.name) for site in sites}
        )
        self._ensemble: w.Ensemble = ()
        self._checked: CheckedSites | None = None
        # This backend's own modules call every layer and use no weight otherwise: no check is needed.
        self._own = source.build is None

    @contextmanager
    def _running(self) -> Generator[None]:
        with deterministic(self._place, self._options.threads):
            yield

    @contextmanager
    def _evaluating(self, trial: Mapping[str, Update] | None = None, scale: float = 0.0) -> Generator[None]:
        """A context without gradients; with a trial, its update is merged temporarily."""
        before = self._ensemble
        with self._running(), torch.no_grad():
            if trial is None or scale == 0.0:
                yield
                return
            try:
                self.assemble((*before, (trial, scale)))
                yield
            finally:
                self.assemble(before)

    # -- Predictions

    def predict(
        self, examples: Examples, trial: Mapping[str, Update] | None = None, scale: float = 1.0
    ) -> Predictions:
        """The argmax class (the first, on a tie), or the number of completion tokens that are the argmax; and the loss in nats."""
        with self._evaluating(trial, scale):
            return self._evaluation().predictions(examples)

    def logits(self, examples: Examples) -> NDArray[np.float64]:
        """Rows of logits, in example order."""
        with self._evaluating():
            return self._evaluation().logits(examples)

    def _evaluation(self) -> Evaluation:
        return Evaluation(
            net=self.net,
            place=self._place,
            budget=self._options.eval_tokens,
            report=self._report,
            processes=self._processes,
        )

    def generate(
        self,
        examples: Examples,
        request: GenerationRequest,
        trial: Mapping[str, Update] | None = None,
        scale: float = 1.0,
    ) -> list[Completion]:
        """Completions of the prompts."""
        with self._evaluating(trial, scale):
            return continuations(
                self.net,
                examples,
                request,
                place=self._place,
                budget=self._options.eval_tokens,
                progress=lambda done, total: self._report("generating", done, total),
                processes=self._processes,
            )

    # -- Sites

    def unreached_sites(self, examples: Examples) -> tuple[str, ...]:
        """Sites that no gradient reaches on a few examples; also selects each site's correct path (see `site_check`).

        Raises `UsageError` for a site or a model for which no path is correct.
        """
        if self._checked is None and self._own:
            self._checked = CheckedSites(self._layers, ())
        if self._checked is None:
            rows = sample_examples(examples, predicts_tokens=isinstance(self.net, CausalNet))
            check = SiteCheck(
                net=self.net,
                layers=self._layers,
                place=self._place,
                examples=rows,
                merged=lambda updates: self._evaluating(updates, 1.0),
            )
            with self._running():
                check_texts(self.net, rows, self._place)
                self._checked = check.run()
            self._layers = self._checked.layers
        return self._checked.unreached

    # -- Directions and gradients

    def directions(self, site: str, count: int, *, merged: bool = False) -> Frame:
        """The `count` leading singular triplets of the base weight, or of the merged weight."""
        weight = self._layers[site].weight.detach() if merged else self._base.matrix(site)
        with self._running():
            return leading_triplets(weight.to(self._place.device), count)

    def rms_singular_value(self, site: str) -> float:
        """`||W||_F / sqrt(min(d_out, d_in))` of the base weight."""
        return w.rms_singular_value(self._base.matrix(site))

    def gradient(self, site: str, examples: Examples, batch: Batch) -> NDArray[np.float64]:
        """`dL/dW (d_out, d_in)` of the batch's loss at the current weights."""
        layer = self._layers[site]
        mine = batch.take(self._processes.shard_rows(lengths_of(batch.rows(examples))))
        total = torch.zeros(layer.weight.shape, dtype=layer.weight.dtype, device=self._place.device)

        def shard_gradient() -> list[Tensor]:
            if len(mine):
                with gradient_hook(layer, total.add_):
                    loss = loss_of(self.net, mine, examples, self._place, whole=len(batch))
                    if loss.requires_grad:
                        loss.backward()
            return [total]

        with self._running():
            (found,) = self._processes.all_reduce(shard_gradient, [total])
        return to_array(found)

    def gradient_products(
        self, examples: Examples, batches: Sequence[Batch], *, right: Factors, left: Factors
    ) -> dict[str, Products]:
        """`G O` and `G'Q` at every named site, in one forward and backward pass over the batches."""
        self.unreached_sites(examples)
        with self._running():
            return self._product_pass().gradients(examples, batches, right, left)

    def activation_products(self, examples: Examples, batches: Sequence[Batch], right: Factors) -> Factors:
        """`X' diag(w) X O / sum w` at every named site, in one forward pass over the batches."""
        self.unreached_sites(examples)
        with self._evaluating():
            return self._product_pass().activations(examples, batches, right)

    def _product_pass(self) -> ProductPass:
        return ProductPass(
            net=self.net,
            layers=self._layers,
            place=self._place,
            options=self._options,
            report=self._report,
            processes=self._processes,
        )

    # -- Rounds

    def train(self, request: TrainingRequest) -> Training:
        """Train one round on the request's batches. Raises `NonFiniteError` at the first NaN or Inf."""
        self.unreached_sites(request.examples)
        with self._running():
            return train(
                self.net,
                self._layers,
                request,
                place=self._place,
                options=self._options,
                report=self._report,
                processes=self._processes,
            )

    def assemble(self, ensemble: w.Ensemble) -> None:
        """Rebuild every site whose updates have changed from the base weight. Atomic: on an error no site changes."""
        before, written = self._ensemble, list[str]()
        try:
            for site in self._layers:
                old, new = (w.site_updates(e, site) for e in (before, ensemble))
                if not w.equal_updates(old, new):
                    written.append(site)
                    self._write(site, new)
        except BaseException:
            for site in written:
                self._write(site, w.site_updates(before, site))
            raise
        self._ensemble = tuple(ensemble)

    def _write(self, site: str, updates: w.SiteUpdates) -> None:
        """`W = cast(W_0 + sum_t s_t dW_t)`, summed in the master dtype; in place if that is the compute dtype."""
        weight, base = self._layers[site].weight.detach(), self._base.matrix(site)
        with self._running(), torch.no_grad():
            if self._place.compute_dtype == self._place.master_dtype:
                w.merge_into(weight.copy_(base), updates, site)
                return
            total = base.to(self._place.device, self._place.master_dtype, copy=True)
            w.merge_into(total, updates, site)
            weight.copy_(total)
            if updates:
                w.require_finite(weight, site)  # a finite float32 can overflow in float16

    def module(self) -> nn.Module:
        """A copy of the module with merged weights; classes, names and shapes are those of the base."""
        return deepcopy(self.net.module)

    def weight(self, site: str) -> NDArray[np.float64]:
        """The current weight `(d_out, d_in)`; a copy."""
        return to_array(self._layers[site].weight)
