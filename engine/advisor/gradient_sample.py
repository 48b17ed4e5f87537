"""The calibration sample: gradient oracles on a round's training examples, whole and in two halves."""

from __future__ import annotations

from functools import partial
from typing import Literal, get_args

import attrs
import numpy as np
from numpy.typing import NDArray

from ..boosting.calibration import RoundOracle, oracle_for
from ..boosting.checks import check_selection
from ..boosting.experiment import Experiment
from ..boosting.round_plan import RoundPlan
from ..contracts import (
    Batch,
    CalibrationExamples,
    CalibrationSpec,
    GradientOracle,
    Outcome,
    PolicyObjective,
    Selection,
    Tokens,
)
from ..errors import UsageError, blame
from ..foundation.run_context import Report
from .sketched_oracle import SketchedOracle
from .sketches import Plan, Sketch

Part = Literal["all", "one", "other"]
"""The whole sample, and its two disjoint halves."""

PARTS: tuple[Part, ...] = get_args(Part)
ROWS, TEXTS = 512, 256
"""Default number of calibration examples: numeric rows, and texts."""
GROUPS = 4
"""Batches of prompts for objectives with rewards."""


@attrs.define(eq=False)
class GradientSample:
    """The calibration sample of a round; one oracle per source of examples."""

    experiment: Experiment
    plan: RoundPlan
    outcome: Outcome
    """Outcome of the current model on the training split."""
    selection: Selection
    examples: int
    """Maximum number of calibration examples; with rewards, of prompts."""
    report: Report
    notes: list[str] = attrs.field(factory=list)
    _sketches: dict[tuple[Part, CalibrationExamples], dict[str, Sketch]] = attrs.field(factory=dict)
    _sketched: dict[tuple[Part, CalibrationExamples], SketchedOracle] = attrs.field(factory=dict)
    _drawn: dict[CalibrationExamples, RoundOracle] = attrs.field(factory=dict)

    @property
    def number(self) -> int:
        """The round's number."""
        return self.plan.number

    @property
    def rewarded(self) -> bool:
        """Whether the gradient is that of newly sampled completions."""
        return isinstance(self.experiment.spec.objective, PolicyObjective)

    @property
    def calibrated(self) -> int:
        """Number of distinct calibration examples."""
        batches = self._oracle("chosen").batches
        return len(np.unique(np.concatenate([batch.indices for batch in batches])))

    @property
    def failures(self) -> int:
        """Training examples that are wrong."""
        return int(np.sum(~self.outcome.correct))

    def oracle(self, part: Part, source: CalibrationExamples = "chosen") -> GradientOracle:
        """The oracle of a source of examples, whole or one half; an example is in the same half for every source."""
        whole = self._oracle(source)
        if part == "all":
            return whole
        mask = self._half if part == "one" else ~self._half
        halves = [_part(batch, mask) for batch in whole.batches]
        return attrs.evolve(
            whole, batches=[batch for batch in halves if len(batch)] or [_part(whole.batches[0], mask)]
        )

    def sketches(self, part: Part, source: CalibrationExamples = "chosen") -> dict[str, Sketch]:
        """Sketches of the gradient by site; all parts share their random factors, so that they can be compared."""
        key = (part, source)
        if key not in self._sketches:
            plan = Plan.of(self.experiment.sites, self.experiment.streams, self.number)
            self._sketches[key] = plan.sketches(self.oracle(part, source))
        return self._sketches[key]

    def sketched(self, part: Part, source: CalibrationExamples) -> SketchedOracle:
        """The sketched oracle for bases."""
        key = (part, source)
        if key not in self._sketched:
            self._sketched[key] = SketchedOracle(
                source=self.oracle(part, source),
                sites=self.experiment.sites,
                gradient=partial(self.sketches, part, source),
                streams=self.experiment.streams,
                number=self.number,
            )
        return self._sketched[key]

    @property
    def _half(self) -> NDArray[np.bool_]:
        """Mask of the first half: every second example in random order, so that the halves have equal size."""
        rng = self.experiment.streams("halves", self.number)
        calibrated = np.unique(np.concatenate([batch.indices for batch in self._oracle("chosen").batches]))
        others = np.setdiff1d(np.arange(len(self.outcome)), calibrated)
        mask = np.zeros(len(self.outcome), dtype=np.bool_)
        for indices in (calibrated, others):
            mask[rng.permutation(indices)[::2]] = True
        return mask

    def _oracle(self, source: CalibrationExamples) -> RoundOracle:
        if source not in self._drawn:
            size = self.experiment.spec.optimizer.batch_size
            calibration = CalibrationSpec(
                source=source,
                examples=self.examples,
                batches=max(1, -(-self.examples // size)),
                passes=0,
                columns=0,
            )
            self._drawn[source] = oracle_for(
                self.experiment,
                self.number,
                self.selection,
                self.outcome,
                calibration=calibration,
                report=self.report,
            )
        return self._drawn[source]


def sample_gradient(
    experiment: Experiment, plan: RoundPlan, history: list[Outcome], examples: int | None, report: Report
) -> GradientSample:
    """Select examples for a round with the sampler; `history` are the model's outcomes so far, the current one last.

    If it selects none, all examples are used, with a note. Raises `UsageError` for fewer than two examples.
    """
    spec, outcome = experiment.spec, history[-1]
    name = experiment.name_of("sampler")
    with blame("sampler", name):
        chosen: object = spec.sampler.select(
            outcome, history[:-1], experiment.streams("sampler", plan.number)
        )
    selection, notes = check_selection(chosen, len(outcome), name), list[str]()
    if len(selection) == 0:
        selection = Selection.equal(np.arange(len(outcome), dtype=np.int64))
        notes.append(
            f"sampler {name} chose no example, since nothing is wrong: the gradient is that of all examples"
        )
    if len(selection) < 2:
        raise UsageError(
            f"sampler {name} chose a single example, which cannot be split into halves; "
            "choose more, with: --set sampler.use=all, or --set sampler.use=hardest"
        )
    wanted = examples or _default(experiment)
    return GradientSample(
        experiment=experiment,
        plan=plan,
        outcome=outcome,
        selection=selection,
        examples=min(wanted, len(selection)),
        report=report,
        notes=notes,
    )


def _default(experiment: Experiment) -> int:
    if isinstance(experiment.spec.objective, PolicyObjective):
        return GROUPS * experiment.spec.optimizer.batch_size
    return TEXTS if isinstance(experiment.encoded.train.inputs, Tokens) else ROWS


def _part(batch: Batch, mask: NDArray[np.bool_]) -> Batch:
    return batch.take(np.flatnonzero(mask[batch.indices]))
