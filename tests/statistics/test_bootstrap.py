import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from boostlora.engine.statistics.bootstrap import bca, bca_many, stream
from boostlora.engine.testing import assert_close

values = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12)


@pytest.mark.parametrize("few", [[], [0.5]])
def test_bca_of_fewer_than_two_values_has_no_interval(few):
    assert bca(few) is None


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_bca_of_a_non_finite_value_has_no_interval(odd):
    assert bca([0.1, odd, 0.3]) is None


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, 1e300, 1e-300])
def test_bca_of_constant_values_is_that_value_on_both_sides(value):
    assert bca([value] * 5) == (value, value)


def test_bca_of_values_that_differ_by_rounding_alone_is_their_range():
    above = np.nextafter(0.1, 1.0)
    assert bca([0.1, 0.1, above]) == (0.1, above)


@given(values)
def test_bca_lies_within_the_values_and_around_most_of_them(data):
    low, high = bca(data, resamples=199)
    slack = 1e-12 * max(abs(x) for x in data)
    assert min(data) - slack <= low <= high <= max(data) + slack


@given(values, st.floats(0.1, 100), st.floats(-1e3, 1e3))
@example([0.0, 0.0, 0.0, 1.0], 1.0, 2.0)
@example([425 / 540, 430 / 540, 436 / 540, 441 / 540], 1.0, -0.1)
def test_bca_follows_a_change_of_unit_and_origin(data, scale, shift):
    spread = max(data) - min(data)
    assume(spread > 1e-3)  # else the shift's rounding is larger than the values' differences
    low, high = bca(data, resamples=199)
    moved = bca(np.array(data) * scale + shift, resamples=199)
    # Means are compared at nine decimals of the spread.
    atol = 1e-7 * spread * scale
    assert_close(np.array(moved), np.array([low, high]) * scale + shift, atol=atol, what="interval")


@given(values)
@example([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 102.0, 1.0])
def test_bca_of_the_same_data_is_the_same_alone_and_among_others(data):
    others = [[float(i * j % 7) for i in range(len(data))] for j in range(1, 5)]
    alone = bca(data, resamples=99)
    assert alone == bca(data, resamples=99)
    atol = 1e-8 * (max(data) - min(data))  # means are rounded to nine decimals of the spread
    among = bca_many([*others, data], resamples=99)[-1]
    assert_close(np.array(among), np.array(alone), atol=atol, what="interval")


def test_bca_of_more_columns_than_fit_at_once_gives_all_the_same_resamples():
    table = np.random.default_rng(0).standard_normal((50, 6))
    once, many = np.array(bca_many(table)), np.array(bca_many(np.tile(table, (8, 1))))
    assert_close(many, np.tile(once, (8, 1)), atol=1e-8, what="intervals")


def test_bca_agrees_with_scipy_on_the_same_stream():
    data = np.random.default_rng(3).exponential(size=15)
    expected = bootstrap(
        (data,), np.mean, method="BCa", confidence_level=0.9, rng=stream()
    ).confidence_interval
    # The values are scaled before they are resampled, which may break ties between means otherwise.
    assert_close(
        np.array(bca(data, 0.9)), np.array([expected.low, expected.high]), atol=1e-3, what="interval"
    )


def test_bca_of_skewed_values_reaches_further_to_the_long_side():
    data = [0.0, 0.0, 0.0, 0.1, 0.1, 0.2, 0.2, 0.3, 0.5, 3.0]
    low, high = bca(data)
    mean = float(np.mean(data))
    assert high - mean > 2 * (mean - low)


def test_bca_with_more_confidence_is_wider():
    data = np.random.default_rng(1).standard_normal(12)
    (low, high), (lower, higher) = bca(data, 0.8), bca(data, 0.99)
    assert lower < low < high < higher


def _coverage(count, trials, confidence=0.95):
    table = np.random.default_rng(count).standard_normal((trials, count))
    return np.mean([low <= 0.0 <= high for low, high in bca_many(table, confidence, resamples=999)])


def test_bca_coverage_with_thirty_values_is_nearly_nominal():
    # 400 trials: standard error 1.1 %.
    assert 0.90 <= _coverage(30, 400) <= 0.98


@pytest.mark.parametrize(("count", "expected"), [(3, 0.72), (5, 0.84), (8, 0.87), (10, 0.89), (20, 0.92)])
def test_bca_coverage_with_few_values_is_as_documented(count, expected):
    # 4000 trials: standard error 0.7 % at most; three of them.
    assert abs(_coverage(count, 4000) - expected) < 0.022
