"""Evidence: what a basis may hear of the data at the start of a round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

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
    Objective,
    Outcome,
    Policy,
    PolicyObjective,
    Products,
    Selection,
    Site,
    TrainingRequest,
)
from ..errors import PluginError, blame
from ..foundation.rng import Streams
from ..foundation.run_context import Report
from .checks import check_batches
from .experiment import Experiment
from .rollouts import inquiry_of
from .round_plan import RoundPlan

Matrix = NDArray[np.float64]
EMPTY = Batch(indices=np.empty(0, dtype=np.int64), weights=np.empty(0))
NOTHING: Factors = {}


@attrs.define(eq=False)
class RoundOracle:
    """The examples of a question as batches, and the model that is asked about them; every answer is one pass, a probe's several."""

    model: BoostedModel
    sites: Sequence[Site]
    examples: Examples
    batches: Sequence[Batch]
    optimizer: Any
    """The run's own: probes are trained by its rule."""
    streams: Streams
    number: int
    report: Report
    parts: int
    """Batches of a whole pass, as the question has them: more than there are where few examples were to be had."""
    passes: int = 0
    """So far."""

    def gradient_products(
        self, *, right: Factors = NOTHING, left: Factors = NOTHING
    ) -> Mapping[str, Products]:
        """Products with the gradient of the batches' mean loss."""
        self._pass("asking for gradients")
        return self.model.gradient_products(self.examples, self.batches, right=right, left=left)

    def activation_products(self, right: Factors) -> Factors:
        """Products with the second moments of what comes into the sites."""
        self._pass("asking for activations")
        return self.model.activation_products(self.examples, self.batches, right)

    def weight(self, site: str) -> Matrix:
        """The current weight of one site."""
        return self.model.weight(site)

    def probe(self, rank: int, steps: int, lr: float) -> Mapping[str, tuple[Matrix, Matrix]]:
        """LoRA factors, `A` with entries N(0, 1 / d_in) and `B` from zero, after some steps on the batches one after the other."""
        lent = {
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
                parametrisations=lent,
                frames={},
                examples=self.examples,
                batches=batches,
                learning_rates=np.full(steps, lr),
                optimizer=self.optimizer,
                on_step=lambda step, _: self.report("probing", step, steps),
            )
        )
        self.passes += -(-steps // self.parts)
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
    """Draw the round's calibration examples, and sample the model's answers to them where it learns from rewards.

    `outcome` is that of the current model on the training split.
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
    """As `oracle_of`, with other calibration examples than the plan's."""
    asked = _source_of(selection, outcome, calibration)
    if isinstance(experiment.spec.objective, PolicyObjective):
        batches = _answered(experiment, number, asked, calibration, report)
    else:
        batches = _drawn(experiment, number, asked, calibration)
    return RoundOracle(
        model=experiment.model,
        sites=experiment.sites,
        examples=experiment.encoded.train,
        batches=batches,
        optimizer=experiment.spec.optimizer,
        streams=experiment.streams,
        number=number,
        report=report,
        parts=calibration.batches,
    )


def _source_of(selection: Selection, outcome: Outcome, calibration: CalibrationSpec) -> Selection:
    """Whom to ask; where nothing is wrong, the chosen."""
    everybody = np.arange(len(outcome), dtype=np.int64)
    if calibration.source == "all":
        return Selection.equal(everybody)
    wrong = everybody[~outcome.correct]
    return Selection.equal(wrong) if calibration.source == "failures" and len(wrong) else selection


def _drawn(
    experiment: Experiment, number: int, asked: Selection, calibration: CalibrationSpec
) -> Sequence[Batch]:
    """Every example once, weighted as the sampler weighs it; or as many as are wanted, drawn as the objective draws."""
    if not 0 < calibration.examples < len(asked):
        shares = asked.weights * (len(asked) / asked.weights.sum())
        parts = np.array_split(np.arange(len(asked)), min(calibration.batches, len(asked)))
        return [Batch(indices=asked.indices[part], weights=shares[part]) for part in parts]
    name, rng = experiment.name_of("objective"), experiment.streams("evidence", number)
    count, size = _parts(calibration.examples, calibration.batches)
    with blame("objective", name):
        batches = cast("Objective", experiment.spec.objective).batches(asked, count, size, rng)
    return check_batches(batches, count, name)


def _parts(examples: int, batches: int) -> tuple[int, int]:
    """Into how many batches so many examples go, and of what size: none is empty, and the last may be filled up."""
    return min(examples, batches), -(-examples // batches)


def _answered(
    experiment: Experiment, number: int, asked: Selection, calibration: CalibrationSpec, report: Report
) -> Sequence[Batch]:
    """What the policy answers to the prompts, as batches.

    At the start of a round the ratio to the old policy is 1 and the divergence from the starting model has no gradient, so
    neither is in them.
    """
    count, size = _parts(calibration.examples or len(asked), calibration.batches)
    rollout = inquiry_of(experiment, number, asked, report, count=count, batch_size=size)
    found = list[Batch]()

    def answer(policy: Policy) -> Iterator[Batch]:
        found.extend(rollout.ask(policy) for _ in rollout.prompts)
        yield EMPTY

    first = experiment.sites[0]
    still = FreeFactors(rank=1, scale=1.0, A=np.zeros((1, first.shape[1])))
    experiment.model.train(
        TrainingRequest(
            parametrisations={first.name: still},
            frames={},
            examples=experiment.encoded.train,
            batches=answer,
            learning_rates=np.zeros(1),
            optimizer=experiment.spec.optimizer,
        )
    )
    return [_at_start(batch) for batch in found]


def _at_start(batch: Batch) -> Batch:
    if batch.rollouts is None:
        return batch
    return attrs.evolve(batch, rollouts=attrs.evolve(batch.rollouts, old=None, start=None, beta=0.0))


def require_passes(oracle: RoundOracle, calibration: CalibrationSpec | None, basis: str) -> None:
    """Hold a basis to the passes that it declared, of which users were told. Raises `PluginError`."""
    if calibration is not None and oracle.passes > calibration.passes:
        raise PluginError(
            "basis",
            basis,
            f"made {oracle.passes} passes over its examples, and declared {calibration.passes}",
        )
