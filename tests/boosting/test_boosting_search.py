"""The line search along a round's first gradient."""

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.boosting.first_step import (
    BATCHES,
    SUFFICIENT,
    PlainDescent,
    armijo,
    exact,
    joined,
    loss_along,
    take_first_step,
)
from boostlora.engine.contracts import Batch
from boostlora.engine.testing import assert_close

from .boosting_toys import BACKENDS, opened, records, toy

positive = st.floats(1e-3, 1e3)
ROUNDING = 1e-12
"""Float64, sums of some dozens of numbers below 10."""


@pytest.fixture(scope="module", params=BACKENDS)
def ready(request, tmp_path_factory):
    """An experiment and its player, on every backend."""
    if request.param == "torch":
        pytest.importorskip("torch", reason="the torch backend needs PyTorch")
    return opened(toy(tmp_path_factory.mktemp(request.param), *BACKENDS[request.param]))


def requested(ready, number=1):
    _, runner = ready
    return runner.request(number, runner.batches(number, runner.select(number)))


def start_loss(model, request, batch):
    """The loss at the cores that the request starts from."""
    still = {"learning_rates": np.zeros(1), "optimizer": PlainDescent()}
    return float(model.train(attrs.evolve(request, batches=[batch], **still)).losses[0])


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 9), count=st.integers(1, 5))
def test_joined_batches_keep_every_examples_share(seed, size, count):
    rng = np.random.default_rng(seed)
    batches = [
        Batch(indices=rng.integers(0, 7, size), weights=rng.uniform(0.1, 3.0, size)) for _ in range(count)
    ]
    found, losses = joined(batches), rng.uniform(0.0, 4.0, 7)
    assert len(set(found.indices.tolist())) == len(found)
    mean = np.mean([np.mean(b.weights * losses[b.indices]) for b in batches])
    assert_close(np.mean(found.weights * losses[found.indices]), mean, atol=ROUNDING, what="mean loss")


def test_joined_batches_have_the_mean_of_their_losses_on_a_model(ready):
    experiment, _ = ready
    rng = np.random.default_rng(0)
    request = requested(ready)
    batches = [Batch(indices=rng.integers(0, 60, 16), weights=rng.uniform(0.5, 2.0, 16)) for _ in range(3)]
    apart = np.mean([start_loss(experiment.model, request, b) for b in batches])
    together = start_loss(experiment.model, request, joined(batches))
    assert_close(together, apart, atol=ROUNDING, what="loss")
    along = loss_along(experiment.model, request.examples, joined(batches), {})
    assert_close(along(1.0), apart, atol=ROUNDING, what="loss without training")


@given(start=st.floats(-10, 10), slope=positive, curvature=positive)
def test_lengths_on_a_parabola_are_armijos_and_the_minimum(start, slope, curvature):
    def loss(s):
        return start - slope * s + curvature * s * s / 2

    s = armijo(loss, start, slope)
    best = slope / curvature
    assert s > 0
    assert loss(s) < start
    # Powers of two: of those on which the loss falls enough, none is twice as long and better.
    assert np.log2(s) == np.round(np.log2(s))
    assert best / 2 <= s * (1 + 1e-9)
    assert s <= 2 * (1 - SUFFICIENT) * best * (1 + 1e-9)
    found = exact(loss, start, slope)
    scale = max(abs(start), slope * best)
    assert loss(found) <= loss(best) + (0.02 * 2 * s) ** 2 * curvature / 2 + 1e-12 * scale


def test_lengths_where_the_loss_overflows_are_short_enough():
    def loss(s):
        return 2.0 - s if s < 0.3 else float("nan")

    assert armijo(loss, 2.0, 1.0) == 0.25
    assert 0.0 < exact(loss, 2.0, 1.0) < 0.3


