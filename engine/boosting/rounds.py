"""One round: select, frame, train, merge or refuse, measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
from ..contracts.records import RoundRecord
from ..errors import NonFiniteError, blame
from ..foundation.run_context import Report
from .checks import check_batches, check_choice, check_selection
from .clock import Clock
from .experiment import Experiment
from .first_step import take_first_step
from .options import optimizer_of
from .rollouts import Rollout, rollout_of
from .round_metrics import loss_ends, overlap_of, ranks_of, record_of, trained_on, without_signal
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
    """Plays rounds of one experiment; holds the model's ensemble and its latest outcomes."""

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

    def base(self) -> RoundResult:
        """Round 0: the base model as it is."""
        clock = Clock()
        with clock("evaluate"):
            outcomes = self.experiment.evaluate_all()
        record = self._record(0, "base", outcomes, clock, failures=int(np.sum(~outcomes["train"].correct)))
        return RoundResult(record=record, outcomes=outcomes, training=None)

    def select(self, number: int) -> Selection:
        """Ask the sampler for round `number` (from 1), and hold it to its contract."""
        name = self.experiment.name_of("sampler")
        rng = self.experiment.streams("sampler", number)
        with blame("sampler", name):
            selection = self.experiment.spec["sampler"].select(self.history[-1], self.history[:-1], rng)
        chosen = check_selection(selection, len(self.history[-1]), name)
        return subsampled(self.experiment, number, chosen)

    def run_round(self, number: int, selection: Selection, previous: RoundRecord) -> RoundResult:
        """Round `number` on a selection. A round that meets NaN or Inf leaves the model as it was, and says why."""
        clock = Clock()
        batches = self.batches(number, selection)
        facts: dict[str, Any] = {
            "failures": int(np.sum(~self.history[-1].correct)),
            "selected": len(selection),
            "overlap": previous.overlap,
        }
        try:
            training = self._train(number, selection, batches, clock, facts)
            facts |= trained_on(batches)
            with clock("merge"):
                choice = without_signal(batches) or self.choose(training)
                if not isinstance(choice, Refusal):
                    self.experiment.model.assemble([*self.ensemble, (training.updates, choice)])
            facts |= {"parameters": training.parameters, **loss_ends(training)}
            if isinstance(choice, Refusal):
                record = self._record(number, "refused", self.outcomes, clock, reason=choice.reason, **facts)
                round_result = RoundResult(record=record, outcomes=self.outcomes, training=training)
            else:
                round_result = self._merged(number, training, choice, clock, facts)
            return attrs.evolve(round_result, rollouts=self._kept(batches))
        except NothingToRefitError as error:
            facts |= {"refit": True, "stored": 0}
            record = self._record(number, "refused", self.outcomes, clock, reason=str(error), **facts)
            return RoundResult(record=record, outcomes=self.outcomes, training=None)
        except NonFiniteError as error:
            self.experiment.model.assemble(self.ensemble)
            record = self._record(number, "nonfinite", self.outcomes, clock, reason=str(error), **facts)
            return RoundResult(record=record, outcomes=self.outcomes, training=None)

    def accept(self, round_result: RoundResult) -> None:
        """The round is on disk: it is part of the run now."""
        if round_result.record.scale != 0.0 and round_result.training is not None:
            self.remember(round_result.record.round, round_result.training.updates, round_result.record.scale)
        self.outcomes = round_result.outcomes
        self.history.append(round_result.outcomes["train"])

    def remember(self, number: int, updates: Mapping[str, Update], scale: float) -> None:
        """Add a merged round to the ensemble, and its frames, if they are new, to what bases know as used."""
        self.rounds.append(Merged(number=number, updates=updates, scale=scale))
        if self.experiment.spec.boosting.is_refit(number):
            return
        for site, update in updates.items():
            if isinstance(update, FactoredUpdate) and update.orthonormal:
                self.experiment.views[site].remember(update.frame)

    def batches(self, number: int, selection: Selection) -> Sequence[Batch] | Rollout:
        """Ask the objective for round `number`'s batches, or for its prompts, and hold it to its contract."""
        spec, name = self.experiment.spec, self.experiment.name_of("objective")
        optimizer, rng = optimizer_of(spec, number), self.experiment.streams("batches", number)
        steps, size = optimizer.steps, optimizer.batch_size
        if isinstance(spec["objective"], PolicyObjective):
            return rollout_of(self.experiment, number, selection, self.report, steps=steps, batch_size=size)
        with blame("objective", name):
            batches = spec["objective"].batches(selection, steps, size, rng)
        return check_batches(batches, steps, name)

    def _kept(self, batches: Sequence[Batch] | Rollout) -> Sequence[Batch] | None:
        keeps = isinstance(batches, Rollout) and self.experiment.spec["objective"].keeps
        return batches.batches if isinstance(batches, Rollout) and keeps else None

    def request(
        self, number: int, batches: Batches, frames: Mapping[str, Frame] | None = None
    ) -> TrainingRequest:
        """What a backend is asked to train in round `number`; without `frames`, in those of the run's basis."""
        frames = self.frames(number) if frames is None else frames
        return request_for(self.experiment, number, self.rounds, frames, batches=batches, report=self.report)

    def _train(
        self, number: int, selection: Selection, batches: Batches, clock: Clock, facts: dict[str, Any]
    ) -> Training:
        spec, model = self.experiment.spec, self.experiment.model
        with clock("factorise"):
            request = self.request(number, batches, self.frames(number, selection))
        with clock("train"), blame("backend", self.experiment.name_of("backend")):
            if spec.boosting.first_step != "none":
                taken = take_first_step(model, request, spec.boosting.first_step)
                request, facts["first_step"] = taken.request, taken.length
            training = model.train(request)
        facts |= {"refit": True} if spec.boosting.is_refit(number) else {}
        facts |= (
            {"adapted": len(request.frames)} if 0 < len(request.frames) < len(self.experiment.sites) else {}
        )
        facts["stored"] = stored_parameters(spec, number, training.updates, training.parameters)
        return training

    def frames(self, number: int, selection: Selection | None = None) -> dict[str, Frame]:
        """Round `number`'s frame at every site that it adapts; none where the adapter finds its own directions.

        Without the round's selection, of bases that take their frames from the weights alone.
        """
        told = None if selection is None else (selection, self.history[-1])
        return frames_for(self.experiment, number, self.rounds, told, self.report)

    def choose(self, training: Training) -> float | Refusal:
        """Ask the merge policy for the scale of what was trained, and hold it to its contract."""
        experiment, name = self.experiment, self.experiment.name_of("merge")
        known = dict[float, Metrics]()

        def trial(scale: float) -> Metrics:
            if scale not in known:
                self.report("validating", len(known), 0)
                known[scale] = experiment.validate(training.updates, scale)
            return known[scale]

        with blame("merge", name):
            choice: object = experiment.spec["merge"].choose(trial)
        return check_choice(choice, name)

    def _merged(
        self, number: int, training: Training, scale: float, clock: Clock, facts: dict[str, Any]
    ) -> RoundResult:
        with clock("evaluate"):
            self.report("evaluating", 0, 0)
            outcomes = self.experiment.evaluate_all()
        before, after = self.outcomes["train"].correct, outcomes["train"].correct
        with clock("measure"):
            if not self.experiment.spec.boosting.is_refit(number):  # it uses directions again on purpose
                facts["overlap"] = overlap_of(training.updates, self.ensemble, facts["overlap"])
            record = self._record(
                number,
                "merged",
                outcomes,
                clock,
                ensemble=[*self.ensemble, (training.updates, scale)],
                scale=scale,
                lost=int(np.sum(before & ~after)),
                gained=int(np.sum(~before & after)),
                **facts,
            )
        record = attrs.evolve(record, seconds=dict(clock.seconds))
        return RoundResult(record=record, outcomes=outcomes, training=training)

    def _record(
        self,
        number: int,
        status: Any,
        outcomes: Mapping[str, Outcome],
        clock: Clock,
        *,
        ensemble: Ensemble | None = None,
        **facts: Any,
    ) -> RoundRecord:
        merged = self.ensemble if ensemble is None else ensemble
        ranks = ranks_of(merged, self.experiment.sites)
        return record_of(number, status, outcomes, ranks, seconds=dict(clock.seconds), **facts)
