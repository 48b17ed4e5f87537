import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import permutation_test

from boostlora.engine.statistics.permutation import pairs_needed, sign_flip, smallest_p
from boostlora.engine.testing import assert_close

differences = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9)
whole = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=8)


def _by_hand(data):
    sums = [
        abs(sum(s * d for s, d in zip(signs, data, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(data))
    ]
    return np.mean([s >= abs(sum(data)) for s in sums])


@given(whole)
def test_sign_flip_of_few_pairs_counts_all_patterns(data):
    found = sign_flip(data)
    assert found.exact
    assert found.p == _by_hand(data)


@pytest.mark.parametrize("seed", range(5))
def test_sign_flip_agrees_with_scipy(seed):
    data = np.random.default_rng(seed).normal(0.5, 1, size=9)
    expected = permutation_test(
        (data,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    assert_close(sign_flip(data).p, float(expected.pvalue), atol=1e-12, what="p")


def test_sign_flip_of_five_pairs_of_one_sign_is_one_in_sixteen():
    assert sign_flip([0.2, 0.1, 0.3, 0.25, 0.15]).p == 1 / 16 == smallest_p(5)


@given(differences)
def test_sign_flip_is_the_same_with_arms_exchanged_and_never_below_the_smallest(data):
    p = sign_flip(data).p
    assert p == sign_flip([-x for x in data]).p
    assert smallest_p(len(data)) <= p <= 1


@given(differences, st.randoms(use_true_random=False))
def test_sign_flip_does_not_depend_on_the_order_of_pairs(data, random):
    mixed = random.sample(data, len(data))
    assert_close(sign_flip(mixed).p, sign_flip(data).p, atol=0, what="p")


@given(whole, st.sampled_from([1e-300, 1e-9, 0.1, 1e9, 1e300]))
def test_sign_flip_does_not_depend_on_the_unit(data, unit):
    assert sign_flip([unit * x for x in data]).p == sign_flip(data).p


def test_sign_flip_of_no_differences_is_one():
    assert sign_flip([0.0, 0.0, 0.0]).p == 1.0


@pytest.mark.parametrize("data", [[], [1.0, float("nan")], [float("inf")]])
def test_sign_flip_of_empty_or_non_finite_values_is_none(data):
    assert sign_flip(data) is None


def test_sampled_sign_flip_is_close_to_the_exact_p_and_reproducible():
    data = np.random.default_rng(0).normal(0.4, 1, size=12)
    exact, sampled = sign_flip(data), sign_flip(data, resamples=4000)
    assert exact.exact
    assert not sampled.exact
    assert sampled == sign_flip(data, resamples=4000)
    error = 4 * np.sqrt(exact.p * (1 - exact.p) / 4000)  # four standard errors of a binomial share
    assert abs(sampled.p - exact.p) < error


def test_sampled_sign_flip_is_never_zero():
    assert sign_flip(np.full(40, 1.0), resamples=999).p == 1 / 1000


def _rejections(shift, trials=1500, pairs=8, alpha=0.05):
    rng = np.random.default_rng(7)
    return np.mean([sign_flip(rng.normal(shift, 1, size=pairs)).p <= alpha for _ in range(trials)])


def test_sign_flip_without_an_effect_rejects_about_alpha():
    # The attainable levels of 8 pairs are multiples of 2/256: the largest up to 0.05 is 0.047. Standard error 0.55 %.
    assert abs(_rejections(0.0) - 12 / 256) < 0.02


def test_sign_flip_with_a_large_effect_rejects_nearly_always():
    assert _rejections(2.0, trials=300) > 0.95


@given(st.floats(1e-6, 0.5), st.integers(1, 1000))
def test_pairs_needed_are_the_fewest_that_can_reach_alpha(alpha, tests):
    pairs = pairs_needed(alpha, tests)
    assert tests * smallest_p(pairs) <= alpha
    assert pairs == 1 or tests * 2.0 ** (2 - pairs) > alpha


@pytest.mark.parametrize(("alpha", "pairs"), [(0.5, 2), (0.25, 3), (0.125, 4), (0.0625, 5)])
def test_pairs_needed_include_a_smallest_p_equal_to_alpha(alpha, pairs):
    assert pairs_needed(alpha) == pairs
    assert smallest_p(pairs) == alpha


def test_smallest_p_of_no_pairs_is_one():
    assert smallest_p(0) == 1.0


@pytest.mark.parametrize(("tests", "pairs"), [(1, 6), (3, 7), (6, 8), (20, 10)])
def test_pairs_needed_at_five_percent_have_the_known_values(tests, pairs):
    assert pairs_needed(0.05, tests) == pairs


@pytest.mark.parametrize(("alpha", "tests"), [(0.0, 1), (1.0, 1), (0.05, 0)])
def test_pairs_needed_refuses_invalid_arguments(alpha, tests):
    with pytest.raises(ValueError, match="must"):
        pairs_needed(alpha, tests)


@pytest.mark.parametrize(("pairs", "exact"), [(16, True), (17, False)])
def test_sign_flip_of_up_to_sixteen_pairs_is_exact(pairs, exact):
    assert sign_flip(np.arange(1.0, pairs + 1.0)).exact is exact
