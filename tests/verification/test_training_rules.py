"""What excuses a step of training: errors of gradients through the optimiser, and the truth asked again."""

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.backends.reference.backend import Reference
from boostlora.backends.reference.optimizers import RULES
from boostlora.engine.contracts import Frame
from boostlora.engine.errors import UsageError
from boostlora.engine.testing import assert_close
from boostlora.engine.testing.requests import KINDS, make_request
from boostlora.engine.testing.strategies import sites_of, tiny_mlp
from boostlora.engine.verification.criterion import FLOOR, MULTIPLE, QUANTITIES, Criterion, dtype_of, order
from boostlora.engine.verification.error_propagation import error_bound_of
from boostlora.engine.verification.step_replay import StepReplay, updates_of
from boostlora.plugins.optimizers.adam import Adam
from boostlora.plugins.optimizers.sgd import Sgd

OPTIMIZERS = (Adam(lr=0.1), Adam(lr=0.1, beta1=0.5, beta2=0.9), Sgd(lr=0.1), Sgd(lr=0.1, momentum=0.9))


def played(optimizer, gradients):
    """Values after every step, from zero."""
    value, state, values = np.zeros(gradients.shape[1]), {}, []
    for step, gradient in enumerate(gradients, start=1):
        direction, state = RULES[optimizer.rule](optimizer, value, gradient, state, step)
        value = value - optimizer.lr * direction
        values.append(value)
    return values


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(OPTIMIZERS),
    st.floats(1e-9, 10.0),
    st.integers(1, 30),
)
def test_parameter_difference_is_explained_by_gradient_errors(seed, optimizer, size, steps):
    rng = np.random.default_rng(seed)
    gradients = rng.standard_normal((steps, 6)) * 10.0 ** rng.uniform(-8, 0, 6)
    # Errors from far below to far above the gradients themselves, of any sign.
    errors = size * rng.uniform(-1, 1, gradients.shape) * 10.0 ** rng.uniform(-8, 0, 6)
    transfer = error_bound_of(optimizer)
    truth, other = played(optimizer, gradients), played(optimizer, gradients + errors)
    for step in range(1, steps + 1):
        transfer.add(step, optimizer.lr, gradients[step - 1], np.abs(errors[step - 1]))
        # 1e-12: the rounding of up to 30 steps of size 0.1.
        assert (np.abs(truth[step - 1] - other[step - 1]) <= transfer.total + 1e-12).all()


def test_wrong_learning_rate_is_not_explained_by_gradient_errors():
    gradients = np.ones((1, 3))
    transfer = error_bound_of(OPTIMIZERS[0])
    transfer.add(1, 0.1, gradients[0], np.full(3, 1e-12))
    assert np.max(transfer.total) < 1e-3 * 0.1 * 0.01


def test_unknown_update_rule_explains_no_difference():
    @attrs.frozen
    class Lion:
        rule: str = "lion"

    transfer = error_bound_of(Lion())
    transfer.add(1, 0.1, np.ones(3), np.ones(3))
    assert transfer.total == 0.0


@pytest.fixture
def model(tmp_path):
    source = tiny_mlp(tmp_path)
    return Reference().open(source, sites_of(source))


@pytest.mark.parametrize("kind", KINDS)
def test_step_that_is_asked_again_at_the_truths_own_numbers_is_that_step(model, kind):
    request = attrs.evolve(make_request(model, kind, steps=4), learning_rates=np.full(4, 0.05))
    steps = []
    training = model.train(attrs.evolve(request, trace=steps.append))
    local = StepReplay(model=model, ensemble=[], request=request, unit=2.0**-53, rng=np.random.default_rng(0))
    weights = {site: model.weight(site) for site in request.parametrisations}
    for number in (1, 2, 4):
        again = local.step(number, steps[number - 2].values if number > 1 else None)
        # 1e-12: sums of some 20 products in another order, merged or beside the weight.
        assert_close(again.loss, steps[number - 1].loss, atol=1e-12, what=f"{kind}: loss of step {number}")
        assert again.gradients.keys() == steps[number - 1].gradients.keys()
        for name, gradient in steps[number - 1].gradients.items():
            assert_close(again.gradients[name], gradient, atol=1e-12, rtol=1e-12, what=f"{kind}: {name}")
        spread = local.spread(number, steps[number - 2].values if number > 1 else None, again)
        assert all(
            0.0 < np.max(spread[name]) < 1e-12 or not again.gradients[name].any() for name in again.gradients
        )
    for site, update in updates_of(request, training.values).items():
        (L, M), (K, N) = update.factors(), training.updates[site].factors()
        assert_close(L @ M.T, K @ N.T, atol=1e-13, what=f"{kind}: update of {site}")
        np.testing.assert_array_equal(model.weight(site), weights[site])


