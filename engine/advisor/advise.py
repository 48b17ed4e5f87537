"""From an opened experiment to findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from ..boosting.experiment import Experiment
from ..contracts import Frame, Outcome, Site
from ..errors import BoostLoraError, NonFiniteError, RunError, UsageError
from ..foundation.run_context import RunContext
from ..registry import Registry
from ..spec import Spec
from .candidate_frames import FrameBuilder, FrameSet, candidates, reason_of
from .energy_shares import Comparer
from .findings import BasisFinding, Findings, SiteFinding, UsedFinding
from .gradient_sample import PARTS, GradientSample, Part, sample_gradient
from .sampled_products import Reading, read, used_energies
from .sketches import inner

RANKS = (1, 2, 4, 8, 16, 32, 64)
"""Ranks of which it is told how much the leading directions hold."""
RANK = 4
"""Directions that are looked at where neither the user nor the adapter says how many."""


@attrs.frozen(kw_only=True, eq=False)
class Moment:
    """The model that is looked at: the experiment with its rounds so far assembled."""

    experiment: Experiment
    history: Sequence[Outcome]
    """On the training split, the base first and the current model last."""
    used: Sequence[Mapping[str, Frame]] = ()
    """Frames of its rounds so far, without refits, which use no others."""
    words: str = "the base model"

    @property
    def number(self) -> int:
        """The round that would be next."""
        return len(self.history)


def advise(
    moment: Moment,
    registry: Registry,
    context: RunContext,
    *,
    rank: int | None = None,
    examples: int | None = None,
    only_own: bool = False,
) -> Findings:
    """Look at the data through the model, and measure what every basis captures; with `only_own`, the spec's alone.

    Raises `UsageError` for a rank that sites do not have, `RunError` for a gradient that is zero or not finite.
    """
    experiment, spec = moment.experiment, moment.experiment.spec
    rank = _rank(experiment, rank, moment.number)
    sample = sample_gradient(experiment, moment.number, list(moment.history), examples, context.report)
    found, notes = candidates(registry, spec)
    builder = FrameBuilder(sample, rank, context, moment.used)
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
    readings: dict[Part, Reading] = {part: read(sample, part, frame_sets) for part in PARTS}
    if not readings["all"].total > 0.0:
        why = " (all answers to a prompt were rewarded alike)" if sample.rewarded else ""
        raise RunError(
            f"the gradient of the examples heard is zero{why}: nothing can be said; hear more, with --examples"
        )
    comparer = Comparer(experiment, builder, readings)
    bases = [comparer.basis(c) for c in dict.fromkeys(framing.candidate for framing in frame_sets)]
    notes = [*sample.notes, *_ranks_note(spec, moment.number, rank), *([] if only_own else notes)]
    return _findings(moment, sample, builder, readings=readings, bases=bases, notes=notes)


def _rank(experiment: Experiment, given: int | None, number: int) -> int:
    """The rank to look at: that of round `number` unless another is given, or the adapter has none."""
    narrow = min(experiment.sites, key=lambda site: site.width)
    rank: int = given or experiment.spec.rank_of(number) or min(RANK, narrow.width)
    if rank > narrow.width:
        raise UsageError(
            f"{narrow.name} {narrow.shape[0]} x {narrow.shape[1]} has no {rank} directions; look at fewer, with --rank {narrow.width} "
            "or less, or leave the site out (sites.exclude)"
        )
    return rank


def _ranks_note(spec: Spec, number: int, rank: int) -> list[str]:
    """A word on a schedule of ranks that is looked at as if all rounds had one."""
    to_come = spec.ranks.first(spec.boosting.fresh_in(spec.rounds))[spec.boosting.fresh_before(number) :]
    if not spec.boosting.ranks or set(to_come) <= {rank}:
        return []
    return [f"boosting.ranks: all rounds to come are looked at as if they had r = {rank}"]


def _findings(
    moment: Moment,
    sample: GradientSample,
    builder: FrameBuilder,
    *,
    readings: Mapping[Part, Reading],
    bases: Sequence[BasisFinding],
    notes: Sequence[str],
) -> Findings:
    experiment, spec, whole = sample.experiment, sample.experiment.spec, readings["all"]
    return Findings(
        name=spec.head.name,
        spec_sha256=spec.sha256,
        moment=moment.words,
        number=sample.number,
        rank=builder.rank,
        rounds=spec.rounds,
        fresh=spec.boosting.fresh_in(spec.rounds),
        looked=builder.rounds,
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
        heard=sample.heard,
        energy=whole.total,
        error=float(np.sqrt(sum(sketch.error**2 for sketch in whole.sketches.values()))),
        agreement=_agreement(readings),
        leading=_leading(whole),
        expected_random=sum(
            whole.sketches[s.name].energy * min(1.0, builder.rank**2 / (s.shape[0] * s.shape[1]))
            for s in experiment.sites
        )
        / whole.total,
        sites=_sites(experiment.sites, whole),
        bases=tuple(sorted(bases, key=lambda basis: -basis.first["square"].held_out)),
        used=_used(sample, moment.used, readings) if any(moment.used) else None,
        notes=tuple(notes),
    )


def _agreement(readings: Mapping[Part, Reading]) -> float:
    """The cosine of the two halves' gradients, all sites together."""
    one, other = readings["one"], readings["other"]
    product = sum(inner(sketch, other.sketches[name]) for name, sketch in one.sketches.items())
    size = float(np.sqrt(one.total * other.total))
    return product / size if size else 0.0


def _used(
    sample: GradientSample, used: Sequence[Mapping[str, Frame]], readings: Mapping[Part, Reading]
) -> UsedFinding:
    """What earlier rounds' directions hold, and whether the halves agree there."""
    held = used_energies(sample, used)
    size = float(np.sqrt(held["one", "one"] * held["other", "other"]))
    shares = {
        part: held[part, part] / readings[part].total if readings[part].total else 0.0 for part in PARTS
    }
    return UsedFinding(
        captured=shares["all"],
        held_out=(shares["one"] + shares["other"]) / 2,
        agreement=held["one", "other"] / size if size else 0.0,
    )


def _leading(reading: Reading) -> dict[int, float]:
    values = [sketch.values for sketch in reading.sketches.values()]
    most = max(len(v) for v in values)
    ranks = [rank for rank in RANKS if rank < most] + [min(most, RANKS[-1])]
    return {rank: sum(float(np.sum(v[:rank])) for v in values) / reading.total for rank in ranks}


def _sites(sites: Sequence[Site], reading: Reading) -> tuple[SiteFinding, ...]:
    total = reading.total
    found = [
        SiteFinding(
            name=site.name,
            shape=site.shape,
            energy=reading.sketches[site.name].energy,
            error=reading.sketches[site.name].error,
            share=reading.sketches[site.name].energy / total,
        )
        for site in sites
    ]
    return tuple(sorted(found, key=lambda site: -site.share))
