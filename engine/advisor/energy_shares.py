"""Energy shares of every basis and core, on calibration and held-out examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ..boosting.experiment import Experiment
from ..boosting.frames import parametrise
from ..boosting.round_plan import plan_round, with_ranks
from ..contracts import Frame, LinearCore
from .candidate_frames import Candidate, FrameBuilder, FrameSet
from .findings import BasisFinding, Core, Share
from .gradient_energy import Moments, Sides, core_atoms, diagonal_energy, moments, span_energy, square_energy
from .gradient_sample import Part
from .sampled_products import PartMeasurement, SiteCapture

SiteCaptures = Mapping[str, SiteCapture]


@attrs.define(eq=False)
class EnergyShares:
    """Makes shares of what was read."""

    experiment: Experiment
    builder: FrameBuilder
    measurements: Mapping[Part, PartMeasurement]
    _atoms: dict[int, dict[str, Any]] = attrs.field(factory=dict)

    @property
    def framed(self) -> bool:
        """Whether the spec's adapter has cores of the rank that is looked at."""
        return self.experiment.spec.adapter.framed and self.builder.sample.plan.rank == self.builder.rank

    def basis(self, candidate: Candidate) -> BasisFinding:
        """Everything about one basis."""
        rank = self.builder.rank
        cores: tuple[Core, ...] = ("square", "diagonal", "adapter") if self.framed else ("square", "diagonal")
        equal = int(rank * np.sqrt(self.builder.rounds))
        share = partial(self._share, candidate)
        _, captures = self._of(candidate, "all", "all")
        total = self.measurements["all"].total
        sketches = self.measurements["all"].sketches
        return BasisFinding(
            name=candidate.name,
            own=candidate.own,
            data_driven=candidate.data_driven,
            first={core: share(partial(self._first, core)) for core in cores},
            together={core: share(partial(self._together, core)) for core in cores},
            one_shot=share(partial(_shot, None)),
            equal=share(partial(_shot, equal)),
            equal_rank=equal,
            left=sum(capture.left for capture in captures.values()) / total,
            right=sum(capture.right for capture in captures.values()) / total,
            sites={
                name: float(np.sum(capture.C[:rank, :rank] ** 2)) / energy
                if (energy := sketches[name].energy)
                else 0.0
                for name, capture in captures.items()
            },
            project=getattr(candidate.plugin, "project", None),
        )

    def _share(self, candidate: Candidate, measure: Callable[[FrameSet, SiteCaptures], float]) -> Share:
        def part(on: Part, calibrated_on: Part) -> float:
            total = self.measurements[on].total
            return measure(*self._of(candidate, on, calibrated_on)) / total if total else 0.0

        return Share(
            captured=part("all", "all"),
            itself=(part("one", "one") + part("other", "other")) / 2,
            held_out=(part("one", "other") + part("other", "one")) / 2,
        )

    def _of(self, candidate: Candidate, on: Part, calibrated_on: Part) -> tuple[FrameSet, SiteCaptures]:
        """The frame set calibrated on one part, with its captures of another part's gradient; a data-free basis has only one set."""
        captures = self.measurements[on].captures
        return next(
            (f, h) for f, h in captures if f.candidate == candidate and f.part in {calibrated_on, None}
        )

    def _first(self, core: Core, frame_set: FrameSet, captures: SiteCaptures) -> float:
        rank = self.builder.rank
        if core == "square":
            return sum(float(np.sum(capture.C[:rank, :rank] ** 2)) for capture in captures.values())
        if core == "diagonal":
            return sum(float(np.sum(np.diag(capture.C)[:rank] ** 2)) for capture in captures.values())
        return self._adapter(
            {n: (capture.C[:rank, :rank], frame_set.first(n)) for n, capture in captures.items()}
        )

    def _together(self, core: Core, frame_set: FrameSet, captures: SiteCaptures) -> float:
        if core == "adapter":
            return self._adapter({n: (capture.C, frame_set.rounds[n]) for n, capture in captures.items()})
        measure = square_energy if core == "square" else diagonal_energy
        return sum(
            measure(capture.C, _sides(frame_set.rounds[name]), self.builder.rank)
            for name, capture in captures.items()
        )

    def _adapter(self, held: Mapping[str, tuple[NDArray[np.float64], Frame]]) -> float:
        """What the spec's own cores capture, sites that share numbers taken together."""
        groups, rank = dict[str, Moments](), self.builder.rank
        for name, (C, frame) in held.items():
            count = frame.rank // rank
            cores: list[LinearCore] = [self._cores(t)[name] for t in range(count)]
            S = [frame.S[t * rank : (t + 1) * rank] for t in range(count)]
            mine = moments(C, _sides(frame), [core_atoms(p, s) for p, s in zip(cores, S, strict=True)])
            group = cores[0].group
            groups[group] = groups[group].plus(mine) if group in groups else mine
        return sum(group.energy for group in groups.values())

    def _cores(self, ahead: int) -> dict[str, Any]:
        if ahead not in self._atoms:
            uniform = with_ranks(self.experiment.spec, self.builder.following)
            asked = attrs.evolve(self.experiment, spec=uniform)
            plan = plan_round(uniform, self.builder.sample.number + ahead)
            self._atoms[ahead] = parametrise(asked, plan)
        return self._atoms[ahead]


def _sides(frame: Frame) -> Sides:
    return Sides.of(frame.U, frame.V)


def _shot(rank: int | None, frame_set: FrameSet, captures: SiteCaptures) -> float:
    """A full core on the first `rank` columns of all rounds, or on all of them."""
    return sum(
        span_energy(
            capture.C[:rank, :rank],
            _sides(frame_set.rounds[name].take(range(frame_set.rounds[name].rank)[:rank])),
        )
        for name, capture in captures.items()
    )
