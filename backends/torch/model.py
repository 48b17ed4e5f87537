"""A boosted model in torch: evaluate, factorise, train, assemble."""

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
from .devices import repeatable, resolve
from .distributed import current
from .evaluation import Evaluation
from .factorise import leading_triplets
from .generation import continuations
from .length_groups import lengths_of
from .nets import CausalNet, open_net
from .products import Survey, each_gradient
from .round_state import loss_of
from .site_check import Checked, SiteCheck, few
from .text_check import check_texts
from .train import train
from .trainables import to_array

if TYPE_CHECKING:
    from .options import ComputeOptions


class TorchModel:
    """A module on its device and the ensemble of updates assembled into its weights."""

    def __init__(
        self, source: ModelSource, sites: Sequence[Site], options: ComputeOptions, report: Report = no_report
    ) -> None:
        self._options, self._report, self._processes = options, report, current()
        self._place = resolve(options.device, options.dtype)
        self._base = w.Base(source)
        with self._running():
            self.net = open_net(source, self._base, self._place)
        self._layers = layers_of(
            self.net.module, {site.name: self._base.is_transposed(site.name) for site in sites}
        )
        self._ensemble: w.Ensemble = ()
        self._checked: Checked | None = None
        self._own = (
            source.build is None
        )  # a module of this backend calls every layer, and uses no weight otherwise

    @contextmanager
    def _running(self) -> Generator[None]:
        with repeatable(self._place, self._options.threads):
            yield

    @contextmanager
    def _evaluating(self, trial: Mapping[str, Update] | None = None, scale: float = 0.0) -> Generator[None]:
        """No gradients; with a trial, the model that would have it, and afterwards the model as it was."""
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

    # -- Answers

    def predict(
        self, examples: Examples, trial: Mapping[str, Update] | None = None, scale: float = 1.0
    ) -> Predictions:
        """Class of the largest logit (the first, on a tie), or how many tokens of the completion are; and the loss."""
        with self._evaluating(trial, scale):
            return self._evaluation().predictions(examples)

    def logits(self, examples: Examples) -> NDArray[np.float64]:
        """Rows of logits, in the order of the examples."""
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
        """Continuations of the prompts."""
        with self._evaluating(trial, scale):
            return continuations(
                self.net,
                examples,
                request,
                place=self._place,
                budget=self._options.eval_tokens,
                told=lambda done, total: self._report("writing", done, total),
                processes=self._processes,
            )

    # -- Sites

    def unreached_sites(self, examples: Examples) -> tuple[str, ...]:
        """Sites that no gradient of a few examples reaches; on the way each is given the path that is right for it.

        Raises `UsageError` for a site, or a model, that cannot be right.
        """
        if self._checked is None and self._own:
            self._checked = Checked(self._layers, ())
        if self._checked is None:
            rows = few(examples, completes=isinstance(self.net, CausalNet))
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
        """The leading singular triplets of the base weight, or of the merged one."""
        weight = self._layers[site].weight.detach() if merged else self._base.matrix(site)
        with self._running():
            return leading_triplets(weight.to(self._place.device), count)

    def rms_singular_value(self, site: str) -> float:
        """`||W||_F / sqrt(min(d_out, d_in))` of the base weight."""
        return w.rms_singular_value(self._base.matrix(site))

    def gradient(self, site: str, examples: Examples, batch: Batch) -> NDArray[np.float64]:
        """`dL/dW (d_out, d_in)`."""
        layer = self._layers[site]
        mine = batch.take(self._processes.rows(lengths_of(batch.rows(examples))))
        total = torch.zeros(layer.weight.shape, dtype=layer.weight.dtype, device=self._place.device)

        def slope() -> list[Tensor]:
            if len(mine):
                with each_gradient(layer, total.add_):
                    loss = loss_of(self.net, mine, examples, self._place, whole=len(batch))
                    if loss.requires_grad:
                        loss.backward()
            return [total]

        with self._running():
            (found,) = self._processes.summed(slope, [total])
        return to_array(found)

    def gradient_products(
        self, examples: Examples, batches: Sequence[Batch], *, right: Factors, left: Factors
    ) -> dict[str, Products]:
        """`G O` and `G'Q` at every named site, in one forward and backward pass over the batches."""
        self.unreached_sites(examples)
        with self._running():
            return self._survey().gradients(examples, batches, right, left)

    def activation_products(self, examples: Examples, batches: Sequence[Batch], right: Factors) -> Factors:
        """`X' diag(w) X O / sum w` at every named site, in one forward pass over the batches."""
        self.unreached_sites(examples)
        with self._evaluating():
            return self._survey().activations(examples, batches, right)

    def _survey(self) -> Survey:
        return Survey(
            net=self.net,
            layers=self._layers,
            place=self._place,
            options=self._options,
            report=self._report,
            processes=self._processes,
        )

    # -- Rounds

    def train(self, request: TrainingRequest) -> Training:
        """Follow the optimiser's rule over the request's batches. Raises `NonFiniteError` at the first NaN or Inf."""
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
        """Rebuild every site whose updates have changed, each from the base: all of them, or none on an error."""
        before, begun = self._ensemble, list[str]()
        try:
            for site in self._layers:
                old, new = (w.of_site(e, site) for e in (before, ensemble))
                if not w.same(old, new):
                    begun.append(site)
                    self._write(site, new)
        except BaseException:
            for site in begun:
                self._write(site, w.of_site(before, site))
            raise
        self._ensemble = tuple(ensemble)

    def _write(self, site: str, updates: w.SiteUpdates) -> None:
        """Cast(master(base) + sum of updates); in place where the module is kept in the master dtype."""
        weight, base = self._layers[site].weight.detach(), self._base.matrix(site)
        with self._running(), torch.no_grad():
            if self._place.compute == self._place.master:
                w.merge_into(weight.copy_(base), updates, site)
                return
            total = base.to(self._place.device, self._place.master, copy=True)
            w.merge_into(total, updates, site)
            weight.copy_(total)
            if updates:
                w.require_finite(weight, site)  # a finite float32 can be an infinite float16

    def module(self) -> nn.Module:
        """A copy of the module as it is: the base's classes, names and shapes, the merged weights in them."""
        return deepcopy(self.net.module)

    def weight(self, site: str) -> NDArray[np.float64]:
        """The current weight `(d_out, d_in)`; a copy."""
        return to_array(self._layers[site].weight)