def test_exact_length_on_a_rugged_loss_is_no_worse_than_armijos():
    rng = np.random.default_rng(3)
    for _ in range(200):
        waves = rng.uniform(1, 40, 3), rng.uniform(0, 2 * np.pi, 3), rng.uniform(0, 1, 3)

        def loss(s, waves=waves):
            f, phase, size = waves
            return float(np.sum(size * np.sin(f * s + phase)) + 0.05 * s * s)

        f, phase, size = waves
        slope = -float(np.sum(size * f * np.cos(phase)))
        if slope <= 0:
            continue
        s = armijo(loss, loss(0.0), slope)
        found = exact(loss, loss(0.0), slope)
        assert loss(s) < loss(0.0)
        assert loss(found) <= loss(s)


@pytest.mark.parametrize(
    "loss",
    [
        lambda s: 1.0 + s,
        lambda s: 1.0 + s * s,
        lambda s: 1.0,
        lambda s: float("nan"),
        lambda s: float("inf"),
    ],
    ids=["ascent", "valley", "flat", "nan", "inf"],
)
@pytest.mark.parametrize("slope", [1.0, 1e-9, 1e-14, 1e-300])
def test_lengths_where_nothing_is_better_are_zero(loss, slope):
    assert armijo(loss, 1.0, slope) == 0.0
    assert exact(loss, 1.0, slope) == 0.0


@pytest.mark.parametrize("how", ["armijo", "exact"])
def test_first_step_lowers_the_loss_of_the_batches_that_it_heard(ready, how):
    experiment, _ = ready
    request = requested(ready)
    batch = joined(request.known[:BATCHES])
    taken = take_first_step(experiment.model, request, how)
    assert taken.length > 0
    before, after = (start_loss(experiment.model, r, batch) for r in (request, taken.request))
    assert after < before
    inits = {p.group: p.init for p in taken.request.parametrisations.values()}
    assert all(np.isfinite(init).all() and init.any() for init in inits.values())
    changed = {"parametrisations"}
    fields = [field.name for field in attrs.fields(type(request)) if field.name not in changed]
    assert all(getattr(taken.request, name) is getattr(request, name) for name in fields)


def test_exact_first_step_is_the_best_of_a_scan(ready):
    experiment, _ = ready
    request = requested(ready)
    batch = joined(request.known[:BATCHES])
    taken = take_first_step(experiment.model, request, "exact")
    probe = attrs.evolve(request, batches=[batch], learning_rates=np.ones(1), optimizer=PlainDescent())
    loss = loss_along(experiment.model, request.examples, batch, experiment.model.train(probe).updates)
    scan = np.linspace(0.0, 3.0 * taken.length, 61)
    assert loss(taken.length) <= min(map(loss, scan)) + 1e-4


@pytest.mark.parametrize("how", ["armijo", "exact"])
def test_runs_of_both_backends_take_the_same_first_steps(how, tmp_path):
    pytest.importorskip("torch", reason="the torch backend needs PyTorch")
    lengths = dict[str, list[float]]()
    for name, settings in BACKENDS.items():
        made = toy(tmp_path / name, *settings, f"boosting.first_step={how}", "sampler.use=all", "rounds=3")
        made.go("run")
        base, *rounds = records(made, "run")
        assert base.first_step is None
        lengths[name] = [r.first_step for r in rounds]
    assert all(length > 0 for length in lengths["reference"])
    assert_close(
        np.array(lengths["torch"]), np.array(lengths["reference"]), rtol=1e-6, atol=0.0,
        what="lengths (Brent's method takes other turns where losses differ by a rounding)",
    )  # fmt: skip


def test_run_without_a_search_records_no_first_step(tmp_path):
    made = toy(tmp_path, "rounds=2")
    made.go("run")
    assert {r.first_step for r in records(made, "run")} == {None}


@pytest.mark.parametrize("settings", [("adapter.tie=all",), ("boosting.refit_every=1",)])
def test_first_step_of_shared_and_of_stacked_cores_is_taken_too(settings, tmp_path):
    made = toy(tmp_path, *settings, "boosting.first_step=armijo", "sampler.use=all", "rounds=4")
    made.go("run")
    assert all(r.first_step > 0 for r in records(made, "run")[1:])
