"""What `check` says of a study: its arms, its cells, and their cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from ..boosting.plan import Plan
from ..study.cost import Cost, cost_of
from ..study.scheduler import partition_cells, plans_of
from ..study.store import known_record, with_exclusions
from ..study.study_loader import Study, load_study
from .common import load_registry
from .terminal import echo

WIDE = 120
MOST_CELLS = 24
"""Cells that are listed unasked."""


def check_study(
    spec: str,
    settings: tuple[str, ...],
    plugin_files: tuple[Path, ...],
    runs: Path,
    *,
    as_json: bool,
    quiet: bool,
    gpu: str,
    show_cells: bool,
    resolved: bool,
) -> None:
    """Validate a study and print its plan, or its whole spec; nothing is run."""
    study = load_study(spec, load_registry(plugin_files), runs, settings)
    study = with_exclusions(study, known_record(runs, study.record.name), (), ())
    plans = plans_of(study, set(study.distinct))
    if resolved:
        echo(study.toml, nl=False)
        return
    todo = partition_cells(study, runs)
    cost = cost_of(study, plans, {state.cell.key for state in todo.open}, runs)
    if as_json:
        arms = [_arm_json(study, place, plan) for place, plan in plans.items()]
        cells = [attrs.asdict(cell) for cell in study.record.cells]
        head = {"name": study.record.name, "study_sha256": study.record.sha256}
        content = {
            **head,
            "arms": arms,
            "cells": cells,
            "finished": len(todo.finished),
            "cost": attrs.asdict(cost),
        }
        echo(json.dumps({**content, "notes": study.record.notes}, indent=2))
    elif not quiet:
        _print(study, plans, cost, finished=len(todo.finished), show_cells=show_cells, gpu=gpu)


def _arm_json(study: Study, place: tuple[str, str], plan: Plan) -> dict[str, Any]:
    block, arm = place
    cells = [cell.key for cell in study.record.cells if (cell.block, cell.arm) == place]
    return {"arm": arm, "block": block, "cells": cells, "parameters": plan.parameters, "rounds": plan.rounds}


def _print(
    study: Study,
    plans: Mapping[tuple[str, str], Plan],
    cost: Cost,
    *,
    finished: int,
    show_cells: bool,
    gpu: str,
) -> None:
    from .console import Console

    record = study.record
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, WIDE)  # a line that wraps is better than a name that is broken
    console.print(f"[bold]{record.name}[/bold] · study {record.sha256[:12]}: valid")
    if record.description:
        console.print(record.description, markup=False)
    excluded = f" ({len(record.excluded)} excluded)" if record.excluded else ""
    count = {"arms": len(record.arms), "blocks": len(record.blocks), "seeds": len(record.seeds)}
    told = " · ".join(
        f"{n} {word if n != 1 else word[:-1]}" for word, n in count.items() if word != "blocks" or n > 1
    )
    console.print(f"{told} · {len(study.distinct)} cells{excluded} · executor {record.executor}")
    against = f"against {record.baseline}, " if record.baseline else ""
    model = {"last": "after the last round", "best": "at the best round on validation"}[record.at]
    console.print(
        f"compares {record.split} {record.metric} {model}, {against}{record.confidence:.0%} intervals",
        markup=False,
    )
    for line in _start_lines(study):
        console.print(line, markup=False)
    console.print()
    console.print(_arms(study, plans))
    if show_cells or len(study.distinct) <= MOST_CELLS:
        console.print()
        for key, cell in study.distinct.items():
            console.print(f"{key}  {cell.record.label}", markup=False)
    console.print()
    for line in (*cost_lines(study, cost, finished), *_gpu_line(cost, gpu)):
        console.print(line, markup=False)
    for note in (*record.notes, *dict.fromkeys(n for plan in plans.values() for n in plan.notes)):
        console.print(f"note: {note}", style="yellow", markup=False)


def _start_lines(study: Study) -> list[str]:
    """Where cells go on from, each place once."""
    from .sizes import start_line

    return list(dict.fromkeys(start_line(c.spec) for c in study.distinct.values() if c.spec.start.given))


def _arms(study: Study, plans: Mapping[tuple[str, str], Plan]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    blocks = any(block for block, _ in plans)
    titles = (
        *(["block"] if blocks else []),
        "arm",
        "rounds",
        "steps a round",
        "numbers a round",
        "in all",
        "cells",
    )
    for title in titles:
        table.add_column(title, justify="left" if title in {"block", "arm"} else "right")
    for (block, arm), plan in plans.items():
        included = set(study.distinct)
        cells = [
            c
            for c in study.cells
            if (c.record.block, c.record.arm) == (block, arm) and c.record.key in included
        ]
        rounds, steps = cells[0].spec.rounds, cells[0].spec.optimizer.steps
        most = "up to " * (len(plan.ranks) > 1)
        numbers = (f"{most}{plan.parameters}", str(plan.total_parameters)) if rounds else ("-", "-")
        name = f"{arm} (baseline)" if arm == study.record.baseline else arm
        table.add_row(
            *([escape(block)] if blocks else []),
            escape(name),
            str(rounds),
            str(steps),
            *numbers,
            str(len(cells)),
        )
    return table


def cost_lines(study: Study, cost: Cost, finished: int) -> list[str]:
    """What is left to do, in words."""
    from .sizes import size_text
    from .study_progress import duration

    if not cost.cells:
        return [f"all {finished} cells are there already: nothing to run"]
    lines = [
        f"to run: {cost.cells} cells ({finished} are there already), {cost.rounds:,} rounds, {cost.steps:,} optimiser steps",
        f"examples: {cost.trained:,} trained on, {cost.evaluated:,} evaluated",
        f"memory: {size_text(cost.memory_bytes)} in the largest cell (without activations)",
        f"disk: about {size_text(cost.disk_bytes)} of updates",
    ]
    if cost.seconds is None:
        lines.append("time: not known yet; no finished run here has the same task, model and backend")
    else:
        workers = getattr(study.executor, "workers", 0) or _cores(cost.cells)
        lines.append(
            f"time: about {duration(max(1.0, cost.seconds / min(workers, cost.cells)))} on {workers} worker{'s' * (workers != 1)}, "
            f"judged by {cost.reference_runs} finished run{'s' * (cost.reference_runs != 1)} of the same task, model and backend"
        )
    return lines


def _gpu_line(cost: Cost, gpu: str) -> list[str]:
    from .workloads import LEAST_SECONDS, time_line

    if cost.gpu_seconds is None or cost.gpu_seconds[gpu] < LEAST_SECONDS:
        return []
    return [f"all cells one after the other: {time_line(cost.gpu_seconds[gpu], gpu)}"]


def _cores(cells: int) -> int:
    from ..foundation.hardware import accelerators, cores

    return min(len(accelerators()) or cores(), cells)
