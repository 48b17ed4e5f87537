"""A study's table on the terminal, with the words that go with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..foundation.shell import command_line
from ..study.record import StudyRecord
from .study_progress import say
from .terminal import echo


def show_results(record: StudyRecord, runs: Path, *, as_json: bool, quiet: bool) -> None:
    """Print what the study's finished cells say."""
    if quiet:
        return
    from ..analysis.analyse import analyse

    analysis = analyse(runs, record, curves=False)
    if as_json:
        from ..analysis.summary import summary

        say("study_finished", **summary(analysis))
        return
    print_table(analysis)
    echo(f"look closer: {command_line('boostlora', 'report', record.name)}")


def print_table(analysis: Any) -> None:
    """The tables of an analysis, of results and of cost, and its notes."""
    from ..analysis.table import cost_lines, table_lines
    from .console import Console

    console = Console(highlight=False, soft_wrap=True)
    width = console.width if console.is_terminal else 1000
    console.print()
    for line in table_lines(analysis, width):
        console.print(line, markup=False)
    costs = cost_lines(analysis, width)
    for line in ["", *costs] if costs else []:
        console.print(line, markup=False)
    for note in analysis.notes:
        console.print(f"note: {note}", style="yellow", markup=False)
