"""The columns of a run's table: one line a round."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from ..analysis.run_findings import is_diverged
from ..contracts import Metrics
from ..contracts.records import RoundRecord
from ..foundation.counts import count_text
from ..sdk.metrics import is_regression
from .layout import paragraph

DISPENSABLE = ("eff. rank", "seconds", "gained", "trained on", "overlap", "zero variance")
"""Columns that a narrow terminal omits, in this order."""


@attrs.frozen
class Column:
    """One column: titles for wide and narrow terminals, its meaning, and the text of a cell."""

    long: str
    short: str
    meaning: str
    cell: Callable[[RoundRecord], str]


def percent(share: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * share:.1f}"


def span(values: Sequence[float], form: str = "{:g}") -> str:
    """The common value, or the smallest and the largest."""
    if not values:
        return "-"
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low}-{high}"


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.1f}" if values else "-"


def _overlap(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0e}" if value < 1e-3 else f"{value:.3f}"


def _trained(text: str) -> Callable[[RoundRecord], str]:
    """A cell that is empty for the base, where nothing is trained."""
    return lambda r: "-" if r.round == 0 else str(getattr(r, text))


COLUMNS: tuple[Column, ...] = (
    Column("round", "round", "0 is the base model", lambda r: str(r.round)),
    Column("failures", "fails", "training examples wrong before the round", lambda r: str(r.failures)),
    Column("trained on", "used", "different examples drawn into batches", _trained("trained_on")),
    Column("train %", "train", "accuracy after the round", lambda r: percent(r.train.accuracy)),
    Column("valid %", "valid", "accuracy on validation", lambda r: percent(r.validation.accuracy)),
    Column("test %", "test", "accuracy on the test split", lambda r: percent(r.test.accuracy)),
    Column(
        "valid loss",
        "loss",
        "mean loss on validation: nats, or in a regression the squared error in variances",
        lambda r: f"{r.validation.loss:.3f}",
    ),
    Column("lost", "lost", "training examples right before, wrong now", _trained("lost")),
    Column("gained", "gained", "training examples wrong before, right now", _trained("gained")),
    Column("parameters", "params", "parameters trained in the round", _trained("parameters")),
    Column("rank", "rank", "numerical rank of all updates, per site", lambda r: span(list(r.rank.values()))),
    Column(
        "eff. rank",
        "eff",
        "entropy effective rank, mean over sites",
        lambda r: _mean(list(r.effective_rank.values())),
    ),
    Column("overlap", "cos", "largest cosine between two rounds' directions", lambda r: _overlap(r.overlap)),
    Column("seconds", "sec", "time of the round", lambda r: f"{sum(r.seconds.values()):.2f}"),
)


REWARDS: tuple[Column, ...] = (
    Column(
        "reward",
        "rewrd",
        "mean reward of the round's answers (reward objectives)",
        lambda r: "-" if r.rollouts is None else f"{r.rollouts.reward:.3f}",
    ),
    Column(
        "zero variance",
        "zvar",
        "groups of answers with equal rewards, which are dropped",
        lambda r: "-" if r.rollouts is None else f"{r.rollouts.zero_variance}/{r.rollouts.groups}",
    ),
)
"""Columns of runs with rewards, after the examples trained on."""


ERRORS: tuple[Column, ...] = tuple(
    Column(
        f"{short} RMSE",
        f"{short[0]}RMSE",
        f"root mean squared error on {split}, in the target's units (regression)",
        lambda r, split=split: rmse_text(getattr(r, split)),
    )
    for short, split in (("valid", "validation"), ("test", "test"))
)
"""Columns of regressions, instead of accuracies."""


def rmse_text(metrics: Metrics) -> str:
    """The RMSE of a split with four digits."""
    value = metrics.measures.get("rmse")
    if value is None:
        return "-"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


@attrs.frozen(kw_only=True)
class RoundTable:
    """The table of a run's rounds, in lines of at most `width` characters without remarks."""

    width: int
    base: RoundRecord
    rewards: bool = False

    def header(self) -> str:
        """The title line."""
        return " ".join(title.rjust(size) for _, title, size in self._columns)

    def row(self, record: RoundRecord) -> str:
        """A round's line, with remarks and a refused update's reason at the end. `!` after the number: the loss has diverged."""
        cells = [column.cell(record) for column, _, _ in self._columns]
        cells[0] += "!" * is_diverged(record, self.base)
        line = " ".join(cell.rjust(size) for cell, (_, _, size) in zip(cells, self._columns, strict=True))
        reason = "" if record.status in {"base", "merged"} else f"{record.status}: {record.reason}"
        found = remarks(record)
        return f"{line}{found}{', ' if found and reason else '  ' if reason else ''}{reason}"

    @property
    def _columns(self) -> list[tuple[Column, str, int]]:
        shares = {"train %", "valid %", "test %"}
        columns = list(COLUMNS)
        if is_regression(self.base.validation):
            start = [column.long for column in columns].index("train %")
            columns = [column for column in columns if column.long not in shares]
            columns[start:start] = ERRORS
        if self.rewards:
            columns[3:3] = REWARDS
        return fitting(columns, self.width)


def remarks(record: RoundRecord) -> str:
    """Remarks on a refit and on omitted sites, after two spaces; empty if there are none."""
    notes = ["refit"] if record.refit else []
    notes += (
        [f"{record.adapted} of {count_text(len(record.rank), 'site')}"] if record.adapted is not None else []
    )
    return f"  {', '.join(notes)}" if notes else ""


def legend() -> list[str]:
    """The columns with their titles on wide and on narrow terminals, and their meanings."""
    rows = [(c.long, c.short if c.short != c.long else "", c.meaning) for c in (*COLUMNS, *ERRORS, *REWARDS)]
    rows.append(("!", "", "after a round: its loss is more than ten times the base's"))
    rows.append(("refit", "", "after a line: the round trained all earlier cores again, jointly"))
    widths = [max(len(row[place]) for row in rows) for place in range(2)]
    starts = [f"{long:>{widths[0]}}  {short:<{widths[1]}}  " for long, short, _ in rows]
    return [
        line
        for start, (_, _, meaning) in zip(starts, rows, strict=True)
        for line in paragraph(f"{start}{meaning}", " " * len(start))
    ]


def fitting(columns: Sequence[Column], width: int) -> list[tuple[Column, str, int]]:
    """Columns with titles and widths: long titles if they fit, else short ones, else fewer columns."""
    for title in ("long", "short"):
        found = [(column, getattr(column, title)) for column in columns]
        if _total(found) <= width:
            break
    for name in DISPENSABLE:
        if _total(found) > width:
            found = [(column, title) for column, title in found if column.long != name]
    return [(column, title, max(5, len(title))) for column, title in found]


def _total(columns: Sequence[tuple[Column, str]]) -> int:
    return sum(max(5, len(title)) + 1 for _, title in columns) - 1
