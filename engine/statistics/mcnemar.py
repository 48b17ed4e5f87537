"""McNemar's test of two classifiers on the same examples."""

from __future__ import annotations


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p of the counts of examples that only one of two models gets right.

    If the models are equally good, `only_first ~ Binomial(only_first + only_second, 1/2)`. Examples that both or neither get
    right carry no information. p is 1 if the counts are 0. Dietterich recommends this test for models trained once.

    Raises:
        ValueError: for a negative count.

    References:
        McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika 12 (1947);
        Dietterich, "Approximate statistical tests for comparing supervised classification learning algorithms", Neural
        Computation 10 (1998).
    """
    from scipy.stats import binomtest  # noqa: PLC0415 - the command line starts without it

    if only_first < 0 or only_second < 0:
        raise ValueError(f"counts must not be negative: {only_first}, {only_second}")
    # `binomtest` refuses zero trials.
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)
