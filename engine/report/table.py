"""The main table of a report: an arm a row, the same columns whatever they are rendered to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from ..analysis.formats import difference_unit, p_sentence, p_text, relative_text
from ..analysis.model import Analysis, Comparison, Row
from ..analysis.table import extra_metrics
from ..study.record import StudyRecord
from .quantities import MISSING, interval, quantity, set_in_type, signed, titled, written

MARKS = {"better": "▲", "worse": "▼", "unclear": "○", "too few seeds": "○", "one seed": "○"}
"""Beside a difference, so that a verdict can be told without colour."""

LEGEND = "▲ better, ▼ worse, ○ not told apart: unclear, or too few seeds (or only one) to tell"
"""What the marks mean."""


@attrs.frozen(kw_only=True)
class TableCell:
    """One cell: what it says, a lesser line beneath, and what it is sorted by."""

    text: str
    detail: str = ""
    sort: float | str | None = None
    """None sorts last in both directions."""
    mark: str = ""
    """The verdict, where the cell is a difference."""
    title: str = ""
    """Said on demand."""

    @property
    def aside(self) -> str:
        """The lesser line where it stands beside the text: in brackets."""
        return self.detail if self.detail.startswith("[") else f"({self.detail})"


@attrs.frozen(kw_only=True)
class Column:
    """One column of the table."""

    key: str
    title: str
    meaning: str
    numeric: bool = True


@attrs.frozen(kw_only=True)
class MainTable:
    """All of it; `rows[i]` belongs to `analysis.rows[i]`."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[TableCell, ...], ...]


EMPTY = TableCell(text=MISSING)


def metric_name(study: StudyRecord) -> str:
    """The quantity that the study compares: `test.accuracy`."""
    return f"{study.split}.{study.metric}"


def difference_title(title: str, metric: str) -> str:
    """The title of differences in a metric, with their unit where they have one."""
    unit = difference_unit(metric)
    return f"{title}, {unit}" if unit else title


def shown(value: object) -> str:
    """A value of a spec on one line; a list by its items."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} = {shown(item)}" for key, item in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings(values: dict[str, object], *, short: bool = False) -> str:
    """`optimizer.lr = 0.1, rounds = 4`; short leaves out the tables' names."""
    return ", ".join(f"{key.rpartition('.')[2] if short else key} = {shown(v)}" for key, v in values.items())


def main_table(analysis: Analysis) -> MainTable:
    """The table, without the columns in which no row has anything to say."""
    made = [(column, [cell(row) for row in analysis.rows]) for column, cell in _columns(analysis)]
    kept = [(c, cells) for c, cells in made if c.key == "arm" or any(cell != EMPTY for cell in cells)]
    return MainTable(
        columns=tuple(column for column, _ in kept),
        rows=tuple(zip(*(cells for _, cells in kept), strict=True)),
    )


def _columns(analysis: Analysis) -> Sequence[tuple[Column, Callable[[Row], TableCell]]]:
    study = analysis.study
    name = metric_name(study)
    against = (
        f"compared with {study.baseline}" if study.baseline is not None else "compared with the baseline"
    )
    extras = [f"{study.split}.{extra}" for extra in extra_metrics(analysis)]
    corrected = sum(row.comparison is not None and row.comparison.p is not None for row in analysis.rows)
    return [
        (Column(key="block", title="Block", meaning="comparisons stay within a block", numeric=False), _block),
        (Column(key="arm", title="Arm", meaning="the setting that is compared", numeric=False), _arm),
        (
            Column(key="tuned", title="Tuned", meaning="chosen on validation", numeric=False),
            lambda row: TableCell(text=settings(row.tuned, short=True), sort=settings(row.tuned)) if row.tuned else EMPTY,
        ),
        (Column(key="seeds", title="Seeds", meaning="seeds that have finished, of all"), _seeds),
        (
            Column(
                key="metric",
                title=titled(name),
                meaning=f"mean over seeds with its {100 * study.confidence:g} % interval",
            ),
            lambda row: _estimate(row, name),
        ),
        (
            Column(key="difference", title=difference_title("Difference", name), meaning=f"{against}, paired by seed"),
            lambda row: _difference(row.comparison, name),
        ),
        (Column(key="relative", title="Relative", meaning="the difference as a share of the baseline"), _relative),
        (
            Column(key="p", title="p (Holm)", meaning=f"paired permutation test, corrected for {corrected} comparisons"),
            _p,
        ),
        (
            Column(
                key="examples",
                title="Gained / lost",
                meaning="pairs of example and seed that only the arm, and only the baseline, gets right",
            ),
            _examples,
        ),
        *((_column(key), _mean(key)) for key in (*extras, "parameters", "rank")),
    ]  # fmt: skip


def _column(name: str) -> Column:
    return Column(key=name, title=titled(name), meaning=f"{quantity(name).meaning}; mean over seeds")


def _block(row: Row) -> TableCell:
    return TableCell(text=row.block, sort=row.block) if row.block else EMPTY


def _arm(row: Row) -> TableCell:
    return TableCell(
        text=row.arm, sort=row.arm, detail="baseline" if row.is_baseline else "", title=settings(row.values)
    )


def _seeds(row: Row) -> TableCell:
    there, away = len(row.seeds), len(row.missing)
    return TableCell(
        text=f"{there} of {there + away}" if away else str(there),
        sort=there,
        title=f"missing: {', '.join(map(str, row.missing))}" if away else "",
    )


def _estimate(row: Row, name: str) -> TableCell:
    found = row.metrics.get(name)
    if found is None:
        return EMPTY
    detail = interval(name, found.low, found.high)
    return TableCell(text=written(name, found.mean), detail=detail, sort=found.mean)


def _mean(name: str) -> Callable[[Row], TableCell]:
    def cell(row: Row) -> TableCell:
        found = row.metrics.get(name)
        return EMPTY if found is None else TableCell(text=written(name, found.mean), sort=found.mean)

    return cell


def _difference(comparison: Comparison | None, name: str) -> TableCell:
    if comparison is None:
        return EMPTY
    found = comparison.difference
    return TableCell(
        text=signed(name, found.mean),
        detail=interval(name, found.low, found.high, sign=True),
        sort=found.mean,
        mark=comparison.verdict,
        title=comparison.words,
    )


def _relative(row: Row) -> TableCell:
    comparison = row.comparison
    if comparison is None or comparison.relative is None:
        return EMPTY
    return TableCell(text=set_in_type(relative_text(comparison.relative)), sort=comparison.relative)


def _p(row: Row) -> TableCell:
    comparison = row.comparison
    if comparison is None or comparison.p_holm is None:
        return EMPTY
    bound = f"with {len(comparison.seeds)} seeds it cannot be smaller than {p_text(comparison.smallest_p)}"
    return TableCell(text=p_text(comparison.p_holm), sort=comparison.p_holm, title=bound)


def _examples(row: Row) -> TableCell:
    found = row.comparison.examples if row.comparison else None
    if found is None:
        return EMPTY
    return TableCell(
        text=f"{found.only_arm:,} / {found.only_baseline:,}",
        detail=p_sentence(found.p),
        sort=found.only_arm - found.only_baseline,
        title=f"both right: {found.both:,}, both wrong: {found.neither:,}",
    )
