"""Measure an opened experiment: from gradients to findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from ..boosting.experiment import Experiment
from ..boosting.round_plan import RoundPlan, plan_round
from ..contracts import Frame, Outcome, Site
from ..errors import BoostLoraError, NonFiniteError, RunError, UsageError
from ..foundation.run_context import RunContext
from ..registry import Registry
from .candidate_frames import FrameBuilder, FrameSet, candidates, reason_of
from .energy_shares import EnergyShares
from .findings import BasisFinding, Findings, SiteFinding, UsedFinding
from .gradient_sample import PARTS, GradientSample, Part, sample_gradient
from .sampled_products import PartMeasurement, measure_part, used_energies
from .sketches import inner

RANKS = (1, 2, 4, 8, 16, 32, 64)
"""Ranks for which the share of the leading directions is reported."""
RANK = 4
"""Default rank, if neither the user nor the adapter sets one."""


@attrs.frozen(kw_only=True, eq=False)
class ModelState:
    """The measured model: an experiment with its rounds so far assembled."""

    experiment: Experiment
    history: Sequence[Outcome]
    """Outcomes on the training split, from the base to the current model."""
    used: Sequence[Mapping[str, Frame]] = ()
    """Frames of its rounds so far, without refits, which use no new ones."""
    words: str = "the base model"

    @property
    def number(self) -> int:
        """The next round."""
        return len(self.history)


def advise(
    state: ModelState,
    registry: Registry,
    context: RunContext,
    *,
    rank: int | None = None,
    examples: int | None = None,
    only_own: bool = False,
) -> Findings:
    """Measure the gradient and what every basis captures of it; with `only_own`, only the spec's.

    Raises `UsageError` if the rank exceeds a site's width, `RunError` for a gradient that is zero or not finite.
    """
    experiment, spec = state.experiment, state.experiment.spec
    plan = plan_round(spec, state.number)
    rank = _rank(experiment, rank, plan)
    sample = sample_gradient(experiment, plan, list(state.history), examples, context.report)
    found, notes = candidates(registry, spec)
    builder = FrameBuilder(sample, rank, context, state.used)
    frame_sets = list[FrameSet]()
    for candidate in found[:1] if only_own else found:
        try:
            frame_sets += builder.frame_sets(candidate)
        except NonFiniteError:
            raise
        except BoostLoraError as error:
            if candidate.own and only_own:
                raise
            notes.append(f"basis {candidate.name} is left out: {reason_of(error)}")
    measurements: dict[Part, PartMeasurement] = {
        part: measure_part(sample, part, frame_sets) for part in PARTS
    }
    if not measurements["all"].total > 0.0:
        why = " (all completions of a prompt have equal rewards)" if sample.rewarded else ""
        raise RunError(
            f"the gradient of the calibration examples is zero{why}: no advice is possible; use more, with --examples"
        )
    comparer = EnergyShares(experiment, builder, measurements)
    bases = [comparer.basis(c) for c in dict.fromkeys(frame_set.candidate for frame_set in frame_sets)]
    notes = [*sample.notes, *_ranks_note(plan, rank), *([] if only_own else notes)]
    return _findings(state, sample, builder, measurements=measurements, bases=bases, notes=notes)


def _rank(experiment: Experiment, given: int | None, plan: RoundPlan) -> int:
    """The measured rank: `given`, or the round's, or a default if the adapter has none."""
    narrow = min(experiment.sites, key=lambda site: site.width)
    rank: int = given or plan.rank or min(RANK, narrow.width)
    if rank > narrow.width:
        raise UsageError(
            f"{narrow.name} {narrow.shape[0]} x {narrow.shape[1]} has fewer than {rank} directions; use --rank {narrow.width} "
            "or less, or exclude the site (sites.exclude)"
        )
    return rank


