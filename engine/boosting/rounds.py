"""One round: select, frame, train, merge or refuse, measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from ..contracts import (
    Batch,
    Batches,
    FactoredUpdate,
    Frame,
    Metrics,
    Outcome,
    PolicyObjective,
    Refusal,
    Selection,
    Training,
    TrainingRequest,
    Update,
)
from ..contracts.records import RoundRecord, Status
from ..errors import NonFiniteError, blame
from ..foundation.run_context import Report
from .checks import check_batches, check_choice, check_selection
from .clock import Clock
from .experiment import Experiment
from .rollouts import Rollout, rollout_of
from .round_metrics import RecordDraft, overlap_of, ranks_of, without_signal
from .round_plan import RoundPlan, plan_round
from .round_setup import Merged, NothingToRefitError, frames_for, request_for, stored_parameters
from .subsample import subsampled

Ensemble = list[tuple[Mapping[str, Update], float]]


@attrs.frozen(kw_only=True, eq=False)
class RoundResult:
    """A round that is ready to be committed."""

    record: RoundRecord
    outcomes: Mapping[str, Outcome]
    training: Training | None
    rollouts: Sequence[Batch] | None = None
    """The batches of answers it trained on, where they are to be kept."""


@attrs.define(eq=False)
class RoundRunner:
    """Runs the rounds of one experiment; holds the model's ensemble and its latest outcomes."""

    experiment: Experiment
    report: Report
    rounds: list[Merged] = attrs.field(factory=list)
    """Those that are part of the model."""
    history: list[Outcome] = attrs.field(factory=list)
    """Outcomes on the training split, the base first and the current model last."""
    outcomes: Mapping[str, Outcome] = attrs.field(factory=dict)

    @property
    def ensemble(self) -> Ensemble:
        """The model's updates with their scales."""
        return [(r.updates, r.scale) for r in self.rounds]

    def plan(self, number: int) -> RoundPlan:
        """What round `number` (from 1) is."""
        return plan_round(self.experiment.spec, number)

    def base(self) -> RoundResult:
        """Round 0: the base model as it is."""
        clock = Clock()
        with clock("evaluate"):
            outcomes = self.experiment.evaluate_all()
        draft = RecordDraft(round=0, failures=int(np.sum(~outcomes["train"].correct)))
        return RoundResult(
            record=self._record(draft, "base", outcomes, clock), outcomes=outcomes, training=None
        )

    def select(self, number: int) -> Selection:
        """Ask the sampler for round `number` (from 1), and check its answer."""
        name = self.experiment.name_of("sampler")
        rng = self.experiment.streams("sampler", number)
        with blame("sampler", name):
            selection = self.experiment.spec.sampler.select(self.history[-1], self.history[:-1], rng)
        chosen = check_selection(selection, len(self.history[-1]), name)
        return subsampled(self.experiment, number, chosen)

    def run_round(self, number: int, selection: Selection, previous: RoundRecord) -> RoundResult:
        """Round `number` on a selection. A round that meets NaN or Inf leaves the model as it was, and says why."""
        clock, plan = Clock(), self.plan(number)
        batches = self.batches(number, selection)
        draft = RecordDraft(
            round=number,
            failures=int(np.sum(~self.history[-1].correct)),
            selected=len(selection),
            overlap=previous.overlap,
        )
        try:
            training = self._train(plan, selection, batches, clock, draft)
            draft.add_batches(batches)
            with clock("merge"):
                choice = without_signal(batches) or self.choose(training)
                if not isinstance(choice, Refusal):
                    self.experiment.model.assemble([*self.ensemble, (training.updates, choice)])
            draft.add_training(training)
            if isinstance(choice, Refusal):
                record = self._record(draft, "refused", self.outcomes, clock, reason=choice.reason)
                found = RoundResult(record=record, outcomes=self.outcomes, training=training)
            else:
                found = self._merged(plan, training, choice, clock, draft)
            return attrs.evolve(found, rollouts=self._kept(batches))
        except NothingToRefitError as error:
            draft.refit, draft.stored = True, 0
            record = self._record(draft, "refused", self.outcomes, clock, reason=str(error))
            return RoundResult(record=record, outcomes=self.outcomes, training=None)
        except NonFiniteError as error:
            self.experiment.model.assemble(self.ensemble)
            record = self._record(draft, "nonfinite", self.outcomes, clock, reason=str(error))
            return RoundResult(record=record, outcomes=self.outcomes, training=None)

    def accept(self, result: RoundResult) -> None:
        """The round is on disk: it is part of the run now."""
        if result.record.scale != 0.0 and result.training is not None:
            self.remember(result.record.round, result.training.updates, result.record.scale)
        self.outcomes = result.outcomes
        self.history.append(result.outcomes["train"])

    def remember(self, number: int, updates: Mapping[str, Update], scale: float) -> None:
        """Add a merged round to the ensemble, and its frames, if they are new, to those that bases know as used."""
        merged = Merged(plan=self.plan(number), updates=updates, scale=scale)
        self.rounds.append(merged)
        if merged.plan.refit:
            return
        for site, update in updates.items():
            if isinstance(update, FactoredUpdate) and update.orthonormal:
                self.experiment.views[site].remember(update.frame)

    def batches(self, number: int, selection: Selection) -> Sequence[Batch] | Rollout:
        """Ask the objective for round `number`'s batches, or for its prompts, and check its answer."""
        plan, rng = self.plan(number), self.experiment.streams("batches", number)
        objective, name = self.experiment.spec.objective, self.experiment.name_of("objective")
        steps, size = plan.steps, plan.batch_size
        if isinstance(objective, PolicyObjective):
            return rollout_of(self.experiment, number, selection, self.report, steps=steps, batch_size=size)
        with blame("objective", name):
            batches = objective.batches(selection, steps, size, rng)
        return check_batches(batches, steps, name)

    def _kept(self, batches: Sequence[Batch] | Rollout) -> Sequence[Batch] | None:
        objective = self.experiment.spec.objective
        keeps = isinstance(objective, PolicyObjective) and objective.keeps
        return batches.batches if isinstance(batches, Rollout) and keeps else None

    def request(
        self, number: int, batches: Batches, frames: Mapping[str, Frame] | None = None
    ) -> TrainingRequest:
        """What a backend is asked to train in round `number`; without `frames`, in those of the run's basis."""
        frames = self.frames(number) if frames is None else frames
        plan = self.plan(number)
        return request_for(self.experiment, plan, self.rounds, frames, batches=batches, report=self.report)

    def _train(
        self, plan: RoundPlan, selection: Selection, batches: Batches, clock: Clock, draft: RecordDraft
    ) -> Training:
        with clock("factorise"):
            request = self.request(plan.number, batches, self.frames(plan.number, selection))
        with clock("train"), blame("backend", self.experiment.name_of("backend")):
            training = self.experiment.model.train(request)
        draft.refit = True if plan.refit else None
        adapted = len(request.frames)
        draft.adapted = adapted if 0 < adapted < len(self.experiment.sites) else None
        draft.stored = stored_parameters(plan, training.updates, training.parameters)
        return training

    def frames(self, number: int, selection: Selection | None = None) -> dict[str, Frame]:
        """Round `number`'s frame at every site that it adapts; none where the adapter finds its own directions.

        Without the round's selection, only for bases that take their frames from the weights alone.
        """
        chosen_from = None if selection is None else (selection, self.history[-1])
        return frames_for(self.experiment, self.plan(number), self.rounds, chosen_from, self.report)

    def choose(self, training: Training) -> float | Refusal:
        """Ask the merge policy for the scale of what was trained, and check its answer."""
        experiment, name = self.experiment, self.experiment.name_of("merge")
        known = dict[float, Metrics]()

        def trial(scale: float) -> Metrics:
            if scale not in known:
                self.report("validating", len(known), 0)
                known[scale] = experiment.validate(training.updates, scale)
            return known[scale]

        with blame("merge", name):
            choice: object = experiment.spec.merge.choose(trial)
        return check_choice(choice, name)

    def _merged(
        self, plan: RoundPlan, training: Training, scale: float, clock: Clock, draft: RecordDraft
    ) -> RoundResult:
        with clock("evaluate"):
            self.report("evaluating", 0, 0)
            outcomes = self.experiment.evaluate_all()
        with clock("measure"):
            if not plan.refit:  # a refit uses directions again on purpose
                draft.overlap = overlap_of(training.updates, self.ensemble, draft.overlap)
            draft.scale = scale
            draft.add_outcomes(self.outcomes["train"], outcomes["train"])
            ensemble = [*self.ensemble, (training.updates, scale)]
            record = self._record(draft, "merged", outcomes, clock, ensemble=ensemble)
        record = attrs.evolve(record, seconds=dict(clock.seconds))
        return RoundResult(record=record, outcomes=outcomes, training=training)

    def _record(
        self,
        draft: RecordDraft,
        status: Status,
        outcomes: Mapping[str, Outcome],
        clock: Clock,
        *,
        ensemble: Ensemble | None = None,
        reason: str = "",
    ) -> RoundRecord:
        ranks = ranks_of(self.ensemble if ensemble is None else ensemble, self.experiment.sites)
        return draft.finish(status, outcomes, ranks, clock.seconds, reason)
