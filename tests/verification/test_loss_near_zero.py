"""A loss near 0, which is what rounding leaves of a number near 1: honest ones pass, and wrong ones are caught."""

import attrs
import numpy as np
import pytest

from boostlora.backends.reference.losses import log_softmax
from boostlora.engine.contracts import Batch, Step, Training
from boostlora.engine.testing import assert_close
from boostlora.engine.verification.criterion import FLOOR, MULTIPLE, QUANTITIES, SUMS, UNITS, Criterion
from boostlora.engine.verification.train_steps import TracedTraining, compare_steps, sums_of

DTYPES = ("float32", "float64")
BATCH, CLASSES = 32, 10
SURE = (4.0, 8.0, 14.0, 18.0)
"""By how much the right logit leads: losses of 1e-1 down to below the rounding of float32."""


def logits_of(lead, height, dtype, seed=0):
    """Logits `(BATCH, CLASSES)` of a model that is sure, the right class first, around `height`, as `dtype` has them."""
    z = height + np.random.default_rng(seed).standard_normal((BATCH, CLASSES)) * 0.5
    z[:, 0] = height + lead
    return z.astype(dtype)


def exact(z):
    """Every example's loss in float64, without a sum that is near 1."""
    z = z.astype(np.float64)
    return np.log1p(np.exp(z[:, 1:] - z[:, :1]).sum(axis=1))


def reference(z):
    return -log_softmax(z)[:, 0]


def pytorch(z):
    torch = pytest.importorskip("torch", reason="one of the backends is PyTorch")
    from boostlora.backends.torch.losses import negative_log_likelihood

    labels, values = np.zeros(len(z), dtype=np.int64), torch.from_numpy(z)
    return negative_log_likelihood(values, labels, values.dtype).numpy()


def largest_logit_added_first(z):
    """`(log T + max z) - z_y`."""
    top = z.max(axis=1, keepdims=True)
    return (np.log(np.exp(z - top).sum(axis=1, keepdims=True)) + top)[:, 0] - z[:, 0]


@attrs.frozen
class Request:
    fixed_batches: list
    optimizer: object = None

    learning_rates = np.zeros(1)
    steps = 1


@attrs.frozen
class OracleQuery:
    """The truth, asked again where the candidate stands, which is where it stands itself; no weight moves anything."""

    request: Request
    loss: float

    def step(self, number, values):
        return step_of(self.loss)

    def spread(self, number, values, step):
        return {"loss": 0.0}


def step_of(loss):
    return Step(number=1, loss=float(loss), gradients={}, values={})


def compare(right, candidate, yardstick, dtype):
    """The one finding of a step whose batch's losses are these."""
    weights = np.ones(BATCH)
    request = Request([Batch(indices=np.arange(BATCH), weights=weights)])
    training = Training(updates={}, values={}, losses=np.zeros(1))
    losses = (right, yardstick, candidate)
    traced = tuple(TracedTraining(training, [step_of(np.mean(loss * weights))]) for loss in losses)
    asked = OracleQuery(request, np.mean(right * weights))
    (finding,) = compare_steps(1, traced, Criterion(dtype=dtype), asked).findings
    return finding


@pytest.mark.parametrize("honest", [reference, pytorch])
@pytest.mark.parametrize("dtype", DTYPES)
def test_correct_loss_near_zero_passes_even_if_the_float32_reference_is_exact(honest, dtype):
    # From losses that are large against a rounding to those that are lost in it.
    leads = (*SURE, 30.0, -np.log(UNITS[dtype]), -np.log(UNITS[dtype]) + 2.0)
    for lead in leads:
        for height in (0.0, 300.0, -300.0):
            z = logits_of(lead, height, dtype)
            finding = compare(exact(z), honest(z), exact(z), dtype)
            assert not finding.departed, (lead, height, finding)


def test_loss_that_is_lost_as_a_whole_is_within_its_sums_alone():
    """Every term is 0.9 of what 1 can be rounded by: the loss is 0, honestly, and nothing else excuses it."""
    u = UNITS["float32"]
    z = np.tile(np.array([0.0, np.log(0.9 * u), *[-80.0] * 8], dtype=np.float32), (BATCH, 1))
    right, found = exact(z), reference(z)
    assert (found == 0.0).all()
    finding = compare(right, found, right, "float32")
    assert not finding.departed
    assert finding.error > 0.8 * u
    assert finding.error > 100 * FLOOR * u * right.mean()


@pytest.mark.parametrize("dtype", DTYPES)
def test_largest_logit_that_is_added_before_the_difference_is_taken_is_caught(dtype):
    z = logits_of(8.0, 3000.0, dtype)
    finding = compare(exact(z), largest_logit_added_first(z), reference(z), dtype)
    assert finding.departed
    assert finding.quantity == "training loss"


@pytest.mark.parametrize("lead", SURE[:2])
@pytest.mark.parametrize("factor", [1.01, 0.99, 2.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_small_relative_error_of_a_loss_near_zero_is_detected(dtype, factor, lead):
    z = logits_of(lead, 60.0, dtype)
    right = exact(z)
    finding = compare(right, factor * reference(z), reference(z), dtype)
    assert finding.departed
    assert finding.ratio > 10.0  # a fault is no rounding


def test_weight_of_the_sums_is_the_mean_weight_of_the_batch_with_most():
    batches = [
        Batch(indices=np.arange(4), weights=np.array([1.0, 3.0, -2.0, 0.0])),
        Batch(indices=np.arange(2), weights=np.array([1.0, 1.0])),
        Batch(indices=np.arange(0), weights=np.zeros(0)),
    ]
    assert_close(sums_of(Request(batches)), 1.5, atol=1e-15, what="weight")
    assert sums_of(Request(batches[2:])) == 0.0


@pytest.mark.parametrize("dtype", UNITS)
def test_sums_are_rounded_in_units_of_the_candidates_own_precision_whatever_the_loss(dtype):
    criterion = Criterion(dtype=dtype)
    assert criterion.allowed("training loss", 0.0, 0.0, 1.5) == SUMS * UNITS[dtype] * 1.5
    plain = criterion.allowed("training loss", 1e-6, 2.0)
    assert_close(
        criterion.allowed("training loss", 1e-6, 2.0, 1.0) - plain,
        SUMS * UNITS[dtype],
        atol=1e-3 * UNITS[dtype] + 2.0**-52 * plain,
        what="what sums add",
    )


def test_term_of_the_sums_is_small_against_a_loss_of_one():
    """It is for losses near 0: of a loss of 1 nat the floor is larger already."""
    assert SUMS < FLOOR < MULTIPLE * FLOOR
    assert SUMS * UNITS["float64"] < 0.01 * QUANTITIES["training loss"].tight