@pytest.mark.parametrize("unit", [2.0**-24, 2.0**-53])
def test_spread_has_the_rounding_of_a_direction_in_which_the_data_cancel(model, unit):
    """`X M` of equal inputs and opposite entries is 0 but for its rounding; the rounding of a weight does not move that."""
    request, site = make_request(model, "unit-core", steps=1), "layers.0.weight"
    (core,), shape = request.parametrisations.values(), model.weight(site).shape
    U, V = (np.linalg.qr(np.random.default_rng(1).standard_normal((n, core.rank)))[0] for n in shape)
    alike = np.tile(np.array(request.examples.inputs[:, :1]), (1, shape[1]))
    examples = attrs.evolve(request.examples, inputs=alike)
    request = attrs.evolve(request, parametrisations={site: core}, examples=examples)

    def local(V):
        frames = {site: Frame(U=U, S=np.ones(core.rank), V=V)}
        return StepReplay(
            model=model,
            ensemble=[],
            request=attrs.evolve(request, frames=frames),
            unit=unit,
            rng=np.random.default_rng(0),
        )

    opposite = np.zeros_like(V)
    opposite[:2] = np.array([[0.5], [-0.5]])
    one = np.abs(opposite) * np.array([[1.0]] + [[0.0]] * (shape[1] - 1))
    size = np.max(np.abs(local(one).step(1, None).gradients[core.group]))
    exact = local(opposite).step(1, None)
    assert not exact.gradients[core.group].any()
    spread = np.max(local(opposite).spread(1, None, exact)[core.group])
    # A few roundings of what either of the two entries makes of the data.
    assert unit * size < spread < 30 * unit * size


def test_float32_criterion_is_a_multiple_of_the_references_error_plus_a_floor():
    single = Criterion(dtype="float32")
    assert single.allowed("logits", 1e-6, 2.0) == MULTIPLE * 1e-6 + FLOOR * 2.0**-24 * 2.0
    half, brain = Criterion(dtype="float16"), Criterion(dtype="bfloat16")
    assert half.allowed("logits", 1e-6, 2.0) == 2**13 * single.allowed("logits", 1e-6, 2.0)
    assert brain.allowed("logits", 1e-6, 2.0) == 2**16 * single.allowed("logits", 1e-6, 2.0)
    assert Criterion(dtype="float64").allowed("logits", 1e-6, 2.0) == QUANTITIES["logits"].tight * 2.0


def test_every_float64_bound_has_a_reason():
    for quantity in QUANTITIES.values():
        assert bool(quantity.tight) == bool(quantity.reason), quantity.name
        assert quantity.what


def test_order_of_comparisons_is_that_of_the_computation():
    assert order("directions", None) < order("frames", None) < order("logits", None)
    assert order("core", 1) < order("training loss", 2) < order("gradient", 2) < order("core", 2)
    assert order("core", 40) < order("update", None) < order("merged weight", None)


def test_unknown_dtype_is_refused():
    @attrs.frozen
    class Odd:
        dtype: str = "float8"

    with pytest.raises(UsageError, match=r'unknown precision of dtype "float8"; known: float64, float32'):
        dtype_of(Odd())
    assert dtype_of(object()) == "float64"
