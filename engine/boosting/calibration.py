"""Calibration: gradient and activation products of a round's calibration examples, for data-driven bases and `top_sites`.

With `G = dL/dW` at the model the round starts from, a basis gets `G O` and `G' Q` for its own thin factors `O` and `Q` (randomised
range finding, Halko et al., 2011), products with the inputs' second moment, or briefly trained LoRA factors. No matrix of a weight's
size leaves the backend.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import (
    Batch,
    BoostedModel,
    CalibrationSpec,
    Examples,
    Factors,
    FreeFactors,
    Outcome,
    Policy,
    PolicyObjective,
    Products,
    Selection,
    Site,
    TrainingRequest,
)
from ..errors import PluginError
from ..foundation.rng import Streams
from ..foundation.run_context import Report
from .experiment import Experiment
from .rollouts import calibration_rollout
from .round_plan import RoundPlan
from .supervised_batches import label_weights, supervised_batches

Matrix = NDArray[np.float64]
EMPTY = Batch(indices=np.empty(0, dtype=np.int64), weights=np.empty(0))
NOTHING: Factors = {}


@attrs.define(eq=False)
class RoundOracle:
    """The round's calibration batches and the current model. A product costs one pass over the batches, a probe may cost several."""

    model: BoostedModel
    sites: Sequence[Site]
    examples: Examples
    batches: Sequence[Batch]
    optimizer: Any
    """The run's optimiser plugin: probes use its update rule."""
    streams: Streams
    number: int
    report: Report
    batches_per_pass: int
    """`CalibrationSpec.batches`; more than `len(batches)` where there are fewer examples than that."""
    passes: int = 0
    """Passes made so far."""

    def gradient_products(
        self, *, right: Factors = NOTHING, left: Factors = NOTHING
    ) -> Mapping[str, Products]:
        """`G O` and `G' Q` by site, for the gradient `G` of the batches' mean loss. One pass."""
        self._pass("computing gradients")
        return self.model.gradient_products(self.examples, self.batches, right=right, left=left)

    def activation_products(self, right: Factors) -> Factors:
        """`E[x x'] O` by site, for the sites' inputs `x`. One pass."""
        self._pass("computing activations")
        return self.model.activation_products(self.examples, self.batches, right)

    def weight(self, site: str) -> Matrix:
        """The current weight `(d_out, d_in)` of one site."""
        return self.model.weight(site)

    def probe(self, rank: int, steps: int, lr: float) -> Mapping[str, tuple[Matrix, Matrix]]:
        """LoRA factors `B (d_out, rank)` and `A' (d_in, rank)` after `steps` optimiser steps, cycling through the batches.

        `B` starts at zero and `A` has entries N(0, 1 / d_in), so `A x` starts at the scale of a typical entry of `x`. The model does not
        change. Costs `ceil(steps / batches_per_pass)` passes.
        """
        parametrisations = {
            site.name: FreeFactors(
                rank=rank,
                scale=1.0,
                A=self.streams("probe", self.number, site.name).standard_normal((rank, site.shape[1]))
                / np.sqrt(site.shape[1]),
            )
            for site in self.sites
        }
        batches = [self.batches[step % len(self.batches)] for step in range(steps)]
        training = self.model.train(
            TrainingRequest(
                parametrisations=parametrisations,
                frames={},
                examples=self.examples,
                batches=batches,
                learning_rates=np.full(steps, lr),
                optimizer=self.optimizer,
                on_step=lambda step, _: self.report("probing", step, steps),
            )
        )
        # Rounded up: a partial pass counts as one, as in the cost that the basis declares.
        self.passes += -(-steps // self.batches_per_pass)
        return {
            site.name: (training.values[f"{site.name}:B"], training.values[f"{site.name}:A"].T)
            for site in self.sites
        }

    def _pass(self, what: str) -> None:
        self.passes += 1
        self.report(what, self.passes, 0)


def oracle_of(
    experiment: Experiment, plan: RoundPlan, selection: Selection, outcome: Outcome, report: Report
) -> RoundOracle:
    """Draw the round's calibration examples. With a policy objective, also sample and judge the model's answers to them.

    `outcome` is the current model's on the training split. Raises ValueError for a round without calibration.
    """
    if plan.calibration is None:
        raise ValueError(f"round {plan.number} uses no calibration examples")
    return oracle_for(
        experiment, plan.number, selection, outcome, calibration=plan.calibration, report=report
    )


def oracle_for(
    experiment: Experiment,
    number: int,
    selection: Selection,
    outcome: Outcome,
    *,
    calibration: CalibrationSpec,
    report: Report,
) -> RoundOracle:
    """As `oracle_of`, with an explicit `calibration` in place of the plan's."""
    candidates = _candidates(selection, outcome, calibration)
    if isinstance(experiment.spec.objective, PolicyObjective):
        batches = _rollout_batches(experiment, number, candidates, calibration, report)
    else:
        batches = _supervised_batches(experiment, number, candidates, calibration)
    return RoundOracle(
        model=experiment.model,
        sites=experiment.sites,
        examples=experiment.encoded.train,
        batches=batches,
        optimizer=experiment.spec.optimizer,
        streams=experiment.streams,
        number=number,
        report=report,
        batches_per_pass=calibration.batches,
    )


def _candidates(selection: Selection, outcome: Outcome, calibration: CalibrationSpec) -> Selection:
    """The examples that calibration draws from. `failures` falls back to the selection where no example is wrong."""
    everything = np.arange(len(outcome), dtype=np.int64)
    if calibration.source == "all":
        return Selection.equal(everything)
    # Equal weights: the sampler's weights are defined on its own selection only.
    wrong = everything[~outcome.correct]
    return Selection.equal(wrong) if calibration.source == "failures" and len(wrong) else selection


def _supervised_batches(
    experiment: Experiment, number: int, candidates: Selection, calibration: CalibrationSpec
) -> Sequence[Batch]:
    """Every candidate once, weighted as the sampler weighs it; or `calibration.examples` of them, drawn by the objective."""
    if not 0 < calibration.examples < len(candidates):
        # Weights of mean 1: the weighted mean loss is then the expected loss of an example drawn by the sampler's weights.
        weights = candidates.weights * (len(candidates) / candidates.weights.sum())
        parts = np.array_split(np.arange(len(candidates)), min(calibration.batches, len(candidates)))
        batches = [Batch(indices=candidates.indices[part], weights=weights[part]) for part in parts]
        by_label = label_weights(experiment)
        return batches if by_label is None else [batch.weighted(by_label) for batch in batches]
    # The stream's name decides the draws, and so the run's digest: it stays.
    rng = experiment.streams("evidence", number)
    count, size = _batch_counts(calibration.examples, calibration.batches)
    return supervised_batches(experiment, candidates, count, size, rng)


def _batch_counts(examples: int, batches: int) -> tuple[int, int]:
    """Number and size of the batches that hold `examples`. None is empty; a last partial batch is drawn at full size."""
    # Batches of one size: the mean of their losses is then the mean over examples.
    return min(examples, batches), -(-examples // batches)


def _rollout_batches(
    experiment: Experiment,
    number: int,
    candidates: Selection,
    calibration: CalibrationSpec,
    report: Report,
) -> Sequence[Batch]:
    """Batches of answers sampled from the model that the round starts from."""
    count, size = _batch_counts(calibration.examples or len(candidates), calibration.batches)
    rollout = calibration_rollout(experiment, number, candidates, report, count=count, batch_size=size)
    found = list[Batch]()

    def sample(policy: Policy) -> Iterator[Batch]:
        found.extend(rollout.sample(policy) for _ in rollout.prompts)
        yield EMPTY

    # Only `train` hands out a `Policy`. One step on an empty batch, at learning rate 0 and from B = 0, leaves it the current model.
    first = experiment.sites[0]
    unchanged = FreeFactors(rank=1, scale=1.0, A=np.zeros((1, first.shape[1])))
    experiment.model.train(
        TrainingRequest(
            parametrisations={first.name: unchanged},
            frames={},
            examples=experiment.encoded.train,
            batches=sample,
            learning_rates=np.zeros(1),
            optimizer=experiment.spec.optimizer,
        )
    )
    return [_on_policy(batch) for batch in found]


def _on_policy(batch: Batch) -> Batch:
    """The batch without the ratio and the KL term: before the first step `rho = 1`, and `q - log q - 1` has zero gradient at `q = 1`."""
    if batch.rollouts is None:
        return batch
    return attrs.evolve(batch, rollouts=attrs.evolve(batch.rollouts, old=None, start=None, beta=0.0))


def require_passes(oracle: RoundOracle, calibration: CalibrationSpec | None, basis: str) -> None:
    """Raises `PluginError` where a basis made more passes than it declared; `boostlora check` quoted the declared cost."""
    if calibration is not None and oracle.passes > calibration.passes:
        raise PluginError(
            "basis",
            basis,
            f"made {oracle.passes} passes over its examples, but calibration() declared {calibration.passes}",
        )
