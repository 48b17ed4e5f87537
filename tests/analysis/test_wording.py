import math

import pytest

from boostlora.engine.analysis import formats as wording
from boostlora.engine.analysis.model import Estimate, ExampleComparison
from boostlora.engine.foundation.counts import count_text


def _estimate(mean, low=None, high=None):
    return Estimate(mean=mean, low=low, high=high, values=())


@pytest.mark.parametrize(
    ("mean", "low", "high", "metric", "text"),
    [
        (0.764, 0.749, 0.78, "accuracy", "76.4 [74.9, 78.0]"),
        (0.764, 0.749, 0.78, "test.accuracy", "76.4 [74.9, 78.0]"),
        (0.8081, 0.79, 0.8234, "validation.loss", "0.808 [0.790, 0.823]"),
        (0.5, None, None, "accuracy", "50.0"),
        (64.0, 64.0, 64.0, "rank", "64"),
        (0.3, 0.3, 0.3, "base.test.accuracy", "30.0"),
        (46.04, 45.9, 46.2, "effective_rank", "46.0 [45.9, 46.2]"),
        (24576.0, None, None, "parameters", "24,576"),
        (2e-15, None, None, "overlap", "2e-15"),
        (0.5, None, None, "overlap", "0.500"),
        (0.0, None, None, "overlap", "0.000"),
        (2.5, None, None, "seconds", "2.50"),
        (2.0**27, None, None, "memory_bytes", "128"),
        (math.inf, None, None, "loss", "-"),
    ],
)
def test_metric_text_of_a_metric_is_in_its_unit(mean, low, high, metric, text):
    assert wording.metric_text(_estimate(mean, low, high), metric) == text


@pytest.mark.parametrize(
    ("mean", "low", "high", "metric", "text"),
    [
        (0.201, 0.152, 0.248, "accuracy", "+20.1 points [15.2, 24.8]"),
        (0.004, -0.039, 0.047, "accuracy", "+0.4 points [-3.9, 4.7]"),
        (-0.1234, -0.2, -0.05, "loss", "-0.123 nats [-0.200, -0.050]"),
        (0.02, None, None, "loss", "+0.020 nats"),
        (-0.00001, -0.00002, 0.0, "accuracy", "0.0 points [0.0, 0.0]"),
    ],
)
def test_difference_text_has_sign_unit_and_interval(mean, low, high, metric, text):
    assert wording.difference_text(_estimate(mean, low, high), metric) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (None, "-"),
        (math.nan, "-"),
        (0.0, "< 0.001"),
        (0.00099, "< 0.001"),
        (0.001, "0.0010"),
        (0.0078125, "0.0078"),
        (0.05, "0.050"),
        (0.1875, "0.19"),
        (0.999, "1"),
        (1.0, "1"),
    ],
)
def test_p_text_has_two_digits_and_a_floor(p, text):
    assert wording.p_text(p) == text


@pytest.mark.parametrize(("p", "text"), [(None, ""), (0.0001, "p < 0.001"), (0.03, "p = 0.030")])
def test_p_sentence_names_the_p_value(p, text):
    assert wording.p_sentence(p) == text


@pytest.mark.parametrize(
    ("relative", "text"),
    [(None, "-"), (0.384, "+38 %"), (-0.042, "-4.2 %"), (0.0, "0.0 %"), (math.inf, "-"), (-0.00001, "0.0 %")],
)
def test_relative_text_is_in_percent(relative, text):
    assert wording.relative_text(relative) == text


@pytest.mark.parametrize("text", [wording.metric_text(None, "loss"), wording.difference_text(None, "loss")])
def test_text_of_none_is_a_dash(text):
    assert text == "-"


def test_examples_text_has_counts_difference_and_test():
    found = ExampleComparison(
        only_arm=30, only_baseline=10, both=50, neither=10, p=0.0022, test="mcnemar", low=0.09, high=0.31
    )
    assert wording.examples_text(found) == (
        "of 100 examples, 30 are right only with this arm, 10 only with the baseline: +20.0 points [9.0, 31.0], p = 0.0022 "
        "(exact McNemar test)"
    )
    assert wording.examples_text(None) == ""


@pytest.mark.parametrize(("count", "text"), [(1, "1 seed"), (0, "0 seeds"), (1000, "1,000 seeds")])
def test_count_text_uses_singular_and_plural(count, text):
    assert count_text(count, "seed") == text
