"""Candidate frames of every basis: those of the next round, and of later rounds with the model unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ..boosting.capacity import SitePlan
from ..boosting.checks import check_frame
from ..boosting.experiment import views_of
from ..boosting.views import View
from ..contracts import Frame, Site
from ..errors import BoostLoraError, UsageError, blame
from ..foundation.run_context import RunContext
from ..registry import Registry
from ..spec import Spec
from ..spec.ranks import Ranks
from .gradient_sample import PARTS, GradientSample, Part

MAX_DIRECTIONS = 64
"""Maximum number of measured directions per site; later rounds are not measured."""
MAX_FULL_SVD = 1024
"""Maximum width of a site for a full SVD, unless the spec uses the basis."""

Ensemble = Sequence[tuple[Mapping[str, Any], float]]


@attrs.frozen(kw_only=True)
class Candidate:
    """A basis with its options."""

    name: str
    plugin: Any
    own: bool
    """Whether it is the spec's, with the spec's options."""

    @property
    def data_driven(self) -> bool:
        """Whether its frames depend on data."""
        return self.plugin.calibration(1) is not None


@attrs.frozen(kw_only=True, eq=False)
class FrameSet:
    """A basis's frames by site, for all measured rounds."""

    candidate: Candidate
    part: Part | None
    """Its calibration examples; None for a data-free basis."""
    rank: int
    rounds: Mapping[str, Frame]
    """`m = T r` columns, round by round; columns of different rounds need not be orthogonal."""

    def first(self, site: str) -> Frame:
        """The next round's frame."""
        return self.rounds[site].take(range(self.rank))


def candidates(registry: Registry, spec: Spec) -> tuple[list[Candidate], list[str]]:
    """Every basis with default options, the spec's own first, and notes on bases that need options."""
    own = spec.slots["basis"]
    found, notes = [Candidate(name=own.use, plugin=own.plugin, own=True)], list[str]()
    for name, entry in registry.entries("basis").items():
        if name == own.use:
            continue
        try:
            found.append(Candidate(name=name, plugin=entry.cls(), own=False))
        except TypeError:
            notes.append(
                f"basis {name} is left out: it has options without a default; measure it with --set basis.use={name} …"
            )
    return found, notes


@attrs.define(eq=False)
class FrameBuilder:
    """Computes candidate frames of bases for one state of an experiment."""

    sample: GradientSample
    rank: int
    context: RunContext
    merged: Sequence[Mapping[str, Frame]] = ()
    """Frames that earlier rounds have used, oldest first."""

    @property
    def spec(self) -> Spec:
        """The experiment's spec."""
        return self.sample.experiment.spec

    @property
    def rounds(self) -> int:
        """Number of measured rounds: the remaining rounds with new directions, limited by `MAX_DIRECTIONS`, at least one."""
        left = self.spec.boosting.fresh_in(self.spec.rounds) - len(self.earlier)
        return max(1, min(left, MAX_DIRECTIONS // self.rank))

    @property
    def earlier(self) -> tuple[int, ...]:
        """Ranks of the rounds so far."""
        return self.sample.plan.earlier

    @property
    def following(self) -> Ranks:
        """Ranks of earlier rounds, followed by the measured rank."""
        return Ranks(usual=self.rank, inherited=self.earlier)

    def frame_sets(self, candidate: Candidate) -> list[FrameSet]:
        """Frame sets of all parts for a data-driven basis, else a single one. Raises `UsageError` if its directions are used up."""
        sites, capacities = self.sample.experiment.sites, dict[str, int | None]()
        with blame("basis", candidate.name):
            for site in sites:
                directions = candidate.plugin.capacity(site.width)
                capacities[site.name] = self.following.served(site.width, directions)
        short = [s for s in sites if (last := capacities[s.name]) is not None and last <= len(self.earlier)]
        if short:
            site = short[0]
            raise UsageError(f"its directions are used up at {site.name}, {site.shape[0]} x {site.shape[1]}")
        parts: Sequence[Part | None] = PARTS if candidate.data_driven else (None,)
        return [self._frame_set(candidate, capacities, part) for part in parts]

    def _frame_set(
        self, candidate: Candidate, capacities: Mapping[str, int | None], part: Part | None
    ) -> FrameSet:
        """Compute frames round by round as in a run, with the model unchanged."""
        views, frames = self._views(candidate), dict[str, list[Frame]]()
        for t in range(self.rounds):
            active = [
                site
                for site in self.sample.experiment.sites
                if (last := capacities[site.name]) is None or len(self.earlier) + t < last
            ]
            found = self._frames(candidate, views, active, t, part)
            for site in active:
                frame = check_frame(found.get(site.name), site, self.rank, candidate.name)
                frames.setdefault(site.name, []).append(frame)
                views[site.name].remember(frame)
        rounds = {name: concatenate_frames(own) for name, own in frames.items()}
        return FrameSet(candidate=candidate, part=part, rank=self.rank, rounds=rounds)

    def _views(self, candidate: Candidate) -> dict[str, View]:
        experiment, plans = self.sample.experiment, list[SitePlan]()
        ranks = self.following.first(len(self.earlier) + self.rounds)
        for site in experiment.sites:
            with blame("basis", candidate.name):
                depth = candidate.plugin.depth(ranks, site.width)
            if depth > max(MAX_FULL_SVD, sum(ranks)) and not candidate.own:
                raise UsageError(
                    f"it needs all {depth} singular directions of {site.name}; measure it with --set basis.use={candidate.name}"
                )
            plans.append(SitePlan(site=site, capacity=None, depth=min(depth, site.width)))
        views = views_of(self.spec, plans, experiment.model, self.context)
        for frames in self.merged:
            for name, frame in frames.items():
                views[name].remember(frame)
        return views

    def _before(self, ahead: int) -> tuple[int, ...]:
        return self.following.first(len(self.earlier) + ahead)

    def _frames(
        self,
        candidate: Candidate,
        views: Mapping[str, View],
        sites: Sequence[Site],
        ahead: int,
        part: Part | None,
    ) -> Mapping[str, Frame]:
        draw = partial(self.sample.experiment.streams, "basis", self.sample.number + ahead)
        with blame("basis", candidate.name):
            calibration = candidate.plugin.calibration(self.rank)
            oracle = None if part is None else self.sample.sketched(part, calibration.source)
            own = [views[site.name] for site in sites]
            return candidate.plugin.frames(own, self._before(ahead), self.rank, oracle, draw)


def concatenate_frames(frames: Sequence[Frame]) -> Frame:
    """Concatenate the columns of frames; they need not be orthogonal."""

    def joined(arrays: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.concatenate(arrays, axis=-1)

    return Frame(
        U=joined([f.U for f in frames]), S=joined([f.S for f in frames]), V=joined([f.V for f in frames])
    )


def reason_of(error: BoostLoraError) -> str:
    """The first line of an error, as the reason for leaving a basis out."""
    return str(error).splitlines()[0]
