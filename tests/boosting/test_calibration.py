"""Whom a basis hears at the start of a round, and that nothing else in the run changes by it."""

import attrs
import numpy as np
import pytest

from boostlora.engine.boosting.calibration import oracle_for, require_passes
from boostlora.engine.contracts import CalibrationSpec, Selection
from boostlora.engine.errors import PluginError
from boostlora.engine.foundation.run_context import no_report
from boostlora.engine.testing import assert_close
from boostlora.plugins.bases.probe import Probe

from .boosting_toys import BACKENDS, SITES, opened, records, sealed, toy, went_on

CALIBRATION = CalibrationSpec(source="chosen", examples=0, batches=4, passes=2, columns=3)


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    return opened(toy(tmp_path_factory.mktemp("evidence")))


def chosen_of(size=25, seed=0):
    rng = np.random.default_rng(seed)
    return Selection(indices=rng.permutation(60)[:size].astype(np.int64), weights=rng.uniform(0.2, 3.0, size))


def asked(ready, selection, number=1, outcome=None, **changes):
    experiment, runner = ready
    calibration = attrs.evolve(CALIBRATION, **changes)
    outcome = runner.history[-1] if outcome is None else outcome
    return oracle_for(experiment, number, selection, outcome, calibration=calibration, report=no_report)


def together(oracle):
    indices = np.concatenate([b.indices for b in oracle.batches])
    return indices, np.concatenate([b.weights for b in oracle.batches])


@pytest.mark.parametrize("examples", [0, 25, 26, 1000])
@pytest.mark.parametrize("batches", [1, 4, 25, 99])
def test_calibration_on_all_chosen_uses_each_once_with_its_weight(ready, examples, batches):
    selection = chosen_of()
    oracle = asked(ready, selection, examples=examples, batches=batches)
    indices, weights = together(oracle)
    assert len(oracle.batches) == min(batches, 25)
    assert all(len(b) for b in oracle.batches)
    np.testing.assert_array_equal(np.sort(indices), np.sort(selection.indices))
    assert_close(weights.sum(), 25.0, atol=1e-12, what="sum of the weights")
    given = dict(zip(selection.indices.tolist(), selection.weights, strict=True))
    shares = np.array([given[i] for i in indices.tolist()])
    assert_close(weights / shares, np.full(25, 25 / selection.weights.sum()), atol=1e-12, what="shares")


@pytest.mark.parametrize("examples", [0, 12])
def test_activation_moments_weight_the_chosen_examples(ready, examples):
    """Of all chosen by their weights, which this is the formula of; of some, because they are drawn so."""
    experiment, _ = ready
    oracle = asked(ready, chosen_of(), examples=examples)
    found = oracle.activation_products({SITES[0]: np.eye(14)})[SITES[0]]
    indices, weights = together(oracle)
    X = experiment.encoded.train.inputs[indices]
    expected = (X * weights[:, None]).T @ X / weights.sum()
    assert_close(found, expected, atol=1e-13 * np.abs(expected).max(), what="second moments")
    assert (np.ptp(weights) == 0.0) == (examples > 0)


@pytest.mark.parametrize("batches", [1, 3, 8])
def test_calibration_on_all_does_not_depend_on_the_number_of_batches(ready, batches):
    factors = {site: np.eye(n)[:, :3] for site, n in zip(SITES, (14, 13), strict=True)}
    one, parts = (asked(ready, chosen_of(), batches=n) for n in (1, batches))
    whole, found = (e.gradient_products(right=factors) for e in (one, parts))
    for site in SITES:
        assert_close(found[site].right, whole[site].right, atol=1e-13, what=f"{site}, float64")
    assert (one.passes, parts.passes) == (1, 1)


def test_calibration_on_failures_weights_wrong_examples_equally(ready):
    _, runner = ready
    wrong = np.flatnonzero(~runner.history[-1].correct)
    assert 0 < len(wrong) < 60
    indices, weights = together(asked(ready, chosen_of(), source="failures"))
    np.testing.assert_array_equal(np.sort(indices), wrong)
    np.testing.assert_array_equal(weights, np.ones(len(wrong)))


