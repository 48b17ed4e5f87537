"""Singular directions are compared as far as they are defined, and no further."""

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.contracts import Frame, Site
from boostlora.engine.verification.criterion import Criterion
from boostlora.engine.verification.directions import (
    RecordingView,
    Spectrum,
    compare_blocks,
    compare_frames,
    compare_values,
    gaps_of,
    sine,
)
from boostlora.engine.verification.findings import Finding

WHERE = Finding(round=1, quantity="directions", where="W", error=0.0, allowed=0.0)
DOUBLE, SINGLE = Criterion(dtype="float64"), Criterion(dtype="float32")


def triplets(W):
    U, S, Vt = np.linalg.svd(W, full_matrices=False)
    sign = np.where(U[np.argmax(np.abs(U), axis=0), np.arange(U.shape[1])] < 0, -1.0, 1.0)
    return Frame(U=U * sign, S=S, V=Vt.T * sign)


def with_spectrum(S, rows, columns, rng):
    U, _ = np.linalg.qr(rng.standard_normal((rows, len(S))))
    V, _ = np.linalg.qr(rng.standard_normal((columns, len(S))))
    return (U * S) @ V.T


def turned(frame, i, j, angle):
    """The frame with two of its directions rotated into each other, left and right."""
    U, V = frame.U.copy(), frame.V.copy()
    c, s = np.cos(angle), np.sin(angle)
    for X in (U, V):
        X[:, [i, j]] = X[:, [i, j]] @ np.array([[c, -s], [s, c]])
    return attrs.evolve(frame, U=U, V=V)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(12, 7), (7, 12), (9, 9)]))
def test_weight_that_is_off_by_single_roundings_stays_within_the_bounds_of_float32(seed, shape):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal(shape)
    noisy = W * (1 + SINGLE.unit * rng.uniform(-1, 1, shape))
    truth, other = triplets(W), triplets(noisy)
    counts = range(1, truth.rank + 1)
    spectrum = Spectrum(values=truth.S, shape=shape)
    gaps = [(spectrum.leading, spectrum.around(i, longer=False)) for i in range(truth.rank)]
    assert not compare_values(truth, other, WHERE, SINGLE).departed
    assert not compare_blocks(truth, other, counts, WHERE, SINGLE).departed
    assert not compare_frames(truth, other, gaps, WHERE, SINGLE).departed


def test_pair_without_a_gap_is_undefined_inside_and_defined_as_a_whole():
    rng = np.random.default_rng(0)
    truth = triplets(with_spectrum(np.array([5.0, 3.0, 3.0, 1.0]), 9, 6, rng))
    other = turned(truth, 1, 2, 0.7)
    found = compare_blocks(truth, other, [1, 2, 3], WHERE, DOUBLE)
    assert not found.departed
    assert (found.compared, found.undefined) == (
        4,
        2,
    )  # 1 and 3 directions are defined, on both sides; 2 are not
    spectrum = Spectrum(values=truth.S, shape=(9, 6))
    gaps = [(spectrum.leading, spectrum.around(i, longer=True)) for i in range(3)]
    columns = compare_frames(truth, other, gaps, WHERE, DOUBLE)
    assert not columns.departed
    assert (columns.compared, columns.undefined) == (1, 2)


def test_rotated_pair_with_a_gap_deviates():
    rng = np.random.default_rng(0)
    truth = triplets(with_spectrum(np.array([5.0, 3.0, 2.0, 1.0]), 9, 6, rng))
    other = turned(truth, 1, 2, 1e-6)
    found = compare_blocks(truth, other, [1, 2, 3], WHERE, DOUBLE)
    assert found.departed
    assert found.error == pytest.approx(1e-6, rel=1e-3)
    assert found.note.endswith("2 leading directions")


def test_sine_of_a_small_angle_is_exact():
    # 1 - cos^2 would lose half of the digits.
    X = np.eye(5)[:, :2]
    Y = np.linalg.qr(X + 1e-9 * np.eye(5)[:, 3:])[0]
    assert sine(X, Y) == pytest.approx(1e-9, rel=1e-6)


def test_sign_is_compared_unless_two_entries_compete():
    def frame(u):
        u = np.array(u)[:, None] / np.linalg.norm(u)
        return Frame(U=u, S=np.ones(1), V=np.array([[1.0], [0.0]]))

    decided, tied = frame([1.0, -0.5, 0.2]), frame([1.0, -1.0, 0.2])
    for truth, departs in ((decided, True), (tied, False)):
        other = Frame(U=-truth.U, S=truth.S, V=-truth.V)
        assert compare_frames(truth, other, [(1.0, 1.0)], WHERE, DOUBLE).departed is departs
    one_side = Frame(U=-tied.U, S=tied.S, V=tied.V)
    assert compare_frames(tied, one_side, [(1.0, 1.0)], WHERE, DOUBLE).departed


def test_gap_after_the_last_direction_is_the_null_space_on_the_longer_side_only():
    values = np.array([4.0, 2.0, 0.5])
    tall = Spectrum(values=values, shape=(5, 3))
    assert tall.behind(3, longer=True) == 0.5
    assert tall.behind(3, longer=False) == np.inf
    assert tall.behind(2, longer=True) == 1.5
    assert Spectrum(values=values, shape=(9, 8)).behind(3, longer=True) == 0.0  # unknown: not compared
    assert tall.around(1, longer=True) == 1.5


@pytest.mark.parametrize("wrong", ["missing", "nan"])
def test_frame_with_wrong_shape_or_nan_deviates(wrong):
    truth = triplets(np.random.default_rng(1).standard_normal((6, 5)))
    other = (
        truth.take(range(4)) if wrong == "missing" else attrs.evolve(truth, U=np.full_like(truth.U, np.nan))
    )
    assert compare_blocks(truth, other, [1, 2], WHERE, DOUBLE).departed
    assert compare_frames(truth, other, [(1.0, 1.0)] * 5, WHERE, DOUBLE).departed


class Matrix:
    """All that a view asks of a model."""

    def __init__(self, W):
        self.W = W

    def directions(self, site, count, *, merged=False):
        assert merged
        return triplets(self.W).take(range(count))


def test_gaps_of_a_frame_are_those_of_the_requested_directions():
    S = np.array([8.0, 7.0, 4.0, 1.0])
    W = with_spectrum(S, 9, 6, np.random.default_rng(0))
    view = RecordingView(Matrix(W), Site(name="W", shape=(9, 6)), triplets(W).take(range(3)))
    assert gaps_of(view, 2, S, None) == [(1.0, np.inf)] * 2, "asked for none: as exact as rounding"
    view.directions([1, 2])
    assert gaps_of(view, 2, S, None) == [(8.0, 1.0), (8.0, 3.0)]
    # One frame made of more directions than it has columns: as exact as the least isolated of them.
    view.directions([0])
    assert gaps_of(view, 2, S, None) == [(8.0, 1.0)] * 2
    view.reset()
    view.merged_directions(1)
    assert gaps_of(view, 1, S, np.array([5.0, 2.0])) == [(5.0, 3.0)]
