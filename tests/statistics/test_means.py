import numpy as np
import pytest
import scipy.stats

from boostlora.engine.statistics import bootstrap
from boostlora.engine.statistics.bootstrap import MAX_BOOTSTRAP, bca, mean_interval
from boostlora.engine.testing import assert_close


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_interval_of_many_values_is_scipys_normal_one(confidence):
    values = np.random.default_rng(0).exponential(2.0, MAX_BOOTSTRAP + 1)
    expected = scipy.stats.norm.interval(confidence, loc=values.mean(), scale=scipy.stats.sem(values))
    assert_close(np.array(mean_interval(values, confidence)), expected, atol=1e-12, what="interval")


def test_interval_up_to_the_limit_is_that_of_the_bootstrap(monkeypatch):
    monkeypatch.setattr(bootstrap, "MAX_BOOTSTRAP", 40)
    values = np.random.default_rng(0).exponential(2.0, 41)
    assert mean_interval(values[:40], 0.9) == bca(values[:40], 0.9)
    assert mean_interval(values, 0.9) != bca(values, 0.9)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_interval_of_non_finite_values_is_none(odd):
    assert mean_interval(np.r_[np.zeros(MAX_BOOTSTRAP), odd]) is None
    assert mean_interval(np.array([1.0, odd])) is None
    assert mean_interval(np.array([1.0])) is None