def _ranks_note(plan: RoundPlan, rank: int) -> list[str]:
    """A note that a schedule of ranks is measured with one rank."""
    spec = plan.spec
    to_come = spec.ranks.first(spec.boosting.fresh_in(spec.rounds))[plan.fresh :]
    if not spec.boosting.ranks or set(to_come) <= {rank}:
        return []
    return [f"boosting.ranks: all remaining rounds are measured with r = {rank}"]


def _findings(
    state: ModelState,
    sample: GradientSample,
    builder: FrameBuilder,
    *,
    measurements: Mapping[Part, PartMeasurement],
    bases: Sequence[BasisFinding],
    notes: Sequence[str],
) -> Findings:
    experiment, spec, whole = sample.experiment, sample.experiment.spec, measurements["all"]
    return Findings(
        name=spec.head.name,
        spec_sha256=spec.sha256,
        model=state.words,
        number=sample.number,
        rank=builder.rank,
        rounds=spec.rounds,
        fresh=spec.boosting.fresh_in(spec.rounds),
        rounds_ahead=builder.rounds,
        adapter=spec.slots["adapter"].use,
        framed=any("adapter" in basis.first for basis in bases),
        objective=spec.slots["objective"].use,
        rewarded=sample.rewarded,
        own_basis=spec.slots["basis"].use,
        sampler=spec.slots["sampler"].use,
        batch_size=spec.optimizer.batch_size,
        steps=getattr(spec.optimizer, "steps", None),
        refit_every=spec.boosting.refit_every,
        train=len(sample.outcome),
        failures=sample.failures,
        chosen=len(sample.selection),
        calibration_examples=sample.calibrated,
        energy=whole.total,
        error=float(np.sqrt(sum(sketch.error**2 for sketch in whole.sketches.values()))),
        agreement=_agreement(measurements),
        leading=_leading(whole),
        expected_random=sum(
            whole.sketches[s.name].energy * min(1.0, builder.rank**2 / (s.shape[0] * s.shape[1]))
            for s in experiment.sites
        )
        / whole.total,
        sites=_sites(experiment.sites, whole),
        bases=tuple(sorted(bases, key=lambda basis: -basis.first["square"].held_out)),
        used=_used(sample, state.used, measurements) if any(state.used) else None,
        notes=tuple(notes),
    )


def _agreement(measurements: Mapping[Part, PartMeasurement]) -> float:
    """The cosine of the two halves' gradients over all sites."""
    one, other = measurements["one"], measurements["other"]
    product = sum(inner(sketch, other.sketches[name]) for name, sketch in one.sketches.items())
    size = float(np.sqrt(one.total * other.total))
    return product / size if size else 0.0


def _used(
    sample: GradientSample, used: Sequence[Mapping[str, Frame]], measurements: Mapping[Part, PartMeasurement]
) -> UsedFinding:
    """What earlier rounds' directions capture, and whether the halves agree there."""
    held = used_energies(sample, used)
    size = float(np.sqrt(held["one", "one"] * held["other", "other"]))
    shares = {
        part: held[part, part] / measurements[part].total if measurements[part].total else 0.0
        for part in PARTS
    }
    return UsedFinding(
        captured=shares["all"],
        held_out=(shares["one"] + shares["other"]) / 2,
        agreement=held["one", "other"] / size if size else 0.0,
    )


def _leading(measurement: PartMeasurement) -> dict[int, float]:
    values = [sketch.values for sketch in measurement.sketches.values()]
    most = max(len(v) for v in values)
    ranks = [rank for rank in RANKS if rank < most] + [min(most, RANKS[-1])]
    return {rank: sum(float(np.sum(v[:rank])) for v in values) / measurement.total for rank in ranks}


def _sites(sites: Sequence[Site], measurement: PartMeasurement) -> tuple[SiteFinding, ...]:
    total = measurement.total
    found = [
        SiteFinding(
            name=site.name,
            shape=site.shape,
            energy=measurement.sketches[site.name].energy,
            error=measurement.sketches[site.name].error,
            share=measurement.sketches[site.name].energy / total,
        )
        for site in sites
    ]
    return tuple(sorted(found, key=lambda site: -site.share))
