"""Rebuild rounds from their trained values: frames and projections are recomputed as in the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ..boosting.capacity import plan_site
from ..boosting.experiment import views_of
from ..boosting.frames import frames_of, parametrise
from ..boosting.round_plan import RoundPlan, plan_round
from ..boosting.views import View
from ..contracts import (
    Blueprint,
    DenseDelta,
    DenseUpdate,
    FactoredUpdate,
    Frame,
    FreeFactors,
    LinearCore,
    MergedRound,
    Parametrisation,
    Site,
    SiteUpdates,
    Update,
    WeightStore,
)
from ..errors import RunError
from ..foundation.options import shortened
from ..foundation.rng import Streams
from ..foundation.run_context import RunContext
from ..sdk.sites import choose_sites
from ..spec import Spec


@attrs.frozen(kw_only=True, eq=False)
class StoredRound:
    """A stored round: its trained values, or its updates if these cannot be rebuilt."""

    number: int
    scale: float
    values: Mapping[str, NDArray[Any]]
    updates: Mapping[str, Update] | None = None


@attrs.define(eq=False)
class StoredWeights:
    """Weights for the views of a basis; the current weight includes the rounds so far."""

    store: WeightStore
    rounds: list[MergedRound] = attrs.field(factory=list)

    def _updates(self, site: str) -> SiteUpdates:
        return [(r.updates[site], r.scale) for r in self.rounds if site in r.updates]

    def directions(self, site: str, count: int, *, merged: bool = False) -> Frame:
        """Leading singular triplets of the base weight, or of the merged one."""
        return self.store.directions(site, count, self._updates(site) if merged else ())

    def rms_singular_value(self, site: str) -> float:
        """RMS singular value of the base weight."""
        return self.store.rms_singular_value(site)

    def weight(self, site: str) -> NDArray[np.float64]:
        """The current weight."""
        return self.store.merged(site, self._updates(site)).astype(np.float64)


@attrs.frozen(kw_only=True, eq=False)
class Recipe:
    """All that frames and projections depend on: the spec's seed, basis, adapter and backend, and the base weights."""

    spec: Spec
    sites: tuple[Site, ...]
    streams: Streams
    weights: StoredWeights
    views: Mapping[str, View]

    @classmethod
    def of(cls, spec: Spec, blueprint: Blueprint, store: WeightStore, context: RunContext) -> Recipe:
        """The recipe of a spec, with singular directions computed or cached. Raises `RunError` if a rank exceeds a site's width."""
        weights, sites = StoredWeights(store), choose_sites(spec.sites, blueprint)
        rank = max(spec.ranks.counted(spec.boosting.fresh_in(spec.rounds)), default=0)
        if too_narrow := [s.name for s in sites if spec.adapter.framed and rank > s.width]:
            raise RunError(f"{too_narrow[0]} has fewer directions than adapter.rank = {rank}")
        views = views_of(spec, [plan_site(spec, site) for site in sites], weights, context)
        return cls(spec=spec, sites=sites, streams=Streams(spec.head.seed), weights=weights, views=views)

    def name_of(self, slot: str) -> str:
        """The plugin in a slot, by its name in the spec."""
        return self.spec.slots[slot].use

    def rebuild(self, stored: Sequence[StoredRound]) -> Iterator[MergedRound]:
        """Rebuild rounds in order, since a basis may depend on earlier rounds."""
        for round_ in stored:
            plan = plan_round(self.spec, round_.number)
            found = self.rebuild_round(plan, round_) if round_.updates is None else from_stored(round_)
            self.remember(plan, found)
            yield found

    def remember(self, plan: RoundPlan, merged: MergedRound) -> None:
        """Add a round to the model, and mark its frames as used."""
        self.weights.rounds.append(merged)
        if plan.refit:
            return  # it used no new directions
        for site, update in merged.updates.items():
            if isinstance(update, FactoredUpdate) and update.orthonormal:
                self.views[site].remember(update.frame)

    def rebuild_round(self, plan: RoundPlan, stored: StoredRound) -> MergedRound:
        """Rebuild a round from its trained values, after all earlier ones. Raises `RunError` for values that do not fit the round."""
        if plan.refit:
            raise RunError("it is a refit of earlier cores, in their frames")
        frames, parametrisations = frames_of(self, plan), parametrise(self, plan)
        store, shapes = self.weights.store, {site.name: site.shape for site in self.sites}
        _check_lengths(stored, shapes, parametrisations)
        values = {
            name: _reshape(name, value, shapes, parametrisations) for name, value in stored.values.items()
        }
        updates = {
            site: store.update(site, p, frames.get(site), values) for site, p in parametrisations.items()
        }
        return MergedRound(
            number=stored.number,
            updates=updates,
            scale=stored.scale,
            values=values,
            parametrisations=parametrisations,
        )


def from_stored(stored: StoredRound) -> MergedRound:
    """A merged round from stored updates."""
    return MergedRound(
        number=stored.number, updates=stored.updates or {}, scale=stored.scale, values=stored.values
    )


def _check_lengths(
    stored: StoredRound,
    shapes: Mapping[str, tuple[int, int]],
    parametrisations: Mapping[str, Parametrisation],
) -> None:
    """Check the sizes of a round's stored values against the spec."""
    expected = dict[str, int]()
    for site, p in parametrisations.items():
        d_out, d_in = shapes[site]
        match p:
            case LinearCore():
                expected[p.group] = p.init.size
            case FreeFactors():
                expected |= {f"{site}:A": p.rank * d_in, f"{site}:B": d_out * p.rank}
            case DenseDelta():
                expected[site] = d_out * d_in
    found = {name: int(np.size(value)) for name, value in stored.values.items()}
    if wrong := sorted(expected.items() ^ found.items()):
        name = wrong[0][0]
        raise RunError(
            f"round {stored.number}: {found.get(name, 0)} values of {shortened(name)}, but its spec trains {expected.get(name, 0)}"
        )


def _reshape(
    name: str,
    value: NDArray[Any],
    shapes: Mapping[str, tuple[int, int]],
    parametrisations: Mapping[str, Parametrisation],
) -> NDArray[Any]:
    """A value in the shape of its site: `v (u,)` of a group, `A (r, d_in)` and `B (d_out, r)`, or a dense `(d_out, d_in)`."""
    if name in shapes and isinstance(parametrisations[name], DenseDelta):
        return value.reshape(shapes[name])
    site, _, factor = name.rpartition(":")
    p = parametrisations.get(site)
    if isinstance(p, FreeFactors) and factor in {"A", "B"}:
        d_out, d_in = shapes[site]
        return value.reshape((p.rank, d_in) if factor == "A" else (d_out, p.rank))
    return value


def same_update(one: Update, two: Update) -> bool:
    """Whether two updates are bitwise equal."""
    match one, two:
        case DenseUpdate(), DenseUpdate():
            return np.array_equal(one.delta, two.delta)
        case FactoredUpdate(), FactoredUpdate():
            pairs = [(one.core, two.core), *((getattr(one.frame, x), getattr(two.frame, x)) for x in "USV")]
            return one.exponents == two.exponents and all(np.array_equal(a, b) for a, b in pairs)
        case _:
            return False
