"""`boostlora status`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from ..foundation.counts import count_text
from ..foundation.shell import command_line
from .common import json_option, runs_option
from .terminal import echo

if TYPE_CHECKING:
    from ..study.record import StudyRecord
    from ..study.states import CellState
    from .console import Console

MOST_CAUSES, MOST_CELLS = 10, 3
"""Causes of failures that are shown, and cells named for each."""


@click.command("status")
@click.argument("study", required=False)
@runs_option
@click.option("--cells", "show_cells", is_flag=True, help="List every cell.")
@json_option
def command(study: str | None, runs_folder: Path, show_cells: bool, as_json: bool) -> None:
    """Show the progress of STUDY's cells, and why cells failed; without STUDY, of all studies.

    It only reads files, so it works from another terminal or machine while the study runs.
    """
    from ..study.states import states_of, study_folder
    from ..study.store import find_study, study_names

    names = [study] if study is not None else study_names(runs_folder)
    if not names:
        echo(f"no studies in {runs_folder} yet; start one with: boostlora ablate ablations/bases")
        return
    found = [find_study(name, runs_folder) for name in names]
    if as_json:
        content = [_as_json(record, states_of(runs, record)) for runs, record in found]
        echo(json.dumps(content[0] if study is not None else content, indent=2))
        return
    for number, (runs, record) in enumerate(found):
        if number:
            echo()
        _print(
            study_folder(_short(runs), record.name), record, states_of(runs, record), show_cells=show_cells
        )


def _short(path: Path) -> Path:
    """A path relative to the current folder, where it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _as_json(record: StudyRecord, states: Sequence[CellState]) -> dict[str, Any]:
    counts = {
        status: sum(s.status == status for s in states) for status in dict.fromkeys(s.status for s in states)
    }
    return {
        "name": record.name,
        "sha256": record.sha256,
        "counts": counts,
        "cells": [attrs.asdict(s) for s in states],
    }


def _print(folder: Path, record: StudyRecord, states: Sequence[CellState], *, show_cells: bool) -> None:
    from .console import Console
    from .study_progress import COLOURS, arms_table

    console = Console(highlight=False)
    console.print(f"[bold]{record.name}[/bold] · study {record.sha256[:12]}", markup=True)
    rows: dict[tuple[str, str], dict[str, CellState]] = {}
    for state in states:
        if state.status != "excluded":
            rows.setdefault((state.cell.block, state.cell.arm), {})[state.cell.key] = state
    console.print(arms_table([(block, arm, list(states.values())) for (block, arm), states in rows.items()]))
    if excluded := sum(s.status == "excluded" for s in states):
        console.print(
            f"{count_text(excluded, 'cell')} excluded; include with: boostlora ablate SPEC --include …"
        )
    if show_cells:
        console.print()
        for state in states:
            word = f"{state.status:12}"
            ended = f" · {state.ended}" if state.ended else ""
            console.print(word, style=COLOURS.get(state.status), end="", markup=False)
            console.print(
                f"{state.cell.key}  {state.cell.label} · {count_text(state.rounds, 'round')}{ended}",
                markup=False,
                soft_wrap=True,
            )
    _print_failures(console, folder, states)


def _print_failures(console: Console, folder: Path, states: Sequence[CellState]) -> None:
    """Print each cause of failure with its cells, and the command that retries them."""
    causes = dict[str, dict[str, str]]()
    for state in states:
        if state.status == "failed":
            causes.setdefault(state.cause, {})[state.cell.key] = f"{state.cell.label} ({state.cell.key})"
    if not causes:
        return
    for cause, cells in list(causes.items())[:MOST_CAUSES]:
        named = list(cells.values())
        text = "; ".join(named[:MOST_CELLS]) + (
            f"; and {len(named) - MOST_CELLS} more" if named[MOST_CELLS:] else ""
        )
        console.print(f"failed: {' '.join(cause.split())}", style="red", markup=False, soft_wrap=True)
        console.print(f"        {text}", style="red", markup=False, soft_wrap=True)
    if len(causes) > MOST_CAUSES:
        console.print(f"… and {len(causes) - MOST_CAUSES} more causes; see --json", style="red")
    retry = command_line("boostlora", "ablate", folder / "study.toml", "--retry")
    console.print(
        f"logs and tracebacks: {folder}/logs, {folder}/failures · retry: {retry}",
        markup=False,
        soft_wrap=True,
    )
