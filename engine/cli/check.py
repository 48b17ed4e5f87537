"""`boostlora check`."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from ..foundation.counts import count_text
from .common import json_option, load_registry, plugin_option, quiet_option, runs_option, set_option
from .layout import aligned, paragraph
from .terminal import echo
from .units import duration, size_text
from .workloads import LEAST_SECONDS, gpu_option, seconds_by_class, time_line, workload_lines

if TYPE_CHECKING:
    from ..boosting.capacity import SitePlan
    from ..boosting.plan import Plan
    from ..registry import Registry
    from ..runs.directory import RunDirectory
    from ..spec import Spec
    from ..study.cost import Cost
    from ..study.study_loader import Study
    from .console import Console

MOST_SITES = 20
"""With more sites, equal layers share a row."""
MOST_COLUMNS = 30
"""Columns of a table that are listed."""
MOST_CELLS = 24
"""Cells that are listed without --cells."""


@click.command("check")
@click.argument("spec")
@set_option
@plugin_option
@runs_option
@json_option
@quiet_option
@gpu_option
@click.option("--cells", "show_cells", is_flag=True, help="List every cell of a study.")
@click.option("--resolved", is_flag=True, help="Print the resolved spec with all defaults, not the plan.")
def command(
    spec: str,
    settings: tuple[str, ...],
    plugin_files: tuple[Path, ...],
    runs_folder: Path,
    as_json: bool,
    quiet: bool,
    gpu: str,
    show_cells: bool,
    resolved: bool,
) -> None:
    """Validate SPEC and print its plan. Nothing is trained, and no weights are loaded.

    For a study: its arms and cells, which of them are in RUNS already, and the cost of the rest.
    """
    from ..spec.document import find_spec, load

    registry = load_registry(plugin_files, spec)
    if "ablate" in load(find_spec(spec), settings).tree:
        checked = _checked_study(spec, registry, runs_folder, settings, gpu=gpu, show_cells=show_cells)
    else:
        checked = _checked_run(spec, registry, runs_folder, settings, gpu=gpu)
    if resolved:
        echo(checked.toml, nl=False)
    elif as_json:
        echo(json.dumps(checked.content, indent=2))
    elif not quiet:
        checked.show()


@attrs.frozen(kw_only=True)
class Checked:
    """A valid spec or study."""

    toml: str
    """Resolved, with all defaults."""
    content: Mapping[str, Any]
    """The plan as JSON types."""
    show: Callable[[], None]
    """Prints the plan."""


def _checked_run(
    spec: str, registry: Registry, runs: Path, settings: tuple[str, ...], *, gpu: str
) -> Checked:
    """Validate a spec, and the run that it continues."""
    from ..boosting.experiment import prepare
    from ..boosting.inherited_rounds import check_start
    from ..spec.resolve import load_spec

    loaded = load_spec(spec, registry, settings)
    prepared = prepare(loaded)
    check_start(prepared, _begun(runs / loaded.head.name / loaded.short_hash))
    plan = prepared.plan
    content = {"name": loaded.head.name, "spec_sha256": loaded.sha256, "plan": plan.as_json()}
    if plan.workload is not None:
        content["seconds"] = seconds_by_class(plan.workload)
    return Checked(toml=loaded.dump(), content=content, show=partial(_print_plan, loaded, plan, gpu))


def _print_plan(spec: Spec, plan: Plan, gpu: str) -> None:
    from .console import Console
    from .display import describe

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{spec.head.name}[/bold] · spec {spec.short_hash}: valid")
    for line in describe(spec, plan):
        _print_text(console, line)
    if spec.start.given:
        _print_text(console, _start_line(spec))
    for line in column_lines(plan):
        console.print(line, markup=False)
    _print_table(console, _site_rows(plan), left=(0,))
    fresh = spec.boosting.fresh_in(spec.rounds)
    refits = spec.rounds - fresh
    again = f", trained again in {refits} refit{'s' * (refits > 1)}" if refits else ""
    most = "up to " * (len(plan.ranks) > 1)
    parameters = (
        f"{most}{plan.parameters} a round, {plan.total_parameters} in {count_text(fresh, 'round')}{again}"
    )
    console.print(f"trained parameters: {parameters}")
    for line in calibration_lines(spec, plan):
        _print_text(console, line)
    console.print(
        f"memory: weights {size_text(plan.weight_bytes)}, boosting adds {size_text(plan.extra_bytes)} (without activations)"
    )
    for line in workload_lines(plan.workload, plan.memory_bytes, gpu):
        _print_text(console, line)
    console.print(f"on disk: about {size_text(plan.update_bytes)} of updates a round")
    for note in plan.notes:
        _print_text(console, f"note: {note}", style="yellow")


def _print_text(console: Console, text: str, style: str | None = None) -> None:
    for line in paragraph(text, "  "):
        console.print(line, style=style, markup=False)


def _print_table(console: Console, rows: Sequence[Sequence[str]], left: Collection[int]) -> None:
    for number, line in enumerate(aligned(rows, left, gap=2)):
        console.print(line, style=None if number else "bold", markup=False)


def column_lines(plan: Plan) -> list[str]:
    """What the columns of a table become, those left out by name, the inputs, and the memory of the data; nothing for other data."""
    if not plan.columns:
        return []
    used = [column for column in plan.columns if column.width]
    left_out = [column for column in plan.columns if not column.width]
    rows = [(c.name, c.kind, str(c.width), c.note) for c in used[:MOST_COLUMNS]]
    lines = list(aligned([("column", "kind", "inputs", "note"), *rows], (0, 1, 3), gap=2))
    if len(used) > MOST_COLUMNS:
        lines.append(f"and {len(used) - MOST_COLUMNS:,} more")
    for column in left_out[:MOST_COLUMNS]:
        lines += paragraph(f"left out: {column.name} ({column.note})", "  ")
    if len(left_out) > MOST_COLUMNS:
        lines.append(f"and {len(left_out) - MOST_COLUMNS:,} more are left out")
    size = size_text(plan.data_bytes)
    return [*lines, f"inputs: {plan.inputs:,} from {count_text(len(used), 'column')}; the data takes {size}"]


def _site_rows(plan: Plan) -> list[Sequence[str]]:
    """A title line and a row for each site: its shape, its directions, how many the SVD must give, and the rounds that they suffice for."""
    rows: list[Sequence[str]] = [("site", "shape", "directions", "from SVD", "max rounds")]
    for name, site in _rows(plan.sites):
        capacity = "any" if site.capacity is None else str(site.capacity)
        shape = f"{site.site.shape[0]} x {site.site.shape[1]}"
        rows.append((name, shape, str(site.site.width), str(site.depth), capacity))
    return rows


def calibration_lines(spec: Spec, plan: Plan) -> list[str]:
    """The examples that the basis uses before every round, and their cost; nothing for a basis of the weights alone."""
    calibration = plan.calibration
    if calibration is None:
        return []
    which = {"chosen": "chosen", "failures": "wrong", "all": "training"}[calibration.source]
    size = f"{calibration.examples}" if calibration.examples else "all"
    passes = f"{calibration.passes} pass{'es' * (calibration.passes != 1)}"
    text = f"basis {spec.slots['basis'].use}: calibrates on {size} {which} examples before every round, in {passes}"
    return [f"{text}; its products with gradients take {size_text(plan.calibration_bytes)}"]


def _begun(path: Path) -> RunDirectory | None:
    """The run of the spec, if it has started."""
    from ..runs.directory import SPEC, RunDirectory

    return RunDirectory.open(path) if (path / SPEC).is_file() else None


def _rows(sites: Sequence[SitePlan]) -> list[tuple[str, SitePlan]]:
    """A row for each site; with many sites, equal layers share one: `layers.*.mlp.down_proj (30)`."""
    if len(sites) <= MOST_SITES:
        return [(site.site.name, site) for site in sites]
    from ..sdk.sites import layer_pattern

    alike: dict[tuple[object, ...], list[SitePlan]] = {}
    for site in sites:
        alike.setdefault(
            (layer_pattern(site.site.name), site.site.shape, site.capacity, site.depth), []
        ).append(site)
    return [(f"{key[0]} ({len(found)})", found[0]) for key, found in alike.items()]


def _start_line(spec: Spec) -> str:
    """The run that a spec continues, and the rounds that are left."""
    start = spec.start
    left = "none" if start.round == spec.rounds else f"{start.round + 1} to {spec.rounds}"
    return f"continues from {start}, which gives it rounds 0 to {start.round}; rounds left to run: {left}"


def _checked_study(
    spec: str, registry: Registry, runs: Path, settings: tuple[str, ...], *, gpu: str, show_cells: bool
) -> Checked:
    """Validate a study, and find its finished cells."""
    from ..study.cost import cost_of
    from ..study.scheduler import partition_cells, plans_of, refuse_earlier_cells
    from ..study.store import known_record, with_exclusions
    from ..study.study_loader import load_study

    study = load_study(spec, registry, runs, settings)
    study = with_exclusions(study, known_record(runs, study.record.name), (), ())
    refuse_earlier_cells(study, runs)
    plans, todo = plans_of(study, set(study.distinct)), partition_cells(study, runs)
    cost = cost_of(study, plans, {state.cell.key for state in todo.open}, runs)
    finished, record = len(todo.finished), study.record
    content = {
        "name": record.name,
        "study_sha256": record.sha256,
        "arms": [_arm_json(study, place, plan) for place, plan in plans.items()],
        "cells": [attrs.asdict(cell) for cell in record.cells],
        "finished": finished,
        "cost": attrs.asdict(cost),
        "notes": record.notes,
    }
    show = partial(_print_study, study, plans, cost, finished=finished, show_cells=show_cells, gpu=gpu)
    return Checked(toml=study.toml, content=content, show=show)


def _arm_json(study: Study, place: tuple[str, str], plan: Plan) -> dict[str, Any]:
    block, arm = place
    cells = [cell.key for cell in study.record.cells if (cell.block, cell.arm) == place]
    return {"arm": arm, "block": block, "cells": cells, "parameters": plan.parameters, "rounds": plan.rounds}


def _print_study(
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
    console.print(f"[bold]{record.name}[/bold] · study {record.sha256[:12]}: valid")
    if record.description:
        _print_text(console, record.description)
    excluded = f" ({len(record.excluded)} excluded)" if record.excluded else ""
    count = {"arms": len(record.arms), "blocks": len(record.blocks), "seeds": len(record.seeds)}
    counts = " · ".join(
        f"{n} {word if n != 1 else word[:-1]}" for word, n in count.items() if word != "blocks" or n > 1
    )
    console.print(
        f"{counts} · {count_text(len(study.distinct), 'cell')}{excluded} · executor {record.executor}"
    )
    against = f"against {record.baseline}, " if record.baseline else ""
    model = {"last": "after the last round", "best": "at the best round on validation"}[record.at]
    _print_text(
        console,
        f"compares {record.split} {record.metric} {model}, {against}{100 * record.confidence:g} % intervals",
    )
    for line in _start_lines(study):
        _print_text(console, line)
    console.print()
    blocks = any(block for block, _ in plans)
    _print_table(console, _arm_rows(study, plans, blocks=blocks), left=(0, 1) if blocks else (0,))
    if show_cells or len(study.distinct) <= MOST_CELLS:
        console.print()
        for key, cell in study.distinct.items():
            console.print(f"{key}  {cell.record.label}", markup=False)
    console.print()
    for line in (*cost_lines(study, cost, finished), *_gpu_line(cost, gpu)):
        _print_text(console, line)
    for note in (*record.notes, *dict.fromkeys(n for plan in plans.values() for n in plan.notes)):
        _print_text(console, f"note: {note}", style="yellow")


def _start_lines(study: Study) -> list[str]:
    """The runs that cells continue, each once."""
    return list(dict.fromkeys(_start_line(c.spec) for c in study.distinct.values() if c.spec.start.given))


def _arm_rows(study: Study, plans: Mapping[tuple[str, str], Plan], *, blocks: bool) -> list[Sequence[str]]:
    """A title line and a row for each arm."""
    titles = ("arm", "rounds", "steps a round", "parameters a round", "in total", "cells")
    rows: list[Sequence[str]] = [(*(["block"] if blocks else []), *titles)]
    for (block, arm), plan in plans.items():
        included = set(study.distinct)
        cells = [
            c
            for c in study.cells
            if (c.record.block, c.record.arm) == (block, arm) and c.record.key in included
        ]
        rounds, steps = cells[0].spec.rounds, cells[0].spec.optimizer.steps
        most = "up to " * (len(plan.ranks) > 1)
        parameters = (f"{most}{plan.parameters}", str(plan.total_parameters)) if rounds else ("-", "-")
        name = f"{arm} (baseline)" if arm == study.record.baseline else arm
        rows.append(
            (
                *([block] if blocks else []),
                name,
                str(rounds),
                str(steps),
                *parameters,
                str(len(cells)),
            )
        )
    return rows


def cost_lines(study: Study, cost: Cost, finished: int) -> list[str]:
    """The cost of the cells that are left."""
    if not cost.cells:
        return [f"{finished} of {count_text(finished, 'cell')} finished: nothing to run"]
    rounds, steps = count_text(cost.rounds, "round"), count_text(cost.steps, "optimiser step")
    lines = [
        f"to run: {count_text(cost.cells, 'cell')} ({finished} finished), {rounds}, {steps}",
        f"examples: {cost.trained:,} trained on, {cost.evaluated:,} evaluated",
        f"memory: {size_text(cost.memory_bytes)} in the largest cell (without activations)",
        f"disk: about {size_text(cost.disk_bytes)} of updates",
    ]
    if cost.seconds is None:
        lines.append("time: unknown; no finished run here has the same task, model and backend")
    else:
        workers = getattr(study.executor, "workers", 0) or _cores(cost.cells)
        lines.append(
            f"time: about {duration(max(1.0, cost.seconds / min(workers, cost.cells)))} on {workers} worker{'s' * (workers != 1)}, "
            f"estimated from {cost.reference_runs} finished run{'s' * (cost.reference_runs != 1)} of the same task, model and backend"
        )
    return lines


def _gpu_line(cost: Cost, gpu: str) -> list[str]:
    if cost.gpu_seconds is None or cost.gpu_seconds[gpu] < LEAST_SECONDS:
        return []
    return [f"all cells in sequence: {time_line(cost.gpu_seconds[gpu], gpu)}"]


def _cores(cells: int) -> int:
    from ..foundation.hardware import accelerators, cores

    return min(len(accelerators()) or cores(), cells)
