"""Sketches: short vectors from which the distance of two ensembles is estimated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.contracts import DenseUpdate, FactoredUpdate, Frame, MergedRound, Site
from boostlora.engine.ensemble.sketches import SIZE, distance, norm, sketches
from boostlora.engine.testing import assert_close

seeds = st.integers(0, 2**32 - 1)


class _Ensemble:
    """What sketches ask of an ensemble."""

    def __init__(self, sites: list[Site], rounds: list[MergedRound]) -> None:
        self.sites, self.rounds = sites, rounds

    def updates(self, site: str) -> list[tuple[Any, float]]:
        return [(r.updates[site], r.scale) for r in self.rounds if site in r.updates]

    def dense(self) -> list[np.ndarray]:
        found = list[np.ndarray]()
        for site in self.sites:
            total = np.zeros(site.shape)
            for update, scale in self.updates(site.name):
                L, M = update.factors()
                total += scale * (L @ M.T)
            found.append(total)
        return found

    def exact(self) -> float:
        return float(np.sqrt(sum(np.sum(W**2) for W in self.dense())))


def _sites(count: int) -> list[Site]:
    return [Site(name=f"layers.{i}.weight", shape=(5 + i % 7, 9 - i % 4)) for i in range(count)]


def _update(rng: np.random.Generator, site: Site) -> Any:
    kind = rng.integers(0, 3)
    if kind == 0:
        return DenseUpdate(delta=rng.standard_normal(site.shape))
    sides = [rng.standard_normal((rows, 2)) for rows in site.shape]
    if kind == 1:
        sides = [np.linalg.qr(side)[0] for side in sides]
    frame = Frame(U=sides[0], S=rng.uniform(0.1, 2.0, 2), V=sides[1])
    core = rng.standard_normal((2, 2))
    return FactoredUpdate(frame=frame, core=core, exponents=(0.5, 0.5), orthonormal=bool(kind == 1))


def _ensemble(seed: int, sites: list[Site], rounds: int = 3) -> Any:
    rng = np.random.default_rng(seed)
    made = [
        MergedRound(
            number=n,
            updates={site.name: _update(rng, site) for site in sites if rng.random() < 0.8},
            scale=float(rng.uniform(-1.5, 1.5)),
        )
        for n in range(1, rounds + 1)
    ]
    return _Ensemble(sites, made)


def _scaled(ensemble: Any, factor: float) -> Any:
    return _Ensemble(
        ensemble.sites,
        [MergedRound(number=r.number, updates=r.updates, scale=factor * r.scale) for r in ensemble.rounds],
    )


@given(seeds)
def test_sketch_of_an_ensemble_is_the_sketch_of_its_weights(seed: int) -> None:
    ensemble = _ensemble(seed, _sites(4))
    dense = [
        MergedRound(number=1, updates={s.name: DenseUpdate(delta=W)}, scale=1.0)
        for s, W in zip(ensemble.sites, ensemble.dense(), strict=True)
    ]
    whole: Any = _Ensemble(ensemble.sites, dense)
    found = sketches(ensemble)
    assert found.shape == (4, SIZE)
    # the same sums in another order: some tens of float64's roundings of numbers of about 10
    assert_close(found, sketches(whole), atol=1e-10, rtol=0.0, what="sketches")


@given(seeds, seeds, st.floats(-3, 3), st.floats(-3, 3))
def test_sketches_are_linear(one: int, two: int, a: float, b: float) -> None:
    sites = _sites(3)
    x, y = _ensemble(one, sites), _ensemble(two, sites)
    both: Any = _Ensemble(sites, [*_scaled(x, a).rounds, *_scaled(y, b).rounds])
    # rounding of float64 in sums of some hundred terms of about 100
    assert_close(sketches(both), a * sketches(x) + b * sketches(y), atol=1e-9, rtol=0.0, what="sketches")


@given(seeds)
def test_norm_from_factors_is_the_norm_of_the_weights(seed: int) -> None:
    ensemble = _ensemble(seed, _sites(4))
    exact = ensemble.exact()
    # products of factors cancel where rounds do, at the square root of float64's rounding in the worst case
    assert_close(
        norm(ensemble.sites, ensemble), exact, atol=1e-6 * max(exact, 1e-3), rtol=1e-9, what="the norm"
    )


@given(seeds)
def test_distance_is_zero_only_to_the_same_ensemble(seed: int) -> None:
    ensemble = _ensemble(seed, _sites(3))
    own = sketches(ensemble)
    assert distance(own, sketches(ensemble)) == 0.0
    moved = sketches(_scaled(ensemble, 1.001))
    assert (distance(own, moved) > 0.0) == bool(ensemble.exact() > 0.0)
    assert distance(own, moved) == distance(moved, own)


@pytest.mark.parametrize("change", [1.0, 1e-3, 1e-6])
def test_distance_approximates_the_exact_distance(change: float) -> None:
    """Over 70 sites the standard deviation of the estimate is about a tenth at rank 1, less at more: four of them are allowed."""
    sites, ratios = _sites(70), list[float]()
    for seed in range(20):
        ensemble, other = _ensemble(seed, sites), _scaled(_ensemble(1000 + seed, sites), change)
        both: Any = _Ensemble(sites, [*ensemble.rounds, *other.rounds])
        ratios.append(distance(sketches(both), sketches(ensemble)) / other.exact())
    assert min(ratios) > 0.6
    assert max(ratios) < 1.4
    assert abs(float(np.mean(ratios)) - 1.0) < 0.06


def test_squared_sketch_is_an_unbiased_estimate_of_the_squared_norm() -> None:
    """`E (a' W b)^2 = ||W||_F^2`; over 400 sites of 8 draws its relative error is below `sqrt(8 / 3200)`, a twentieth."""
    sites = [Site(name=f"w.{i}", shape=(6, 4)) for i in range(400)]
    rng = np.random.default_rng(3)
    L, M = rng.standard_normal((6, 1)), rng.standard_normal((4, 1))  # of rank 1, the worst case
    same = DenseUpdate(delta=L @ M.T)
    ensemble: Any = _Ensemble(
        sites, [MergedRound(number=1, updates={s.name: same for s in sites}, scale=1.0)]
    )
    exact = float(np.sum((L @ M.T) ** 2))
    assert abs(float(np.mean(sketches(ensemble) ** 2)) / exact - 1.0) < 4 / 20
    assert abs(float(np.mean(sketches(ensemble))) / np.sqrt(exact)) < 4 / np.sqrt(400 * SIZE)


def test_sketches_are_independent_between_sites_and_reproducible() -> None:
    sites = [Site(name=name, shape=(6, 4)) for name in ("a", "b")]
    update = DenseUpdate(delta=np.ones((6, 4)))
    ensemble: Any = _Ensemble(sites, [MergedRound(number=1, updates={"a": update, "b": update}, scale=1.0)])
    found = sketches(ensemble)
    np.testing.assert_array_equal(found, sketches(ensemble))
    assert len(set(found.ravel().tolist())) == found.size
    alone: Any = _Ensemble(sites[1:], ensemble.rounds)
    np.testing.assert_array_equal(sketches(alone)[0], found[1])


def test_sketches_of_an_empty_selection_are_zero() -> None:
    nothing: Any = _Ensemble(_sites(3), [])
    np.testing.assert_array_equal(sketches(nothing), np.zeros((3, SIZE)))
    assert norm(nothing.sites, nothing) == 0.0
    empty: Any = _Ensemble([], [])
    assert sketches(empty).shape == (0, SIZE)
    assert distance(sketches(empty), sketches(empty)) == 0.0


def test_distance_of_non_finite_weights_is_not_finite() -> None:
    one, two = np.full((2, SIZE), 1e300), np.full((2, SIZE), -1e300)
    assert distance(one, two) == np.inf
    assert not distance(one, np.full((2, SIZE), np.nan)) <= 1e-3
