"""Tables of a run's report: results, rivals, rounds and the answers to samples."""

from __future__ import annotations

import attrs

from ...analysis.answer_spans import EXPECTED, PROBABILITY, spans_of
from ...analysis.formats import unit_of
from ...analysis.quantities import measured, metrics_of_splits
from ...analysis.run_findings import rival_table
from ...contracts.records import RoundRecord
from ..payload import RoundColumn, columns_of
from ..quantities import MISSING, format_value, typeset
from ..tables import Column, ReportTable, TableCell
from .narrative import quantity_title
from .view import RunView

FORMS = {
    "share": "accuracy",
    "loss": "loss",
    "overlap": "overlap",
    "seconds": "seconds",
    "memory_bytes": "memory_bytes",
}
"""A quantity whose number format a column of rounds has; other numbers are counts or means of counts."""


def results_table(view: RunView) -> ReportTable | None:
    """Every metric of base and best round, and of the last where it is another, on validation and test; None without rounds."""
    if not view.records:
        return None
    numbers = list(dict.fromkeys((0, view.best, len(view.records) - 1)))
    titles = {0: "base", view.best: f"round {view.best} (best)"} if view.best else {0: "base"}
    found = [metrics_of_splits(view.records[number]) for number in numbers]
    names = ["loss", *measured(found[0], "test")]
    names = names if view.is_regression else ["accuracy", *names]
    columns = [Column(key="metric", title="Metric", meaning="", numeric=False)]
    columns += [
        Column(
            key=f"{split}.{number}",
            title=f"{split.capitalize()}, {titles.get(number, f'round {number}')}",
            meaning="",
        )
        for split in ("validation", "test")
        for number in numbers
    ]
    rows = [
        (
            TableCell(text=f"{quantity_title(name)}{f', {unit}' if (unit := _unit(name, view)) else ''}"),
            *(
                TableCell(text=format_value(f"{split}.{name}", metrics.get(f"{split}.{name}")))
                for split in ("validation", "test")
                for metrics in found
            ),
        )
        for name in names
    ]
    return ReportTable(columns=tuple(columns), rows=tuple(rows))


def _unit(name: str, view: RunView) -> str:
    """The unit of a metric; the loss of a regression is a squared error in variances."""
    return "" if name == "loss" and view.is_regression else unit_of(name)


def rivals_table(view: RunView) -> ReportTable | None:
    """Trivial models on the same splits, with the base and the best round; None where the run recorded none."""
    found = rival_table(view.provenance.get("rivals"), view.records, view.best) if view.records else None
    if found is None:
        return None
    names = [title.replace("valid ", "Validation ").replace("test ", "Test ") for title in found.titles]
    columns = [Column(key="model", title="Model", meaning="", numeric=False)]
    columns += [Column(key=title, title=title.replace(" %", ", %"), meaning="") for title in names]
    rows = (
        tuple(TableCell(text=row[0] if i == 0 else typeset(cell)) for i, cell in enumerate(row))
        for row in found.rows
    )
    return ReportTable(columns=tuple(columns), rows=tuple(rows))


def _zero_variance(record: RoundRecord) -> str | None:
    found = record.rollouts
    return f"{found.zero_variance} of {found.groups}" if found else None


REWARDS = (
    RoundColumn("reward", "Mean reward", "measure", lambda r: r.rollouts.reward if r.rollouts else None),
    RoundColumn("zero_variance", "Zero-variance groups", "text", _zero_variance),
)
"""Columns of runs under rewards."""


def rounds_table(view: RunView) -> ReportTable:
    """A row a round; measures that rounds are not compared by are in `rounds.csv`, and columns in which no round has a value are omitted."""
    known = columns_of(view.records)
    known = (*known[:4], *REWARDS, *known[4:])
    used = [
        column
        for column in known
        if any(column.value(record) is not None for record in view.records) and _is_shown(view, column.key)
    ]
    columns = (Column(key=c.key, title=c.title, meaning="", numeric=c.key != "status") for c in used)
    rows = (tuple(_cell(column, record) for column in used) for record in view.records)
    return ReportTable(columns=tuple(columns), rows=tuple(rows))


def _is_shown(view: RunView, key: str) -> bool:
    split, _, metric = key.partition(".")
    if not metric:
        return True
    if metric == "accuracy":
        return not view.is_regression
    return metric == "loss" or (metric == view.headline and split != "train")


def _cell(column: RoundColumn, record: RoundRecord) -> TableCell:
    value = column.value(record)
    if column.key == "status":
        return TableCell(text=record.status, detail=record.reason)
    if value is None or isinstance(value, str):
        return TableCell(text=value or MISSING)
    name = FORMS.get(column.form, "rank" if column.form in {"round", "count", "rank"} else "measure")
    return TableCell(text=format_value(name, value), sort=value)


@attrs.frozen(kw_only=True)
class SampleCard:
    """One sample with the spans of rounds that have the same answer."""

    parts: tuple[tuple[str, str], ...]
    """Names and texts of the input."""
    expected_title: str
    expected: str
    probability_title: str
    """Empty where answers have no probability."""
    has_answers: bool
    spans: tuple[tuple[str, str, str, str, bool], ...]
    """Rounds, answer, judgement, probability, and whether it is right."""


def sample_cards(view: RunView) -> list[SampleCard]:
    """The samples in full."""
    if view.samples is None or not view.records:
        return []
    kind = view.samples.kind
    return [
        SampleCard(
            parts=tuple((name.rstrip(":").capitalize(), text) for name, text in sample.input.items())
            if len(sample.input) == 1
            else tuple(sample.input.items()),
            expected_title=EXPECTED.get(kind, "expected").capitalize(),
            expected=sample.expected,
            probability_title=PROBABILITY.get(kind, ""),
            has_answers=kind != "completion",
            spans=tuple(
                (
                    s.rounds.replace("-", MISSING),
                    _arrows(s.answer) if kind == "value" else s.answer,
                    s.judgement,
                    _arrows(s.probability),
                    s.answers[-1].right,
                )
                for s in spans_of(kind, answers)
            ),
        )
        for sample, answers in zip(view.samples.samples, view.answers, strict=True)
    ]


def _arrows(text: str) -> str:
    return text.replace(" -> ", " → ")
