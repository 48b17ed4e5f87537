"""Tables of a report, independent of the output format: results, costs and tuning candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from ..analysis.formats import difference_unit, p_sentence, p_text, relative_text
from ..analysis.model import Analysis, Candidate, Comparison, Row
from ..analysis.table import extra_metrics
from ..foundation.counts import count_text
from ..study.record import StudyRecord
from .quantities import MISSING, format_signed, format_value, interval, quantity, title_with_unit, typeset

MARKS = {"better": "▲", "worse": "▼", "unclear": "○", "too few seeds": "○", "one seed": "○"}
"""Shown beside a difference, so that verdicts do not depend on colour."""

LEGEND = "▲ better, ▼ worse, ○ no significant difference: unclear, or too few seeds (or only one)"
"""Legend of the marks."""


@attrs.frozen(kw_only=True)
class TableCell:
    """One cell: its text, a small line beneath it, and its sort key."""

    text: str
    detail: str = ""
    sort: float | str | None = None
    """None sorts last in both directions."""
    mark: str = ""
    """The verdict, if the cell is a difference."""
    title: str = ""
    """Tooltip."""

    @property
    def aside(self) -> str:
        """The small line in brackets, for formats that put it beside the text."""
        return self.detail if self.detail.startswith("[") else f"({self.detail})"


@attrs.frozen(kw_only=True)
class Column:
    """One column of the table."""

    key: str
    title: str
    meaning: str
    numeric: bool = True


@attrs.frozen(kw_only=True)
class ReportTable:
    """Columns and rows of a table."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[TableCell, ...], ...]


EMPTY = TableCell(text=MISSING)


def metric_name(study: StudyRecord) -> str:
    """The compared quantity: `test.accuracy`."""
    return f"{study.split}.{study.metric}"


def difference_title(title: str, metric: str) -> str:
    """The title of differences in a metric, with the unit if there is one."""
    unit = difference_unit(metric)
    return f"{title}, {unit}" if unit else title


def format_setting(value: object) -> str:
    """Format a spec's value on one line."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(format_setting(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} = {format_setting(item)}" for key, item in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings(values: dict[str, object], *, short: bool = False) -> str:
    """`optimizer.lr = 0.1, rounds = 4`; `short` omits the names of tables."""
    return ", ".join(
        f"{key.rpartition('.')[2] if short else key} = {format_setting(v)}" for key, v in values.items()
    )


def main_table(analysis: Analysis) -> ReportTable:
    """The table of results without empty columns; `rows[i]` belongs to `analysis.rows[i]`."""
    made = [(column, [cell(row) for row in analysis.rows]) for column, cell in _columns(analysis)]
    kept = [(c, cells) for c, cells in made if c.key == "arm" or any(cell != EMPTY for cell in cells)]
    return ReportTable(
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
        (Column(key="arm", title="Arm", meaning="the compared setting", numeric=False), _arm),
        (
            Column(key="tuned", title="Tuned", meaning="chosen on validation", numeric=False),
            lambda row: TableCell(text=settings(row.tuned, short=True), sort=settings(row.tuned)) if row.tuned else EMPTY,
        ),
        (Column(key="seeds", title="Seeds", meaning="finished seeds, of all"), _seeds),
        (
            Column(
                key="metric",
                title=title_with_unit(name),
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
    return Column(key=name, title=title_with_unit(name), meaning=f"{quantity(name).meaning}; mean over seeds")


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
    return TableCell(text=format_value(name, found.mean), detail=detail, sort=found.mean)


def _mean(name: str) -> Callable[[Row], TableCell]:
    def cell(row: Row) -> TableCell:
        found = row.metrics.get(name)
        return EMPTY if found is None else TableCell(text=format_value(name, found.mean), sort=found.mean)

    return cell


def _difference(comparison: Comparison | None, name: str) -> TableCell:
    if comparison is None:
        return EMPTY
    found = comparison.difference
    return TableCell(
        text=format_signed(name, found.mean),
        detail=interval(name, found.low, found.high, sign=True),
        sort=found.mean,
        mark=comparison.verdict,
        title=comparison.words,
    )


def _relative(row: Row) -> TableCell:
    comparison = row.comparison
    if comparison is None or comparison.relative is None:
        return EMPTY
    return TableCell(text=typeset(relative_text(comparison.relative)), sort=comparison.relative)


def _p(row: Row) -> TableCell:
    comparison = row.comparison
    if comparison is None or comparison.p_holm is None:
        return EMPTY
    bound = f"smallest possible p with {count_text(len(comparison.seeds), 'seed')}: {p_text(comparison.smallest_p)}"
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


COST_COLUMNS = (
    "rounds",
    "steps",
    "examples",
    "parameters",
    "stored",
    "lost",
    "gained",
    "seconds",
    "memory_bytes",
)

COST_NOTE = (
    "Means over seeds. Stored parameters are those needed to rebuild the model from its base: the trained parameters, and "
    "data-driven frames; singular directions of the base and random ones can be recomputed. Lost and gained "
    "count training examples over all rounds. Time is that of whole runs, with whatever else the machine was running; compare it "
    "only between arms of one study."
)
"""Explains the table of costs."""


def cost_table(analysis: Analysis) -> ReportTable | None:
    """A row per arm and block, in the study's order, without empty columns; None if all are empty."""
    names = [name for name in COST_COLUMNS if any(name in row.metrics for row in analysis.rows)]
    if not names:
        return None
    several = any(row.block for row in analysis.rows)
    columns = (
        *(
            [Column(key="block", title="Block", meaning="part of the study", numeric=False)]
            if several
            else []
        ),
        Column(key="arm", title="Arm", meaning="the compared setting", numeric=False),
        *(
            Column(key=n, title=title_with_unit(n), meaning=f"{quantity(n).meaning}; mean over seeds")
            for n in names
        ),
    )
    return ReportTable(
        columns=columns,
        rows=tuple(
            (
                *([TableCell(text=row.block, sort=row.block)] if several else []),
                TableCell(text=row.arm, sort=row.arm),
                *(_cost_cell(row, name) for name in names),
            )
            for row in analysis.rows
        ),
    )