def test_calibration_on_failures_without_failures_uses_the_chosen(ready):
    _, runner = ready
    right = attrs.evolve(runner.history[-1], correct=np.ones(60, dtype=np.bool_))
    selection = chosen_of()
    indices, _ = together(asked(ready, selection, source="failures", outcome=right))
    np.testing.assert_array_equal(np.sort(indices), np.sort(selection.indices))


def test_calibration_on_the_whole_split_uses_every_example(ready):
    indices, weights = together(asked(ready, chosen_of(), source="all"))
    np.testing.assert_array_equal(np.sort(indices), np.arange(60))
    np.testing.assert_array_equal(weights, np.ones(60))


@pytest.mark.parametrize(("examples", "batches"), [(24, 4), (10, 4), (1, 1), (24, 1)])
def test_calibration_examples_are_drawn_as_the_objective_draws(ready, examples, batches):
    experiment, _ = ready
    selection, size = chosen_of(), -(-examples // batches)
    found = asked(ready, selection, number=3, examples=examples, batches=batches).batches
    rng = experiment.streams("evidence", 3)
    expected = experiment.spec.objective.batches(selection, batches, size, rng)
    assert len(found) == batches
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.indices, other.indices)
        np.testing.assert_array_equal(one.weights, other.weights)


@pytest.mark.parametrize(("examples", "batches"), [(3, 8), (1, 8), (8, 8), (9, 8), (20, 8)])
def test_calibration_size_is_the_requested_one_or_the_next_multiple_of_batches(ready, examples, batches):
    found = asked(ready, chosen_of(), examples=examples, batches=batches).batches
    count = sum(len(b) for b in found)
    assert examples <= count < examples + len(found)
    assert len(found) <= examples


def test_calibration_is_redrawn_every_round_and_reproducible(ready):
    def drawn(number):
        return together(asked(ready, chosen_of(), number=number, examples=12))[0].tolist()

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_calibration_does_not_change_the_draws_of_training(ready):
    _, runner = ready
    selection = runner.select(1)
    before = runner.batches(runner.plan(1), selection)
    asked(ready, selection, examples=12)
    for one, other in zip(before, runner.batches(runner.plan(1), selection), strict=True):
        np.testing.assert_array_equal(one.indices, other.indices)


def test_calibration_without_effect_does_not_change_the_run(tmp_path):
    """Nine of two sites are all of them, so that evidence is drawn and nothing depends on it."""
    plain, heard = (
        toy(tmp_path / name, *more) for name, more in (("a", ()), ("b", ("boosting.top_sites=9",)))
    )
    plain.go("run")
    heard.go("run")
    assert sealed(plain.path("run")) == sealed(heard.path("run"))


def test_batches_do_not_depend_on_the_basis(tmp_path):
    trained = list[list[list[int]]]()
    for basis in ("rotate", "gradient"):
        experiment, runner = opened(toy(tmp_path / basis, f"basis.use={basis}"))
        selection = runner.select(1)
        runner.frames(runner.plan(1), selection)
        trained.append([b.indices.tolist() for b in runner.batches(runner.plan(1), selection)])
        assert experiment.name_of("basis") == basis
    assert trained[0] == trained[1]


def test_more_passes_than_declared_are_refused(ready):
    oracle = asked(ready, chosen_of())
    factors = {SITES[0]: np.ones((14, 1))}
    oracle.gradient_products(right=factors)
    oracle.activation_products(factors)
    require_passes(oracle, CALIBRATION, "mine")
    oracle.gradient_products(right=factors)
    with pytest.raises(
        PluginError,
        match=r'basis plugin "mine": made 3 passes over its examples, but calibration\(\) declared 2',
    ):
        require_passes(oracle, CALIBRATION, "mine")


