"""What a round trains, and where: frames and cores of new directions, or all earlier ones again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from ..contracts import (
    Batches,
    FactoredUpdate,
    Frame,
    GradientOracle,
    Outcome,
    Parametrisation,
    Selection,
    TrainingRequest,
    Update,
)
from ..errors import RunError
from ..foundation.run_context import Report
from ..spec import Spec
from .calibration import RoundOracle, oracle_of, require_passes
from .experiment import Experiment
from .frames import frames_of, parametrise
from .options import calibration_of, is_data_driven, optimizer_of
from .refit import Past, Refit, refit_of
from .top_sites import steepest


@attrs.frozen(kw_only=True, eq=False)
class Merged:
    """A round that is part of the model."""

    number: int
    updates: Mapping[str, Update]
    scale: float


class NothingToRefitError(RunError):
    """A fully corrective round where no earlier round has been merged whose cores could be trained again."""


def frames_for(
    experiment: Experiment,
    number: int,
    past: Sequence[Merged],
    chosen_from: tuple[Selection, Outcome] | None,
    report: Report,
) -> dict[str, Frame]:
    """Round `number`'s frame at every site that it adapts; none where the adapter finds its own directions.

    `told` is the round's selection, and the current model's outcome on the training split; a basis that hears the data, or a
    choice of sites, needs it.
    """
    spec = experiment.spec
    if spec.boosting.is_refit(number):
        return dict(refit_for(experiment, past).frames)
    heard = _oracle(experiment, number, chosen_from, report)
    frames = frames_of(experiment, number, heard)
    if isinstance(heard, RoundOracle) and is_data_driven(spec):
        require_passes(heard, spec["basis"].calibration(spec.rank_of(number)), experiment.name_of("basis"))
    count = spec.boosting.top_sites
    if heard is None or not 0 < count < len(frames):
        return frames
    chosen = steepest(frames, parametrise(experiment, number), heard, count)
    return {site: frames[site] for site in chosen}


def _oracle(
    experiment: Experiment, number: int, chosen_from: tuple[Selection, Outcome] | None, report: Report
) -> GradientOracle | None:
    calibration = calibration_of(experiment.spec, experiment.spec.rank_of(number))
    if calibration is None or chosen_from is None:
        return None
    selection, outcome = chosen_from
    return oracle_of(experiment, number, selection, outcome, calibration=calibration, report=report)


def refit_for(experiment: Experiment, past: Sequence[Merged]) -> Refit:
    """All earlier rounds that took new directions, to be trained again. Raises `NothingToRefitError` where there is none."""
    boosting = experiment.spec.boosting
    found = refit_of(
        [
            Past(number=r.number, updates=r.updates, parametrisations=parametrise(experiment, r.number))
            for r in past
            if not boosting.is_refit(r.number)
        ]
    )
    if not found.frames:
        raise NothingToRefitError(
            "boosting.refit_every: no earlier round has been merged whose cores could be trained again"
        )
    return found


def parametrisations_for(
    experiment: Experiment, number: int, past: Sequence[Merged], frames: Mapping[str, Frame]
) -> dict[str, Parametrisation]:
    """What round `number` trains at every site that it adapts."""
    if experiment.spec.boosting.is_refit(number):
        return dict(refit_for(experiment, past).parametrisations)
    asked = parametrise(experiment, number)
    return {site: p for site, p in asked.items() if site in frames} if frames else asked


def request_for(
    experiment: Experiment,
    number: int,
    past: Sequence[Merged],
    frames: Mapping[str, Frame],
    *,
    batches: Batches,
    report: Report,
) -> TrainingRequest:
    """What a backend is asked to train in round `number`, on these batches and in these frames."""
    optimizer = optimizer_of(experiment.spec, number)
    return TrainingRequest(
        parametrisations=parametrisations_for(experiment, number, past, frames),
        frames=frames,
        examples=experiment.encoded.train,
        batches=batches,
        learning_rates=optimizer.rates(number - 1, experiment.spec.rounds),
        optimizer=optimizer,
        on_step=lambda step, _: report("training", step, optimizer.steps),
    )


def stored_parameters(spec: Spec, number: int, updates: Mapping[str, Update], parameters: int) -> int | None:
    """Numbers that must be kept to have the round again: those trained, and frames that hang on data; None: the former alone.

    What a fully corrective round finds is added to the numbers of earlier ones, and needs no place of its own.
    """
    if spec.boosting.is_refit(number):
        return 0
    if not is_data_driven(spec):
        return None
    factored = [u for u in updates.values() if isinstance(u, FactoredUpdate)]
    return parameters + sum(u.frame.rank * sum(u.shape) for u in factored)
