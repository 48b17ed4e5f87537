import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.statistics.holm import holm
from boostlora.engine.testing import assert_close

ps = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def test_holm_of_four_tests_has_the_hand_computed_values():
    # Sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, 0.04 * 1, the last raised to the one before.
    assert_close(
        np.array(holm([0.01, 0.04, 0.03, 0.005])), np.array([0.03, 0.06, 0.06, 0.02]), atol=1e-12, what="p"
    )


def test_holm_of_a_single_test_changes_nothing():
    assert holm([0.03]) == [0.03]


def test_holm_does_not_count_tests_that_were_not_run():
    assert holm([0.02, None, 0.01]) == [0.02, None, 0.02]
    assert holm([None, None]) == [None, None]
    assert holm([]) == []


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_holm_refuses_values_outside_the_unit_interval(wrong):
    with pytest.raises(ValueError, match="p-values"):
        holm([0.5, wrong])


@given(ps, st.floats(0.001, 0.5))
def test_holm_rejects_what_the_step_down_procedure_rejects(values, alpha):
    order, rejected = np.argsort(values, kind="stable"), set()
    for step, index in enumerate(order):
        if (len(values) - step) * values[index] > alpha:
            break
        rejected.add(int(index))
    assert {i for i, p in enumerate(holm(values)) if p <= alpha} == rejected


@given(ps)
def test_holm_lies_between_the_raw_value_and_bonferroni(values):
    for raw, adjusted in zip(values, holm(values), strict=True):
        assert raw <= adjusted <= min(1.0, len(values) * raw)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_holm_never_falls_when_raw_values_rise(pairs):
    low, high = holm([min(p) for p in pairs]), holm([max(p) for p in pairs])
    assert all(a <= b for a, b in zip(low, high, strict=True))


def test_holm_controls_the_family_wise_error_rate_under_the_null():
    rng = np.random.default_rng(5)
    false = np.mean([min(holm(rng.random(6).tolist())) <= 0.05 for _ in range(3000)])
    # Independent tests: 1 - (1 - 0.05/6)^6 = 0.049; standard error 0.4 %.
    assert abs(false - 0.049) < 0.015
