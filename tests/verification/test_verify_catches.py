"""Backends broken on purpose: each must be caught, and by the quantity that is wrong."""

import pytest

from . import broken_backends as faults

SHRUNK = ("merge.use=shrinkage", "merge.rate=0.5")


@pytest.mark.parametrize(
    ("fault", "quantity", "settings"),
    [
        (faults.SidesExchanged, "directions", ()),
        (faults.ColumnsReversed, "directions", ()),
        (faults.SignOfDirection, "frames", ()),
        (faults.Neighbour, "logits", ()),
        (faults.NotANumber, "logits", ()),
        (faults.Raises, "logits", ()),
        (faults.WrongLoss, "loss", ()),
        (faults.NextClass, "predictions", ()),
        (faults.NextBatch, "training loss", ()),
        (faults.SignOfGradient, "gradient", ()),
        (faults.Untraced, "gradient", ()),
        (faults.ForgottenSite, "gradient", ("adapter.tie=all", "optimizer.use=sgd", "optimizer.lr=0.1")),
        (faults.LearningRate, "core", ()),
        (faults.TransposedCore, "update", ()),
        (faults.LostTrialScale, "trial loss", SHRUNK),
        (faults.LostScale, "merged weight", SHRUNK),
        (faults.NeverMerged, "merged weight", ()),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_fault_of_a_backend_is_detected_in_the_first_round_by_its_quantity(
    check, broken, fault, quantity, settings
):
    result = check(broken(fault), *settings)
    assert not result.passed
    assert (result.first.round, result.first.quantity) == (1, quantity)
    # A fault is no rounding: it stands out by more than what the criterion is uncertain of.
    assert result.first.ratio > 10.0


def test_stale_basis_is_detected_after_the_first_merge(check, broken):
    result = check(broken(faults.StaleBasis))
    assert (result.first.round, result.first.quantity) == (2, "singular values")


def test_fault_at_one_step_is_named_with_its_step(check, broken):
    result = check(broken(faults.LearningRate))
    assert result.first.step == 1
    assert result.first.place == "round 1, layers.0.weight, step 1"


def test_exception_of_a_backend_is_a_deviation_with_its_message(check, broken):
    result = check(broken(faults.Raises))
    assert "CUDA error: device-side assert triggered" in result.first.note
    assert result.notes == ("round 1: the candidate could not finish it; no further round was compared",)


def test_correct_backend_passes_in_the_same_wrapper(check, broken):
    result = check(broken())
    assert result.passed, result.first
    assert result.rounds == 2
