"""`boostlora index`."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import click

from .common import json_option, runs_option
from .terminal import echo


@click.command("index")
@click.argument("sql", required=False)
@runs_option
@click.option("--rebuild", is_flag=True, help="Throw the index away first, and read every run again.")
@json_option
def command(sql: str | None, runs_folder: Path, rebuild: bool, as_json: bool) -> None:
    """Bring RUNS/index.sqlite up to date with the runs' files, and answer a question in SQL.

    \b
    Tables: runs    path, name, hash, status, reason, seed, rounds, planned, best_round, test_accuracy, test_loss,
                    validation_accuracy, validation_loss, parameters, rank, seconds, created, digest
            rounds  path, round, status, scale, failures, lost, gained, parameters, SPLIT_accuracy, SPLIT_loss,
                    rank, effective_rank, overlap, seconds
            options path, key (such as basis.use), value (JSON)
            cells   study, arm, block, seed, tuning (JSON), excluded, path

    \b
    boostlora index "SELECT arm, AVG(test_accuracy) FROM cells JOIN runs USING (path)
                     WHERE study = 'bases' GROUP BY arm"

    The files are the truth: the index can be removed at any time.
    """  # noqa: D301 - click reads the backspace
    from ..study.index import Index

    index = Index(runs_folder)
    found = index.refresh(rebuild=rebuild)
    for problem in found.unreadable:
        echo(f"warning: left out: {problem}", err=True)
    if sql is None:
        told = attrs.asdict(found)
        if as_json:
            echo(json.dumps({"path": str(index.path), **told}, indent=2))
        else:
            echo(f"{index.path}: {found.runs} runs, {found.read} read now, {found.removed} removed")
        return
    columns, rows = index.query(sql)
    if as_json:
        echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2))
        return
    _print(columns, rows)


def _print(columns: list[str], rows: list[tuple[object, ...]]) -> None:
    from rich.table import Table

    from .console import Console

    table = Table(box=None, header_style="bold", pad_edge=False)
    for place, title in enumerate(columns):
        numbers = all(isinstance(row[place], int | float | None) for row in rows)
        table.add_column(title, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if v is None else f"{v:.4g}" if isinstance(v, float) else str(v) for v in row))
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 160)
    console.print(table)
