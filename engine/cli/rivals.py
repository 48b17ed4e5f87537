"""A run's result beside those of trivial rivals on the same splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..analysis.formats import number_text
from ..contracts import Metrics
from ..contracts.records import RoundRecord
from ..sdk.metrics import is_regression
from .layout import aligned

CLASSES = (("valid %", "validation", "accuracy"), ("test %", "test", "accuracy"))
BALANCED = (
    ("valid balanced %", "validation", "balanced_accuracy"),
    ("test balanced %", "test", "balanced_accuracy"),
)
VALUES = (("valid RMSE", "validation", "rmse"), ("test RMSE", "test", "rmse"))


def rival_lines(rivals: Mapping[str, Any] | None, records: Sequence[RoundRecord], best: int) -> list[str]:
    """A table of the rivals, the base and the best round; a line if a rival is as good on validation; notes."""
    if not rivals:
        return []
    regression = is_regression(records[0].validation)
    columns = VALUES if regression else (*CLASSES, *BALANCED)
    ours = {rivals["base"]: records[0]} | ({f"round {best} (best)": records[best]} if best else {})
    rows = [["on the same splits", *(title for title, _, _ in columns)]]
    for name, by_split in rivals["models"].items():
        rows.append([name, *(number_text(by_split[s].get(m), m) for _, s, m in columns)])
    for name, record in ours.items():
        rows.append([name, *(number_text(_value(getattr(record, s), m), m) for _, s, m in columns)])
    lines = aligned(rows, gap=2)
    metric = "rmse" if regression else "accuracy"
    reached = _value(records[best].validation, metric)
    sign = -1.0 if regression else 1.0
    equals = [
        name
        for name, by_split in rivals["models"].items()
        if reached is not None and sign * by_split["validation"][metric] >= sign * reached
    ]
    if equals:
        verb = "is" if len(equals) == 1 else "are"
        lines.append(
            f"{' and '.join(equals)} {verb} at least as good on validation: the simpler model may do"
        )
    return [*lines, *(f"note: {note}" for note in rivals["notes"])]


def _value(metrics: Metrics, measure: str) -> float | None:
    return metrics.accuracy if measure == "accuracy" else metrics.measures.get(measure)
