"""One round: select examples, choose frames, train, merge or refuse, evaluate, record."""

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
from .checks import check_choice, check_selection
from .experiment import Experiment
from .rollouts import Rollout, rollout_of
from .round_metrics import Clock, RecordDraft, overlap_of, ranks_of, refuse_without_signal
from .round_plan import RoundPlan, plan_round
from .round_setup import Merged, NothingToRefitError, frames_for, request_for, stored_parameters
from .supervised_batches import supervised_batches

Ensemble = list[tuple[Mapping[str, Update], float]]


@attrs.frozen(kw_only=True, eq=False)
class RoundResult:
    """A finished round, ready to be committed to disk."""

    record: RoundRecord
    plan: RoundPlan | None
    """None for the base model."""
    outcomes: Mapping[str, Outcome]
    training: Training | None
    rollouts: Sequence[Batch] | None = None
    """The batches of answers it trained on, where the objective keeps them."""


@attrs.define(eq=False)
class RoundRunner:
    """Runs the rounds of one experiment. Holds the ensemble and the outcomes of every model so far."""

    experiment: Experiment
    report: Report
    rounds: list[Merged] = attrs.field(factory=list)
    """The merged rounds."""
    history: list[Outcome] = attrs.field(factory=list)
    """Outcomes on the training split, the base first and the current model last."""
    outcomes: Mapping[str, Outcome] = attrs.field(factory=dict)

    @property
    def ensemble(self) -> Ensemble:
        """The model's updates with their scales."""
        return [(r.updates, r.scale) for r in self.rounds]

    def plan(self, number: int) -> RoundPlan:
        """The plan of round `number` (from 1)."""
        return plan_round(self.experiment.spec, number)

    def base(self) -> RoundResult:
        """Round 0: the base model."""
        clock = Clock()
        with clock("evaluate"):
            outcomes = self.experiment.evaluate_all()
        draft = RecordDraft.of(0, failures=int(np.sum(~outcomes["train"].correct)))
        record = self._record(draft, "base", outcomes, clock)
        return RoundResult(record=record, plan=None, outcomes=outcomes, training=None)

    def select(self, number: int) -> Selection:
        """The sampler's checked selection for round `number` (from 1), subsampled by `boosting.subsample`."""
        name = self.experiment.name_of("sampler")
        rng = self.experiment.streams("sampler", number)
        with blame("sampler", name):
            selection = self.experiment.spec.sampler.select(self.history[-1], self.history[:-1], rng)
        chosen = check_selection(selection, len(self.history[-1]), name)
        return subsampled(self.experiment, number, chosen)

    def run_round(self, plan: RoundPlan, selection: Selection, previous: RoundRecord) -> RoundResult:
        """Run a planned round on a selection. At NaN or Inf the model is restored and the record says what was not finite."""
        clock, batches = Clock(), self.batches(plan, selection)
        draft = RecordDraft.of(
            plan.number,
            failures=int(np.sum(~self.history[-1].correct)),
            selected=len(selection),
            overlap=previous.overlap,
        )
        try:
            training = self._train(plan, selection, batches, clock, draft)
            draft.add_batches(batches)
            with clock("merge"):
                choice = refuse_without_signal(batches) or self.choose(training)
                if not isinstance(choice, Refusal):
                    self.experiment.model.assemble([*self.ensemble, (training.updates, choice)])
            draft.add_training(training)
            if isinstance(choice, Refusal):
                record = self._record(draft, "refused", self.outcomes, clock, reason=choice.reason)
                found = RoundResult(record=record, plan=plan, outcomes=self.outcomes, training=training)
            else:
                found = self._merged(plan, training, choice, clock, draft)
            return attrs.evolve(found, rollouts=self._kept(batches))
        except NothingToRefitError as error:
            draft.add(refit=True, stored=0)
            record = self._record(draft, "refused", self.outcomes, clock, reason=str(error))
            return RoundResult(record=record, plan=plan, outcomes=self.outcomes, training=None)
        except NonFiniteError as error:
            self.experiment.model.assemble(self.ensemble)
            record = self._record(draft, "nonfinite", self.outcomes, clock, reason=str(error))
            return RoundResult(record=record, plan=plan, outcomes=self.outcomes, training=None)

    def accept(self, result: RoundResult) -> None:
        """Add a round that is on disk to the run's state."""
        if result.plan is not None and result.training is not None and result.record.scale != 0.0:
            self.remember(result.plan, result.training.updates, result.record.scale)
        self.outcomes = result.outcomes
        self.history.append(result.outcomes["train"])

    def remember(self, plan: RoundPlan, updates: Mapping[str, Update], scale: float) -> None:
        """Add a merged round to the ensemble, and its frames to the used ones of its sites. A refit has no new frames."""
        self.rounds.append(Merged(plan=plan, updates=updates, scale=scale))
        if plan.refit:
            return
        for site, update in updates.items():
            if isinstance(update, FactoredUpdate) and update.orthonormal:
                self.experiment.views[site].remember(update.frame)

    def batches(self, plan: RoundPlan, selection: Selection) -> Sequence[Batch] | Rollout:
        """The objective's checked batches for a round, or the rollouts of a policy objective."""
        if isinstance(self.experiment.spec.objective, PolicyObjective):
            return rollout_of(self.experiment, plan, selection, self.report)
        rng = self.experiment.streams("batches", plan.number)
        return supervised_batches(self.experiment, selection, plan.steps, plan.batch_size, rng)

    def _kept(self, batches: Sequence[Batch] | Rollout) -> Sequence[Batch] | None:
        objective = self.experiment.spec.objective
        keeps = isinstance(objective, PolicyObjective) and objective.keeps
        return batches.batches if isinstance(batches, Rollout) and keeps else None

    def request(
        self, plan: RoundPlan, batches: Batches, frames: Mapping[str, Frame] | None = None
    ) -> TrainingRequest:
        """The training request of a round; without `frames`, in those of the run's basis."""
        frames = self.frames(plan) if frames is None else frames
        return request_for(self.experiment, plan, self.rounds, frames, batches=batches, report=self.report)

    def _train(
        self, plan: RoundPlan, selection: Selection, batches: Batches, clock: Clock, draft: RecordDraft
    ) -> Training:
        self.report("choosing directions", 0, 0)
        with clock("factorise"):
            request = self.request(plan, batches, self.frames(plan, selection))
        with clock("train"), blame("backend", self.experiment.name_of("backend")):
            training = self.experiment.model.train(request)
        adapted = len(request.frames)
        draft.add(
            refit=True if plan.refit else None,
            adapted=adapted if 0 < adapted < len(self.experiment.sites) else None,
            stored=stored_parameters(plan, training.updates, training.parameters),
        )
        return training

    def frames(self, plan: RoundPlan, selection: Selection | None = None) -> dict[str, Frame]:
        """The round's frame at every site that it adapts; empty for an adapter without frames.

        `selection` may be left out only where frames depend on the weights alone.
        """
        data = None if selection is None else (selection, self.history[-1])
        return frames_for(self.experiment, plan, self.rounds, data, self.report)

    def choose(self, training: Training) -> float | Refusal:
        """The merge policy's checked scale for the trained update, or its refusal. Each scale is evaluated once."""
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
        self.report("measuring ranks", 0, 0)
        with clock("measure"):
            if not plan.refit:  # a refit uses earlier directions again by design
                draft.add(overlap=overlap_of(training.updates, self.ensemble, draft.known["overlap"]))
            draft.add(scale=scale)
            draft.add_outcomes(self.outcomes["train"], outcomes["train"])
            ensemble = [*self.ensemble, (training.updates, scale)]
            record = self._record(draft, "merged", outcomes, clock, ensemble=ensemble)
        record = attrs.evolve(record, seconds=dict(clock.seconds))
        return RoundResult(record=record, plan=plan, outcomes=outcomes, training=training)

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


def subsampled(experiment: Experiment, number: int, selection: Selection) -> Selection:
    """A share `boosting.subsample` of the selection, at least one example, drawn without replacement (Friedman, 2002). Order and weights stay."""
    share, count = experiment.spec.boosting.subsample, len(selection)
    if share == 1.0 or count == 0:
        return selection
    rng = experiment.streams("subsample", number)
    kept = np.sort(rng.permutation(count)[: max(1, round(share * count))])
    return Selection(indices=selection.indices[kept], weights=selection.weights[kept])
