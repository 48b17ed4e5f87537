"""What a fully corrective round trains: earlier frames side by side, their cores along a diagonal."""

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.boosting.refit import Past, refit_of
from boostlora.engine.boosting.round_setup import core_gradient
from boostlora.engine.contracts import DenseDelta, DenseUpdate, FactoredUpdate, Frame, FreeFactors, LinearCore
from boostlora.engine.testing import assert_close

D_OUT, D_IN = 9, 7
ROUNDING = 1e-11
"""Float64, entries of order 10."""


def frame(rng, rank):
    U, V = (np.linalg.qr(rng.standard_normal((d, rank)))[0] for d in (D_OUT, D_IN))
    return Frame(U=U, S=rng.uniform(0.5, 2.0, rank), V=V)


def core(rng, rank, numbers, exponents, group="g"):
    projections = None if numbers is None else rng.standard_normal((numbers, rank, rank))
    size = rank**2 if numbers is None else numbers
    return LinearCore(
        rank=rank, group=group, projections=projections, init=rng.standard_normal(size), exponents=exponents
    )


def weighed(core_, v):
    """`R (r, r)` of a core at `v`."""
    return (
        v.reshape(core_.rank, core_.rank)
        if core_.projections is None
        else np.tensordot(v, core_.projections, 1)
    )


def delta(core_, frame_, v):
    """`dW (d_out, d_in)`, as it is defined."""
    a, b = core_.exponents
    return frame_.U @ np.diag(frame_.S**a) @ weighed(core_, v) @ np.diag(frame_.S**b) @ frame_.V.T


def slope(core_, frame_, G):
    """`dL/dR (r, r)` of a loss whose gradient is G."""
    a, b = core_.exponents
    return np.diag(frame_.S**a) @ frame_.U.T @ G @ frame_.V @ np.diag(frame_.S**b)


def past(number, rng, cores, **frames):
    updates = {
        site: FactoredUpdate(
            frame=frames.get(site) or frame(rng, c.rank), core=rng.standard_normal((c.rank, c.rank)),
            exponents=c.exponents,
        )
        for site, c in cores.items()
    }  # fmt: skip
    return Past(number=number, updates=updates, parametrisations=cores)


@given(
    seed=st.integers(0, 2**32 - 1),
    rank=st.integers(1, 3),
    rounds=st.integers(1, 4),
    numbers=st.sampled_from([None, 1, 3]),
    exponents=st.sampled_from([(0.0, 0.0), (1.0, 0.0), (0.5, 0.5)]),
)
def test_stacked_core_has_the_updates_and_gradients_of_its_blocks(seed, rank, rounds, numbers, exponents):
    rng = np.random.default_rng(seed)
    rounds_ = [past(n + 1, rng, {"s": core(rng, rank, numbers, exponents)}) for n in range(rounds)]
    found = refit_of(rounds_)
    stacked, place = found.parametrisations["s"], found.frames["s"]
    assert stacked.rank == place.rank == rounds * rank
    assert not stacked.init.any(), "it starts at the model as it is"
    cores = [(r.parametrisations["s"], r.updates["s"].frame) for r in rounds_]
    values = [rng.standard_normal(c.init.size) for c, _ in cores]
    parts = sum(delta(c, f, v) for (c, f), v in zip(cores, values, strict=True))
    assert_close(delta(stacked, place, np.concatenate(values)), parts, atol=ROUNDING, what="update")
    G = rng.standard_normal((D_OUT, D_IN))
    apart = np.concatenate([core_gradient(c, slope(c, f, G)) for c, f in cores])
    together = core_gradient(stacked, slope(stacked, place, G))
    assert together.shape == stacked.init.shape
    assert_close(together, apart, atol=ROUNDING, what="gradient")


def test_tied_sites_stay_tied_in_refits_of_the_same_rounds():
    rng = np.random.default_rng(0)
    tied = {site: core(rng, 2, 3, (0.0, 0.0), "all") for site in "abc"}
    rounds = [past(1, rng, tied), past(2, rng, {site: tied[site] for site in "ab"})]
    groups = {site: p.group for site, p in refit_of(rounds).parametrisations.items()}
    assert groups["a"] == groups["b"] != groups["c"]
    sizes = {site: p.init.size for site, p in refit_of(rounds).parametrisations.items()}
    assert sizes == {"a": 6, "b": 6, "c": 3}


def _dense(_):
    return DenseUpdate(delta=np.ones((D_OUT, D_IN))), DenseDelta()


def _free(rng):
    p = FreeFactors(rank=2, scale=1.0, A=np.zeros((2, D_IN)))
    return FactoredUpdate(frame=frame(rng, 2), core=np.eye(2), orthonormal=False), p


def _other_rank(rng):
    return FactoredUpdate(frame=frame(rng, 3), core=np.eye(3)), core(rng, 2, 3, (0.0, 0.0))


def _other_spectrum(rng):
    return FactoredUpdate(frame=frame(rng, 2), core=np.eye(2), exponents=(1.0, 0.0)), core(
        rng, 2, 3, (0.0, 0.0)
    )


def _other_adapter(_):
    return DenseUpdate(delta=np.ones((D_OUT, D_IN))), core(np.random.default_rng(1), 2, 3, (0.0, 0.0))


@pytest.mark.parametrize("other", [_dense, _free, _other_rank, _other_spectrum, _other_adapter])
def test_refit_ignores_rounds_of_other_parametrisations(other):
    rng = np.random.default_rng(0)
    update, p = other(rng)
    good = past(2, rng, {"s": core(rng, 2, 3, (0.0, 0.0))})
    strange = Past(number=1, updates={"s": update}, parametrisations={"s": p})
    assert refit_of([strange]).frames == refit_of([strange]).parametrisations == {}
    with_it, without = refit_of([strange, good]), refit_of([good])
    np.testing.assert_array_equal(with_it.frames["s"].U, without.frames["s"].U)
    assert with_it.parametrisations["s"].group == without.parametrisations["s"].group


def test_refit_omits_sites_without_parametrisation():
    rng = np.random.default_rng(0)
    round_ = past(1, rng, {"s": core(rng, 2, 3, (0.0, 0.0))})
    assert refit_of([attrs.evolve(round_, parametrisations={})]).frames == {}