def test_probe_counts_its_steps_and_does_not_change_the_model(ready):
    experiment, _ = ready
    before = {site: experiment.model.weight(site) for site in SITES}
    oracle = asked(ready, chosen_of())
    found = oracle.probe(2, 5, 0.01)
    assert oracle.passes == 2, "five steps, on four parts in turn"
    for site in SITES:
        B, At = found[site]
        assert (B.shape, At.shape) == ((before[site].shape[0], 2), (before[site].shape[1], 2))
        assert B.any()
        np.testing.assert_array_equal(experiment.model.weight(site), before[site])


def test_probe_with_fewer_examples_than_batches_makes_the_declared_passes(ready):
    basis = Probe()
    oracle = asked(ready, chosen_of(size=3), batches=basis.batches)
    assert len(oracle.batches) == 3
    oracle.probe(2, basis.steps, basis.lr)
    require_passes(oracle, basis.calibration(2), "probe")


def test_probe_with_more_steps_than_declared_is_refused(ready):
    oracle, declared = asked(ready, chosen_of(), batches=8), Probe(steps=8).calibration(2)
    oracle.probe(2, 9, 0.01)
    with pytest.raises(PluginError, match=r"made 2 passes over its examples, but calibration\(\) declared 1"):
        require_passes(oracle, declared, "probe")


def test_probe_starts_differ_between_rounds_and_sites(ready):
    starts = [asked(ready, chosen_of(), number=n).probe(2, 1, 1e-9)[SITES[0]][1] for n in (1, 1, 2)]
    assert_close(starts[0], starts[1], atol=0.0, what="the same round")
    assert np.abs(starts[0] - starts[2]).max() > 0.01


@pytest.fixture(scope="module", params=BACKENDS)
def informed(request, tmp_path_factory):
    """Six rounds in the directions of the gradient, on every backend."""
    if request.param == "torch":
        pytest.importorskip("torch", reason="the torch backend needs PyTorch")
    made = toy(
        tmp_path_factory.mktemp(request.param),
        *BACKENDS[request.param],
        "basis.use=gradient",
        "sampler.use=all",
    )
    made.go("whole")
    return made


def test_gradient_basis_run_grows_in_rank_and_counts_stored_parameters(informed):
    base, *rounds = records(informed, "whole")
    assert base.stored is None
    for record in rounds:
        assert record.status == "merged"
        assert set(record.rank.values()) == {2 * record.round}
        assert record.parameters == 6
        assert record.stored == 6 + 2 * (13 + 14) + 2 * (12 + 13)
        if record.round > 1:
            assert record.overlap < 1e-12  # a rounding of float64, in products of a dozen numbers
    assert rounds[-1].train.loss < base.train.loss


@pytest.mark.parametrize("number", [1, 4])
def test_interrupted_run_with_gradient_basis_has_the_same_digest(informed, number):
    assert went_on(informed, f"stopped-{number}", number) == records(informed, "whole")[-1].digest


def test_backends_compute_the_same_gradient_directions(tmp_path):
    pytest.importorskip("torch", reason="the torch backend needs PyTorch")
    found = dict[str, list[float]]()
    for name, settings in BACKENDS.items():
        made = toy(tmp_path / name, *settings, "basis.use=gradient", "rounds=3", "sampler.use=all")
        made.go("run")
        found[name] = [r.train.loss for r in records(made, "run")]
    assert_close(np.array(found["torch"]), np.array(found["reference"]), atol=1e-9, what="losses, float64")


def test_refits_work_with_gradient_directions(tmp_path):
    made = toy(tmp_path, "basis.use=gradient", "boosting.refit_every=2", "sampler.use=all")
    made.go("whole")
    rounds = records(made, "whole")[1:]
    assert [set(r.rank.values()) for r in rounds] == [{2}, {4}, {4}, {6}, {8}, {8}]
    assert [r.stored for r in rounds] == [110, 110, 0, 110, 110, 0]
    assert went_on(made, "stopped", 3) == rounds[-1].digest
