"""`boostlora runs`."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from ..errors import UsageError
from .common import json_option, runs_option
from .layout import aligned, paragraph, without_dispensable
from .progress_display import late_progress
from .terminal import echo

if TYPE_CHECKING:
    from ..analysis.runs_table import Row


@click.command("runs")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@runs_option
@json_option
@click.option(
    "--csv", "as_csv", is_flag=True, help="Print CSV with every column, for spreadsheets and pandas."
)
def command(names: tuple[str, ...], runs_folder: Path, as_json: bool, as_csv: bool) -> None:
    """List all runs, newest first: how they ended, accuracy, loss, parameters, rank, time, and their study.

    NAME is a run's name or a quoted pattern such as 'paper-*'. Accuracy and loss are those after the last round. A damaged run is
    left out, and a warning says so. For the rounds of one run: boostlora show RUN

    \b
    boostlora runs
    boostlora runs quickstart 'paper-*'
    boostlora runs --csv > runs.csv

    In Python: pandas.DataFrame(boostlora.engine.runs_table("runs"))
    """  # noqa: D301 - click reads the backspace
    from ..analysis.runs_table import read_runs

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other; give one of them")
    with late_progress() as report:
        table = read_runs(runs_folder, names, report)
    if table.warning:
        echo(f"warning: {table.warning}", err=True)
    if as_json:
        echo(json.dumps([_finite(row) for row in table.rows], indent=2, allow_nan=False))
    elif as_csv:
        echo(_csv(table.rows), nl=False)
    elif table.rows:
        _print(table.rows)
    else:
        echo(f"no runs in {runs_folder} yet; start one with: boostlora run quickstart")


def _finite(row: Row) -> Row:
    """JSON has no NaN and no infinity."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def _csv(rows: Sequence[Row]) -> str:
    """All rows as one text, printed in a single call."""
    from ..analysis.runs_table import COLUMNS
    from ..foundation.markup import spreadsheet_text

    text = io.StringIO()
    sheet = csv.writer(text, lineterminator="\n")
    sheet.writerow(COLUMNS)
    for row in rows:
        cells = (row[name] for name in COLUMNS)
        sheet.writerow([spreadsheet_text(cell) if isinstance(cell, str) else cell for cell in cells])
    return text.getvalue()


@attrs.frozen
class _Column:
    title: str
    cell: Callable[[Row], str]


def _columns() -> tuple[_Column, ...]:
    from ..analysis.formats import number_text

    def metric(name: str) -> Callable[[Row], str]:
        return lambda row: number_text(row[name], name.replace("_", "."))  # pyright: ignore[reportArgumentType]

    def share(name: str) -> Callable[[Row], str]:
        return lambda row: "-" if row["test_rmse"] is not None else metric(name)(row)

    def plain(name: str) -> Callable[[Row], str]:
        return lambda row: "-" if row[name] is None else str(row[name])

    def count(name: str) -> Callable[[Row], str]:
        return lambda row: f"{row[name]:,}"

    return (
        _Column("run", lambda row: f"{row['name']}/{row['hash']}"),
        _Column("status", plain("status")),
        _Column("rounds", lambda row: f"{plain('rounds')(row)}/{row['planned_rounds']}"),
        _Column("best", plain("best_round")),
        _Column("valid %", share("validation_accuracy")),
        _Column("test %", share("test_accuracy")),
        _Column("valid RMSE", metric("validation_rmse")),
        _Column("test RMSE", metric("test_rmse")),
        _Column("valid loss", metric("validation_loss")),
        _Column("test loss", metric("test_loss")),
        _Column("trained", count("parameters")),
        _Column("stored", count("stored")),
        _Column("rank", plain("rank")),
        _Column("seconds", lambda row: f"{row['seconds']:.1f}"),
        _Column("seed", plain("seed")),
        _Column("date (UTC)", lambda row: str(row["created"])[:16].replace("T", " ")),
        _Column("study", plain("study")),
        _Column("arm", plain("arm")),
    )


LEFT = frozenset({"run", "status", "date (UTC)", "study", "arm"})
"""Left-aligned columns."""
DISPENSABLE = (
    *("valid loss", "stored", "seconds", "test loss", "arm", "study", "seed"),
    *("trained", "rank", "best", "date (UTC)", "valid RMSE"),
)
"""Columns that a narrow terminal does without, the most dispensable first."""


def _has_values(title: str, rows: Sequence[Row]) -> bool:
    """Whether a column of only some runs has a value: those of studies, of regressions, and of all other tasks."""
    if title in {"study", "arm"}:
        return any(row["study"] for row in rows)
    if title.endswith("RMSE"):
        return any(row["test_rmse"] is not None for row in rows)
    return not title.endswith("%") or any(row["test_rmse"] is None for row in rows)


def _print(rows: Sequence[Row]) -> None:
    from .console import Console

    console = Console(highlight=False, soft_wrap=True)
    columns = {
        column.title: [column.title, *map(column.cell, rows)]
        for column in _columns()
        if _has_values(column.title, rows)
    }
    kept, dropped = without_dispensable(columns, DISPENSABLE)
    left = [place for place, title in enumerate(kept) if title in LEFT]
    for number, line in enumerate(aligned(list(zip(*kept.values(), strict=True)), left, gap=2)):
        console.print(line, style=None if number else "bold", markup=False)
    if dropped:
        for line in paragraph(f"omitted, for a wider terminal or --csv: {', '.join(dropped)}", "  "):
            console.print(line, style="dim")
