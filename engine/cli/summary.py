"""The summary of a run: whether a round beat the base, the change from base to last round, and measures."""

from __future__ import annotations

from typing import Any

from ..analysis.formats import number_text, unit_of
from ..analysis.run_findings import base_is_best, divergence_lines
from ..contracts import Metrics
from ..contracts.records import RoundRecord
from ..foundation.counts import count_text
from ..runs.directory import RunDirectory
from ..sdk.metrics import RECALL, is_regression
from .columns import percent, rmse_text, span
from .layout import aligned
from .rivals import rival_lines

MEASURED = ("validation", "test")
"""Splits whose measures are printed."""


def summary_lines(directory: RunDirectory, result: dict[str, Any]) -> list[str]:
    """First whether the base is the best model; then base and last round, the best round, rivals, and measures."""
    records = directory.records
    if not records:
        return []
    first, last, best = records[0], records[-1], result["best_round"]
    lines = [base_is_best(directory.metric)] if best == 0 < last.round else []
    lines.append(_change_line(records))
    if best not in {0, last.round}:
        lines.append(f"best on validation: round {best} (test {_result(records[best].test)})")
    lines += divergence_lines(records)
    rivals = (directory.provenance() or {}).get("rivals")
    return [*lines, *rival_lines(rivals, records, best), *measure_lines(first, last)]


def _result(metrics: Metrics) -> str:
    """`accuracy 95.7 %`, or in a regression `RMSE 54.1`."""
    if is_regression(metrics):
        return f"RMSE {rmse_text(metrics)}"
    return f"accuracy {percent(metrics.accuracy)} %"


def _change_line(records: list[RoundRecord]) -> str:
    """Accuracy, in a regression RMSE, and loss from base to last round, trained parameters, and rank."""
    first, last = records[0], records[-1]
    trained, refits = _trained(records)
    if is_regression(first.test):
        change = f"RMSE {rmse_text(first.test)} -> {rmse_text(last.test)}"
    else:
        change = f"accuracy {percent(first.test.accuracy)} -> {percent(last.test.accuracy)} %"
    loss = f"{first.test.loss:.3f} -> {last.test.loss:.3f}"
    rank = span(list(last.rank.values()))
    rounds = count_text(last.round, "round")
    return f"test {change}, loss {loss}, in {rounds}; {trained} parameters trained{refits}; rank {rank}"


def _trained(records: list[RoundRecord]) -> tuple[int, str]:
    """Parameters of merged rounds, each counted once, and a note on refits."""
    merged = [r for r in records if r.scale]
    again = sum(bool(r.refit) for r in merged)
    words = f" (again in {again} refit{'s' * (again != 1)})" if again else ""
    return sum(r.new_parameters for r in merged), words


def measure_lines(first: RoundRecord, last: RoundRecord) -> list[str]:
    """The task's measures from the base to the last round, without recalls of single classes; nothing for a task without any."""
    names = dict.fromkeys(
        name for split in MEASURED for name in getattr(last, split).measures if not name.startswith(RECALL)
    )
    if not names:
        return []
    rows = [("measure", *MEASURED)]
    rows += [(name, *(_change(first, last, split, name) for split in MEASURED)) for name in names]
    return aligned(rows, gap=2)


def _change(first: RoundRecord, last: RoundRecord, split: str, name: str) -> str:
    values = [getattr(record, split).measures.get(name) for record in (first, last)]
    return " -> ".join(number_text(value, f"{split}.{name}") for value in values) + _unit(name)


def _unit(name: str) -> str:
    unit = unit_of(name)
    return f" {unit}" if unit else ""
