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
from ..errors import NonFiniteError, blame
from ..judging import metrics_of
from ..rank import overlap, rank_of
from ..record.provenance import memory_bytes
from ..record.rounds import RoundRecord
from ..workplace import Report
from .asking import frames_of, parametrise
from .checks import check_batches, check_choice, check_selection
from .clock import Clock
from .encoding import SPLITS
from .experiment import Experiment
from .rollouts import Rollout, rollout_of

Ensemble = list[tuple[Mapping[str, Update], float]]


@attrs.frozen(kw_only=True, eq=False)
class Played:
    """A round that is ready to be committed."""

    record: RoundRecord
    outcomes: Mapping[str, Outcome]
    training: Training | None
    rollouts: Sequence[Batch] | None = None
    """The batches of answers it trained on, where they are to be kept."""


@attrs.define(eq=False)
class Player:
    """Plays rounds of one experiment; holds the model's ensemble and its latest outcomes."""

    experiment: Experiment
    report: Report
    ensemble: Ensemble = attrs.field(factory=list)
    history: list[Outcome] = attrs.field(factory=list)
    """Outcomes on the training split, the base first and the current model last."""
    outcomes: Mapping[str, Outcome] = attrs.field(factory=dict)

    def base(self) -> Played:
        """Round 0: the base model as it is."""
        clock = Clock()
        with clock("evaluate"):
            outcomes = self.experiment.evaluate_all()
        record = self._record(0, "base", outcomes, clock, failures=int(np.sum(~outcomes["train"].correct)))
        return Played(record=record, outcomes=outcomes, training=None)

    def select(self, number: int) -> Selection:
        """Ask the sampler for round `number` (from 1), and hold it to its contract."""
        name = self.experiment.name_of("sampler")
        rng = self.experiment.streams("sampler", number)
        with blame("sampler", name):
            selection = self.experiment.spec["sampler"].select(self.history[-1], self.history[:-1], rng)
        return check_selection(selection, len(self.history[-1]), name)

    def play(self, number: int, selection: Selection, previous: RoundRecord) -> Played:
        """Round `number` on a selection. A round that meets NaN or Inf leaves the model as it was, and says why."""
        clock = Clock()
        batches = self.batches(number, selection)
        facts: dict[str, Any] = {
            "failures": int(np.sum(~self.history[-1].correct)),
            "selected": len(selection),
            "overlap": previous.overlap,
        }
        try:
            training = self._train(number, batches, clock)
            facts |= _trained_on(batches)
            with clock("merge"):
                choice = _without_signal(batches) or self.choose(training)
                if not isinstance(choice, Refusal):
                    self.experiment.model.assemble([*self.ensemble, (training.updates, choice)])
            facts |= {"parameters": training.parameters, **_loss_ends(training)}
            if isinstance(choice, Refusal):
                record = self._record(number, "refused", self.outcomes, clock, reason=choice.reason, **facts)
                played = Played(record=record, outcomes=self.outcomes, training=training)
            else:
                played = self._merged(number, training, choice, clock, facts)
            return attrs.evolve(played, rollouts=self._kept(batches))
        except NonFiniteError as error:
            self.experiment.model.assemble(self.ensemble)
            record = self._record(number, "nonfinite", self.outcomes, clock, reason=str(error), **facts)
            return Played(record=record, outcomes=self.outcomes, training=None)

    def accept(self, played: Played) -> None:
        """The round is on disk: it is part of the run now."""
        if played.record.scale != 0.0 and played.training is not None:
            self.remember(played.training.updates, played.record.scale)
        self.outcomes = played.outcomes
        self.history.append(played.outcomes["train"])

    def remember(self, updates: Mapping[str, Update], scale: float) -> None:
        """Add a merged round to the ensemble, and its frames to what bases know as used."""
        self.ensemble.append((updates, scale))
        for site, update in updates.items():
            if isinstance(update, FactoredUpdate) and update.orthonormal:
                self.experiment.views[site].remember(update.frame)

    def batches(self, number: int, selection: Selection) -> Sequence[Batch] | Rollout:
        """Ask the objective for round `number`'s batches, or for its prompts, and hold it to its contract."""
        spec, name = self.experiment.spec, self.experiment.name_of("objective")
        if isinstance(spec["objective"], PolicyObjective):
            return rollout_of(self.experiment, number, selection, self.report)
        optimizer, rng = spec["optimizer"], self.experiment.streams("batches", number)
        with blame("objective", name):
            batches = spec["objective"].batches(selection, optimizer.steps, optimizer.batch_size, rng)
        return check_batches(batches, optimizer.steps, name)

    def _kept(self, batches: Sequence[Batch] | Rollout) -> Sequence[Batch] | None:
        keeps = isinstance(batches, Rollout) and self.experiment.spec["objective"].keeps
        return batches.batches if isinstance(batches, Rollout) and keeps else None

    def request(
        self, number: int, batches: Batches, frames: Mapping[str, Frame] | None = None
    ) -> TrainingRequest:
        """What a backend is asked to train in round `number`; without `frames`, in those of the run's basis."""
        experiment, spec = self.experiment, self.experiment.spec
        return TrainingRequest(
            parametrisations=parametrise(experiment, number),
            frames=self.frames(number) if frames is None else frames,
            examples=experiment.encoded.train,
            batches=batches,
            learning_rates=spec["optimizer"].rates(number - 1, spec.rounds),
            optimizer=spec["optimizer"],
            on_step=lambda step, _: self.report("training", step, spec["optimizer"].steps),
        )

    def _train(self, number: int, batches: Batches, clock: Clock) -> Training:
        with clock("factorise"):
            request = self.request(number, batches)
        with clock("train"), blame("backend", self.experiment.name_of("backend")):
            return self.experiment.model.train(request)

    def frames(self, number: int) -> dict[str, Frame]:
        """Round `number`'s frame at every site; none where the adapter finds its own directions."""
        return frames_of(self.experiment, number)

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
    ) -> Played:
        with clock("evaluate"):
            self.report("evaluating", 0, 0)
            outcomes = self.experiment.evaluate_all()
        before, after = self.outcomes["train"].correct, outcomes["train"].correct
        with clock("measure"):
            facts |= {"overlap": self._overlap(training.updates, facts["overlap"])}
            record = self._record(
                number,
                "merged",
                outcomes,
                clock,
                ensemble=[*self.ensemble, (training.updates, scale)],
                scale=scale,
                forgotten=int(np.sum(before & ~after)),
                fixed=int(np.sum(~before & after)),
                **facts,
            )
        record = attrs.evolve(record, seconds=dict(clock.seconds))
        return Played(record=record, outcomes=outcomes, training=training)

    def _overlap(self, updates: Mapping[str, Update], so_far: float | None) -> float | None:
        found = [
            overlap(update, [earlier[site] for earlier, _ in self.ensemble if site in earlier])
            for site, update in updates.items()
        ]
        return max((x for x in (*found, so_far) if x is not None), default=None)

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
        ranks = {
            site.name: rank_of([(u[site.name], s) for u, s in merged if site.name in u], site.shape)
            for site in self.experiment.sites
        }
        return RoundRecord(
            round=number,
            status=status,
            **{split: metrics_of(outcomes[split]) for split in SPLITS},
            rank={site: report.rank for site, report in ranks.items()},
            effective_rank={site: report.effective for site, report in ranks.items()},
            seconds=dict(clock.seconds),
            memory_bytes=memory_bytes(),
            **facts,
        )


def _trained_on(batches: Sequence[Batch] | Rollout) -> dict[str, Any]:
    """How many different examples were drawn, and what was answered to them."""
    drawn = batches.batches if isinstance(batches, Rollout) else batches
    indices = [batch.indices for batch in drawn if len(batch)]
    facts = {"rollouts": batches.facts} if isinstance(batches, Rollout) else {}
    return {"trained_on": len(np.unique(np.concatenate(indices))) if indices else 0, **facts}


def _without_signal(batches: Sequence[Batch] | Rollout) -> Refusal | None:
    """A round in which no answer was better than another has trained nothing."""
    if not isinstance(batches, Rollout) or any(len(batch) for batch in batches.batches):
        return None
    return Refusal("all answers to a prompt were rewarded alike, in every step: nothing could be learned")


def _loss_ends(training: Training) -> dict[str, float | None]:
    losses = training.losses
    return {"loss_first": float(losses[0]), "loss_last": float(losses[-1])} if len(losses) else {}
