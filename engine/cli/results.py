"""A study's results on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..foundation.shell import command_line
from ..study.record import StudyRecord
from .layout import paragraph
from .study_progress import print_event
from .terminal import echo

if TYPE_CHECKING:
    from ..analysis.model import Analysis


def show_results(record: StudyRecord, runs: Path, *, as_json: bool, quiet: bool) -> None:
    """Print the results of the study's finished cells."""
    if quiet:
        return
    from ..analysis.analyse import analyse

    analysis = analyse(runs, record, curves=False)
    if as_json:
        from ..analysis.summary import summary

        print_event("study_finished", **summary(analysis))
        return
    print_table(analysis)
    echo(f"full report: {command_line('boostlora', 'report', record.name)}")


def print_table(analysis: Analysis) -> None:
    """Print the tables of results and of cost, and the notes."""
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
        for line in paragraph(f"note: {note}", "  "):
            console.print(line, style="yellow", markup=False)
