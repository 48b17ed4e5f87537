"""Rounds from the numbers they trained: frames and projections are computed again, as the run computed them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ..boosting.capacity import plan_site
from ..boosting.experiment import views_of
from ..boosting.frames import frames_of, parametrise
from ..boosting.round_plan import plan_round
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
class KeptRound:
    """A merged round as a file keeps it: the numbers that it trained, or, where these do not say enough, the updates."""

    number: int
    scale: float
    values: Mapping[str, NDArray[Any]]
    updates: Mapping[str, Update] | None = None


@attrs.define(eq=False)
class StoredWeights:
    """A store as the views of a basis ask it, with the rounds so far merged into what is called the current weight."""

    store: WeightStore
    rounds: list[MergedRound] = attrs.field(factory=list)

    def _updates(self, site: str) -> SiteUpdates:
        return [(r.updates[site], r.scale) for r in self.rounds if site in r.updates]

    def directions(self, site: str, count: int, *, merged: bool = False) -> Frame:
        """Leading singular triplets of the base weight, or of the merged one."""
        return self.store.directions(site, count, self._updates(site) if merged else ())

    def rms_singular_value(self, site: str) -> float:
        """Of the base weight."""
        return self.store.rms_singular_value(site)

    def weight(self, site: str) -> NDArray[np.float64]:
        """The current weight."""
        return self.store.merged(site, self._updates(site)).astype(np.float64)


@attrs.frozen(kw_only=True, eq=False)
class Recipe:
    """What frames and projections depend on: the spec's seed, basis, adapter and backend, and the base weights."""

    spec: Spec
    sites: tuple[Site, ...]
    streams: Streams
    weights: StoredWeights
    views: Mapping[str, View]

    @classmethod
    def of(cls, spec: Spec, blueprint: Blueprint, store: WeightStore, context: RunContext) -> Recipe:
        """The recipe of a spec, singular directions computed or taken from the cache. Raises `RunError` for a rank that a site has not."""
        weights, sites = StoredWeights(store), choose_sites(spec.sites, blueprint)
        rank = max(spec.ranks.counted(spec.boosting.fresh_in(spec.rounds)), default=0)
        if thin := [s.name for s in sites if spec.adapter.framed and rank > s.width]:
            raise RunError(f"{thin[0]} has fewer directions than adapter.rank = {rank}")
        views = views_of(spec, [plan_site(spec, site) for site in sites], weights, context)
        return cls(spec=spec, sites=sites, streams=Streams(spec.head.seed), weights=weights, views=views)

    def name_of(self, slot: str) -> str:
        """The plugin in a slot, by its name in the spec."""
        return self.spec.slots[slot].use

    def rebuild(self, kept: Sequence[KeptRound]) -> Iterator[MergedRound]:
        """The rounds, in their order: a basis may have asked for what earlier ones left."""
        for round_ in kept:
            found = self.made(round_) if round_.updates is None else as_kept(round_)
            self.remember(found)
            yield found

    def remember(self, merged: MergedRound) -> None:
        """A round is part of the model, and its frames are used."""
        self.weights.rounds.append(merged)
        if plan_round(self.spec, merged.number).refit:
            return  # no direction of it was new
        for site, update in merged.updates.items():
            if isinstance(update, FactoredUpdate) and update.orthonormal:
                self.views[site].remember(update.frame)

    def made(self, kept: KeptRound) -> MergedRound:
        """A round from its numbers, all earlier ones being remembered. Raises `RunError` for numbers that are not those of a round."""
        plan = plan_round(self.spec, kept.number)
        if plan.refit:
            raise RunError("it trained all earlier cores again, in frames that are theirs")
        frames, parametrisations = frames_of(self, plan), parametrise(self, plan)
        store, shapes = self.weights.store, {site.name: site.shape for site in self.sites}
        _check_lengths(kept, shapes, parametrisations)
        values = {name: _shaped(name, value, shapes, parametrisations) for name, value in kept.values.items()}
        updates = {
            site: store.update(site, p, frames.get(site), values) for site, p in parametrisations.items()
        }
        return MergedRound(
            number=kept.number,
            updates=updates,
            scale=kept.scale,
            values=values,
            parametrisations=parametrisations,
        )


def as_kept(kept: KeptRound) -> MergedRound:
    """A round whose updates are kept."""
    return MergedRound(number=kept.number, updates=kept.updates or {}, scale=kept.scale, values=kept.values)


def _check_lengths(
    kept: KeptRound, shapes: Mapping[str, tuple[int, int]], parametrisations: Mapping[str, Parametrisation]
) -> None:
    """Hold what a file has of a round to what the round trains by the spec."""
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
    found = {name: int(np.size(value)) for name, value in kept.values.items()}
    if wrong := sorted(expected.items() ^ found.items()):
        name = wrong[0][0]
        raise RunError(
            f"round {kept.number}: {found.get(name, 0)} numbers of {shortened(name)}, where its spec trains {expected.get(name, 0)}"
        )


def _shaped(
    name: str,
    value: NDArray[Any],
    shapes: Mapping[str, tuple[int, int]],
    parametrisations: Mapping[str, Parametrisation],
) -> NDArray[Any]:
    """A value as its site has it: `v (u,)` of a group, `A (r, d_in)` and `B (d_out, r)`, or a dense `(d_out, d_in)`."""
    if name in shapes and isinstance(parametrisations[name], DenseDelta):
        return value.reshape(shapes[name])
    site, _, factor = name.rpartition(":")
    p = parametrisations.get(site)
    if isinstance(p, FreeFactors) and factor in {"A", "B"}:
        d_out, d_in = shapes[site]
        return value.reshape((p.rank, d_in) if factor == "A" else (d_out, p.rank))
    return value


def same_update(one: Update, two: Update) -> bool:
    """Whether two updates are equal number by number."""
    match one, two:
        case DenseUpdate(), DenseUpdate():
            return np.array_equal(one.delta, two.delta)
        case FactoredUpdate(), FactoredUpdate():
            pairs = [(one.core, two.core), *((getattr(one.frame, x), getattr(two.frame, x)) for x in "USV")]
            return one.exponents == two.exponents and all(np.array_equal(a, b) for a, b in pairs)
        case _:
            return False
