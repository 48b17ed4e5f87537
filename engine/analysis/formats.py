"""Number formats of the terminal and the report: percent, points, nats, p-values, intervals."""

from __future__ import annotations

import math

from ..sdk.metrics import ERROR_RATES, lower_is_better
from .model import Estimate, ExampleComparison

MISSING = "-"
"""Shown for a missing value."""

PERCENT = frozenset({"accuracy", "balanced_accuracy", "lost", "gained", *ERROR_RATES})
"""Quantities that are shares, by the last part of their names, besides `pass_k`; they are shown in percent."""

COUNTS = frozenset(
    {
        *("rank", "effective_rank", "failures", "parameters", "stored"),
        *("rounds", "steps", "examples", "memory_bytes"),
    }
)
"""Quantities that are counts, or means of counts."""


def is_share(metric: str) -> bool:
    """Whether a metric is a share in [0, 1], shown in percent, such as `test.accuracy`."""
    name = metric.rpartition(".")[2]
    return name in PERCENT or name.startswith("pass_")


def is_loss(metric: str) -> bool:
    """Whether a metric is a loss in nats, such as `validation.loss`: lower is better."""
    return metric.rpartition(".")[2] == "loss"


def is_lower_better(metric: str) -> bool:
    """Whether a lower value of the metric is better, such as `validation.loss`."""
    return lower_is_better(metric.rpartition(".")[2])


def difference_unit(metric: str) -> str:
    """The unit of a difference: `points` of percent, `nats`, or nothing."""
    return "points" if is_share(metric) else "nats" if is_loss(metric) else ""


def unit_of(metric: str) -> str:
    """The unit for a table's title: `%`, `nats`, `s`, `MiB`, or nothing."""
    if is_share(metric):
        return "%"
    return "nats" if is_loss(metric) else {"seconds": "s", "memory_bytes": "MiB"}.get(metric, "")


def number_text(value: float | None, metric: str) -> str:
    """Format a metric: shares in percent with one decimal, losses in nats and other measures with three, counts as integers.

    Memory is in MiB. `-` for None and for values that are not finite.
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if metric == "overlap" and 0 < abs(value) < 1e-3:
        return f"{value:.0e}"
    if metric == "memory_bytes":
        return _fixed(value / 2**20, 0)
    return _fixed(100 * value if is_share(metric) else value, _digits(value, metric))


def _digits(value: float, metric: str) -> int:
    """Decimals of a metric."""
    if metric == "seconds":
        return 2
    if is_share(metric):
        return 1
    if metric in COUNTS:
        return 0 if float(value).is_integer() else 1
    return 3


def interval_text(low: float | None, high: float | None, metric: str) -> str:
    """`[74.9, 78.0]`; empty without an interval."""
    if low is None or high is None:
        return ""
    return f"[{number_text(low, metric)}, {number_text(high, metric)}]"


def metric_text(estimate: Estimate | None, metric: str) -> str:
    """A mean with its interval: `76.4 [74.9, 78.0]`; without one if all seeds agree; `-` for None."""
    if estimate is None:
        return MISSING
    text, interval = number_text(estimate.mean, metric), interval_text(estimate.low, estimate.high, metric)
    return text if interval in {"", f"[{text}, {text}]"} else f"{text} {interval}"


def signed_text(value: float, metric: str) -> str:
    """A signed difference without its unit: `+20.1`, `-0.123`, `0.0`."""
    text = number_text(value, metric)
    zero = not any(digit in text for digit in "123456789")
    return text if value < 0 or zero or text == MISSING else f"+{text}"


def difference_text(estimate: Estimate | None, metric: str) -> str:
    """A mean difference with unit and interval: `+20.1 points [15.2, 24.8]`, `-0.123 nats [-0.201, -0.052]`."""
    if estimate is None:
        return MISSING
    return change_text(estimate.mean, estimate.low, estimate.high, metric)


def change_text(mean: float, low: float | None, high: float | None, metric: str) -> str:
    """The same from a mean and its interval."""
    interval = interval_text(low, high, metric)
    return f"{signed_text(mean, metric)} {difference_unit(metric)}".rstrip() + (
        f" {interval}" if interval else ""
    )


def p_text(p: float | None) -> str:
    """A p-value with two significant digits, `< 0.001` below that, `-` for None."""
    if p is None or not math.isfinite(p):
        return MISSING
    if p < 0.001:
        return "< 0.001"
    if p >= 0.995:
        return "1"
    return f"{p:.2f}" if p >= 0.1 else f"{p:#.2g}"


def p_sentence(p: float | None) -> str:
    """`p = 0.03`, `p < 0.001`; empty for None."""
    text = p_text(p)
    if text == MISSING:
        return ""
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def relative_text(relative: float | None) -> str:
    """A change relative to the baseline in percent: `+38 %`, `-4.2 %`; `-` for None."""
    if relative is None or not math.isfinite(relative):
        return MISSING
    text = _fixed(100 * relative, 1 if abs(relative) < 0.1 else 0)
    return f"{text} %" if relative < 0 or text.strip("0.") == "" else f"+{text} %"


def examples_text(found: ExampleComparison | None) -> str:
    """The test over examples as a sentence; empty if two arms have none in common."""
    if found is None:
        return ""
    pairs = found.only_arm + found.only_baseline + found.both + found.neither
    what = "examples" if found.test == "mcnemar" else "pairs of example and seed"
    change = change_text((found.only_arm - found.only_baseline) / pairs, found.low, found.high, "accuracy")
    counts = (
        f"{found.only_arm:,} are right only with this arm, {found.only_baseline:,} only with the baseline"
    )
    test = "exact McNemar test" if found.test == "mcnemar" else "sign-flip test over examples"
    return f"of {pairs:,} {what}, {counts}: {change}, {p_sentence(found.p)} ({test})"


def _fixed(value: float, digits: int) -> str:
    """A number with `digits` decimals, and no minus sign before a zero."""
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if not any(digit in text for digit in "123456789") else text
