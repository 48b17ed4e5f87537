import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from boostlora.engine.statistics.examples import cluster_interval, compare_examples, flip_sums
from boostlora.engine.statistics.mcnemar import mcnemar
from boostlora.engine.statistics.permutation import sign_flip
from boostlora.engine.testing import assert_close


def _answers(ids, correct):
    return np.array(ids, dtype=np.int64), np.array(correct, dtype=np.bool_)


def test_mcnemar_of_one_against_nine_has_the_hand_computed_value():
    assert_close(mcnemar(1, 9), 2 * (1 + 10) / 2**10, atol=1e-12, what="p")


@pytest.mark.parametrize("counts", [(0, 0), (5, 5), (1, 0)])
def test_mcnemar_of_balanced_counts_is_one(counts):
    assert mcnemar(*counts) == 1.0


def test_mcnemar_of_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 3)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_symmetric_and_twice_the_tail(first, second):
    expected = min(1.0, 2 * float(binom.cdf(min(first, second), first + second, 0.5)))
    assert_close(mcnemar(first, second), expected, atol=1e-12, what="p")
    assert mcnemar(first, second) == mcnemar(second, first)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=12))
def test_flip_sums_by_convolution_equals_all_patterns_one_by_one(sums):
    expected = sign_flip(np.array(sums, dtype=float)).p
    assert_close(flip_sums(np.array(sums)), expected, atol=1e-12, what="p")


@given(st.integers(0, 200), st.integers(0, 200))
def test_flip_sums_of_ones_is_mcnemar(first, second):
    sums = np.array([1] * first + [-1] * second + [0] * 5)
    assert_close(flip_sums(sums), mcnemar(first, second), atol=1e-12, what="p")


def test_flip_sums_of_many_large_differences_stays_exact_and_within_bounds():
    rng = np.random.default_rng(0)
    sums = rng.integers(-10, 11, size=20_000)
    spread = float(np.sqrt(np.sum(sums.astype(float) ** 2)))
    p = flip_sums(sums)
    normal = 2 * (1 - _phi(abs(sums.sum()) / spread))
    assert_close(p, normal, atol=0.01, what="p against its normal limit")
    assert flip_sums(np.abs(sums)) == pytest.approx(0.0, abs=1e-12)


def _phi(z):
    from scipy.stats import norm

    return float(norm.cdf(z))


def test_compare_examples_of_one_seed_counts_and_uses_mcnemar():
    found = compare_examples([(_answers([1, 2, 3, 4], [1, 1, 0, 1]), _answers([4, 3, 2, 1], [1, 0, 0, 0]))])
    assert (found.only_first, found.only_second, found.both, found.neither) == (2, 0, 1, 1)
    assert found.test == "mcnemar"
    assert found.p == mcnemar(2, 0)
    assert found.difference == 0.5
    assert found.examples == 4


def test_compare_examples_of_several_seeds_flips_an_example_whole():
    # One example right in all five seeds of one arm alone: one cluster, of which no test can say anything.
    seeds = [(_answers([7, 8], [1, 1]), _answers([7, 8], [0, 1])) for _ in range(5)]
    found = compare_examples(seeds)
    assert found.test == "permutation"
    assert (found.only_first, found.both) == (5, 5)
    assert found.p == 1.0


def test_compare_examples_without_common_examples_is_none():
    assert compare_examples([(_answers([1], [1]), _answers([2], [1]))]) is None
    assert compare_examples([]) is None


def test_compare_examples_uses_only_common_examples():
    found = compare_examples([(_answers([1, 2], [1, 1]), _answers([2, 3], [0, 1]))])
    assert (found.only_first, found.examples, found.interval) == (1, 1, None)


def test_cluster_interval_is_reproducible_and_contains_the_difference():
    rng = np.random.default_rng(2)
    sums, sizes = rng.integers(-2, 4, size=300), np.full(300, 5)
    low, high = cluster_interval(sums, sizes)
    assert (low, high) == cluster_interval(sums, sizes)
    assert low < sums.sum() / sizes.sum() < high


def test_cluster_interval_is_as_wide_as_the_normal_limit():
    rng = np.random.default_rng(2)
    sums = rng.integers(-2, 4, size=500)
    low, high = cluster_interval(sums, np.full(500, 5))
    expected = 2 * 1.96 * float(np.std(sums)) / 5 / np.sqrt(500)
    assert_close(high - low, expected, atol=0.05 * expected, what="width")


def test_cluster_interval_needs_two_examples():
    assert cluster_interval(np.array([1]), np.array([1])) is None
    assert cluster_interval(np.array([1, -1]), np.array([1, 1])) == (-1.0, 1.0)


def test_cluster_interval_of_equal_clusters_is_a_point():
    assert cluster_interval(np.zeros(10, dtype=int), np.full(10, 3)) == (0.0, 0.0)


def test_cluster_interval_is_wider_than_one_that_takes_seeds_for_examples():
    rng = np.random.default_rng(4)
    sums = 5 * rng.choice([-1, 0, 1], size=200, p=[0.1, 0.7, 0.2])  # all seeds of an example agree
    low, high = cluster_interval(sums, np.full(200, 5))
    naive = cluster_interval(np.repeat(sums // 5, 5), np.ones(1000, dtype=int))
    assert high - low > 1.8 * (naive[1] - naive[0])


def _rejections(gain, trials):
    """Two arms over three seeds of 100 examples of a pool of 150, with difficulties shared by all."""
    rng, rejected = np.random.default_rng(11), 0
    for _ in range(trials):
        easy = rng.random(150)
        seeds = []
        for _ in range(3):
            ids = rng.permutation(150)[:100]
            first = rng.random(100) < np.clip(easy[ids] + gain, 0, 1)
            seeds.append((_answers(ids, first), _answers(ids, rng.random(100) < easy[ids])))
        rejected += compare_examples(seeds, resamples=9).p <= 0.05
    return rejected / trials


def test_compare_examples_without_an_effect_rejects_about_alpha():
    # 600 trials: standard error 0.9 %.
    assert 0.02 <= _rejections(0.0, 600) <= 0.08


def test_compare_examples_with_an_effect_rejects_nearly_always():
    assert _rejections(0.25, 60) > 0.95
