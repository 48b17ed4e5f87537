"""The look itself: the examples that a round would train on, as evidence, whole and in two halves."""

from __future__ import annotations

from functools import partial
from typing import Literal, get_args

import attrs
import numpy as np
from numpy.typing import NDArray

from ..boosting.calibration import RoundOracle, oracle_for
from ..boosting.checks import check_selection
from ..boosting.experiment import Experiment
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
"""Everything that was heard, and its two halves, which have no example in common."""

PARTS: tuple[Part, ...] = get_args(Part)
ROWS, TEXTS = 512, 256
"""Examples that are heard unless the user says else: rows of numbers, and texts."""
GROUPS = 4
"""Batches of prompts that are asked where the model learns from rewards."""


@attrs.define(eq=False)
class GradientSample:
    """What is heard before round `number` is played; evidence is drawn once for each kind of examples that is asked for."""

    experiment: Experiment
    number: int
    outcome: Outcome
    """Of the model as it is, on the training split."""
    selection: Selection
    examples: int
    """How many are heard at most; for rewards, how many prompts."""
    report: Report
    notes: list[str] = attrs.field(factory=list)
    _sketches: dict[tuple[Part, CalibrationExamples], dict[str, Sketch]] = attrs.field(factory=dict)
    _sketched: dict[tuple[Part, CalibrationExamples], SketchedOracle] = attrs.field(factory=dict)
    _drawn: dict[CalibrationExamples, RoundOracle] = attrs.field(factory=dict)

    @property
    def rewarded(self) -> bool:
        """Whether the gradient is that of freshly sampled answers."""
        return isinstance(self.experiment.spec.objective, PolicyObjective)

    @property
    def heard(self) -> int:
        """Different examples that the measured gradient is of."""
        batches = self._oracle("chosen").batches
        return len(np.unique(np.concatenate([batch.indices for batch in batches])))

    @property
    def failures(self) -> int:
        """Training examples that are wrong."""
        return int(np.sum(~self.outcome.correct))

    def oracle(self, part: Part, source: CalibrationExamples = "chosen") -> GradientOracle:
        """All that was heard of a kind of examples, or one half of it; an example is in the same half whatever the kind."""
        whole = self._oracle(source)
        if part == "all":
            return whole
        mask = self._half if part == "one" else ~self._half
        halves = [_part(batch, mask) for batch in whole.batches]
        return attrs.evolve(
            whole, batches=[batch for batch in halves if len(batch)] or [_part(whole.batches[0], mask)]
        )

    def sketches(self, part: Part, source: CalibrationExamples = "chosen") -> dict[str, Sketch]:
        """The gradient of what was heard, by site; all parts have the same factors, so that they can be compared."""
        key = (part, source)
        if key not in self._sketches:
            plan = Plan.of(self.experiment.sites, self.experiment.streams, self.number)
            self._sketches[key] = plan.sketches(self.oracle(part, source))
        return self._sketches[key]

    def sketched(self, part: Part, source: CalibrationExamples) -> SketchedOracle:
        """What was heard, for bases to ask."""
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
        """Which training examples are in the one half: every second of a random order, so that the halves are equally large."""
        rng = self.experiment.streams("halves", self.number)
        heard = np.unique(np.concatenate([batch.indices for batch in self._oracle("chosen").batches]))
        others = np.setdiff1d(np.arange(len(self.outcome)), heard)
        mask = np.zeros(len(self.outcome), dtype=np.bool_)
        for indices in (heard, others):
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
    experiment: Experiment, number: int, history: list[Outcome], examples: int | None, report: Report
) -> GradientSample:
    """Let the sampler choose for round `number`, the model's outcomes so far being `history`, the current one last.

    Where it chooses nobody, everybody is heard, and a note says so. Raises `UsageError` for fewer than two examples.
    """
    spec, outcome = experiment.spec, history[-1]
    name = experiment.name_of("sampler")
    with blame("sampler", name):
        chosen: object = spec.sampler.select(outcome, history[:-1], experiment.streams("sampler", number))
    selection, notes = check_selection(chosen, len(outcome), name), list[str]()
    if len(selection) == 0:
        selection = Selection.equal(np.arange(len(outcome), dtype=np.int64))
        notes.append(
            f"sampler {name} chose no example, since nothing is wrong: the gradient is that of all examples"
        )
    if len(selection) < 2:
        raise UsageError(
            f"sampler {name} chose a single example, and one has no halves; "
            "choose more, with: --set sampler.use=all, or --set sampler.use=hardest"
        )
    wanted = examples or _default(experiment)
    return GradientSample(
        experiment=experiment,
        number=number,
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