def _cost_cell(row: Row, name: str) -> TableCell:
    found = row.metrics.get(name)
    if found is None:
        return EMPTY
    detail = interval(name, found.low, found.high) if name in {"lost", "gained"} else ""
    return TableCell(text=format_value(name, found.mean), detail=detail, sort=found.mean)


CHOSEN = "✓ chosen"


def tuning_table(analysis: Analysis) -> ReportTable | None:
    """A row per candidate, in the study's order; None if nothing is tuned.

    It has no test metric, so that nobody tunes on the test split.
    """
    if not analysis.candidates:
        return None
    name = f"validation.{analysis.study.metric}"
    columns = (
        Column(key="block", title="Block", meaning="each block is tuned separately", numeric=False),
        Column(key="arm", title="Arm", meaning="the tuned setting", numeric=False),
        Column(key="candidate", title="Candidate", meaning="the candidate values", numeric=False),
        Column(key="seeds", title="Seeds", meaning="seeds of its validation score"),
        Column(
            key="validation", title=title_with_unit(name), meaning="mean over these seeds with its interval"
        ),
        Column(key="chosen", title="Chosen", meaning="the arm is reported at this candidate", numeric=False),
    )
    rows = tuple(_candidate_row(candidate, name) for candidate in analysis.candidates)
    if any(candidate.block for candidate in analysis.candidates):
        return ReportTable(columns=columns, rows=rows)
    return ReportTable(columns=columns[1:], rows=tuple(row[1:] for row in rows))


def _candidate_row(candidate: Candidate, name: str) -> tuple[TableCell, ...]:
    found, values = candidate.validation, settings(candidate.tuning, short=True)
    score = EMPTY
    if found is not None:
        detail = interval(name, found.low, found.high)
        score = TableCell(text=format_value(name, found.mean), detail=detail, sort=found.mean)
    return (
        TableCell(text=candidate.block, sort=candidate.block),
        TableCell(text=candidate.arm, sort=candidate.arm),
        TableCell(text=values, sort=values, title=settings(candidate.tuning)),
        TableCell(
            text=str(len(candidate.seeds)), sort=len(candidate.seeds), title=_candidate_seeds(candidate)
        ),
        score,
        TableCell(text=CHOSEN, sort=0) if candidate.chosen else TableCell(text="", sort=1),
    )


def _candidate_seeds(candidate: Candidate) -> str:
    return f"seeds {', '.join(map(str, candidate.seeds))}" if candidate.seeds else "no seed has finished"
