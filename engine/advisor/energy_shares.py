"""From readings to shares: what every basis holds, with every core, of what it heard and of what it did not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
import numpy as np

from ..boosting.experiment import Experiment
from ..boosting.frames import parametrise
from ..boosting.round_plan import plan_round, with_ranks
from ..contracts import Frame, LinearCore
from .candidate_frames import Candidate, FrameBuilder, FrameSet
from .findings import BasisFinding, Core, Share
from .gradient_energy import Moments, Sides, core_atoms, diagonal_energy, moments, span_energy, square_energy
from .gradient_sample import Part
from .sampled_products import Hold, Reading

Holds = Mapping[str, Hold]


@attrs.define(eq=False)
class Comparer:
    """Makes shares of what was read."""

    experiment: Experiment
    builder: FrameBuilder
    readings: Mapping[Part, Reading]
    _atoms: dict[int, dict[str, Any]] = attrs.field(factory=dict)

    @property
    def framed(self) -> bool:
        """Whether the spec's adapter has cores of the rank that is looked at."""
        spec = self.experiment.spec
        return bool(spec.adapter.framed) and spec.rank_of(self.builder.sample.number) == self.builder.rank

    def basis(self, candidate: Candidate) -> BasisFinding:
        """Everything about one basis."""
        rank = self.builder.rank
        cores: tuple[Core, ...] = ("square", "diagonal", "adapter") if self.framed else ("square", "diagonal")
        equal = int(rank * np.sqrt(self.builder.rounds))
        share = partial(self._share, candidate)
        _, holds = self._of(candidate, "all", "all")
        total = self.readings["all"].total
        sketches = self.readings["all"].sketches
        return BasisFinding(
            name=candidate.name,
            own=candidate.own,
            data_driven=candidate.data_driven,
            first={core: share(partial(self._first, core)) for core in cores},
            together={core: share(partial(self._together, core)) for core in cores},
            one_shot=share(partial(_shot, None)),
            equal=share(partial(_shot, equal)),
            equal_rank=equal,
            left=sum(hold.left for hold in holds.values()) / total,
            right=sum(hold.right for hold in holds.values()) / total,
            sites={
                name: float(np.sum(hold.C[:rank, :rank] ** 2)) / energy
                if (energy := sketches[name].energy)
                else 0.0
                for name, hold in holds.items()
            },
            project=getattr(candidate.plugin, "project", None),
        )

    def _share(self, candidate: Candidate, measure: Callable[[FrameSet, Holds], float]) -> Share:
        def part(on: Part, heard: Part) -> float:
            total = self.readings[on].total
            return measure(*self._of(candidate, on, heard)) / total if total else 0.0

        return Share(
            captured=part("all", "all"),
            itself=(part("one", "one") + part("other", "other")) / 2,
            held_out=(part("one", "other") + part("other", "one")) / 2,
        )

    def _of(self, candidate: Candidate, on: Part, heard: Part) -> tuple[FrameSet, Holds]:
        """The framing that heard one part, with what it has of another's gradient; one that hears nothing is always the same."""
        holds = self.readings[on].holds
        return next((f, h) for f, h in holds if f.candidate == candidate and f.part in {heard, None})

    def _first(self, core: Core, framing: FrameSet, holds: Holds) -> float:
        rank = self.builder.rank
        if core == "square":
            return sum(float(np.sum(hold.C[:rank, :rank] ** 2)) for hold in holds.values())
        if core == "diagonal":
            return sum(float(np.sum(np.diag(hold.C)[:rank] ** 2)) for hold in holds.values())
        return self._adapter({n: (hold.C[:rank, :rank], framing.first(n)) for n, hold in holds.items()})

    def _together(self, core: Core, framing: FrameSet, holds: Holds) -> float:
        if core == "adapter":
            return self._adapter({n: (hold.C, framing.rounds[n]) for n, hold in holds.items()})
        measure = square_energy if core == "square" else diagonal_energy
        return sum(
            measure(hold.C, _sides(framing.rounds[name]), self.builder.rank) for name, hold in holds.items()
        )

    def _adapter(self, held: Mapping[str, tuple[Any, Frame]]) -> float:
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


def _shot(rank: int | None, framing: FrameSet, holds: Holds) -> float:
    """A full core on the first `rank` columns of all rounds, or on all of them."""
    return sum(
        span_energy(
            hold.C[:rank, :rank], _sides(framing.rounds[name].take(range(framing.rounds[name].rank)[:rank]))
        )
        for name, hold in holds.items()
    )
