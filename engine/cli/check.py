"""`boostlora check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..runs.directory import SPEC, RunDirectory
from .common import json_option, load_registry, plugin_option, quiet_option, runs_option, set_option
from .sizes import size_text, start_line
from .terminal import echo
from .workloads import gpu_option, seconds_by_class, workload_lines

WIDE = 120
MOST_SITES = 20
"""Sites that are listed one by one."""


@click.command("check")
@click.argument("spec")
@set_option
@plugin_option
@runs_option
@json_option
@quiet_option
@gpu_option
@click.option("--cells", "show_cells", is_flag=True, help="List every cell of a study.")
@click.option(
    "--resolved", is_flag=True, help="Print the whole spec, defaults written out, instead of the plan."
)
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
    """Validate SPEC and print what it would do; nothing is trained and no weight is loaded.

    Of a study it prints the arms, the cells, and what they will cost; RUNS tells which are there already.
    """
    from ..boosting.experiment import prepare
    from ..boosting.inherited_rounds import check_start
    from ..spec.document import find_spec, load
    from ..spec.resolve import load_spec
    from .check_lines import check_study

    if "ablate" in load(find_spec(spec), settings).tree:
        check_study(
            spec,
            settings,
            plugin_files,
            runs_folder,
            as_json=as_json,
            quiet=quiet,
            gpu=gpu,
            show_cells=show_cells,
            resolved=resolved,
        )
        return
    loaded = load_spec(spec, load_registry(plugin_files), settings)
    prepared = prepare(loaded)
    check_start(prepared, _begun(runs_folder / loaded.head.name / loaded.short_hash))
    if resolved:
        echo(loaded.dump(), nl=False)
    elif as_json:
        content = {"name": loaded.head.name, "spec_sha256": loaded.sha256, "plan": prepared.plan.as_json()}
        if prepared.plan.workload is not None:
            content["seconds"] = seconds_by_class(prepared.plan.workload)
        echo(json.dumps(content, indent=2))
    elif not quiet:
        _print_plan(loaded, prepared.plan, gpu)


def _print_plan(spec: Any, plan: Any, gpu: str) -> None:
    from rich.table import Table

    from .console import Console
    from .display import describe

    console = Console(highlight=False)
    console.width = max(console.width, WIDE)  # a line that wraps is better than a name that is broken
    console.print(f"[bold]{spec.head.name}[/bold] · spec {spec.short_hash}: valid")
    for line in describe(spec, plan):
        console.print(line, soft_wrap=True)
    if spec.start.given:
        console.print(start_line(spec), markup=False, soft_wrap=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("site", "shape", "directions", "needed", "rounds it can serve"):
        table.add_column(title, justify="left" if title == "site" else "right", overflow="fold")
    for name, site in _rows(plan.sites):
        capacity = "any" if site.capacity is None else str(site.capacity)
        shape = f"{site.site.shape[0]} x {site.site.shape[1]}"
        table.add_row(name, shape, str(site.site.width), str(site.depth), capacity)
    console.print(table)
    fresh = spec.boosting.fresh_in(spec.rounds)
    refits = spec.rounds - fresh
    again = f", and again in {refits} refit{'s' * (refits > 1)}" if refits else ""
    most = "up to " * (len(plan.ranks) > 1)
    numbers = f"{most}{plan.parameters} a round, {plan.total_parameters} in {fresh} rounds{again}"
    console.print(f"numbers trained: {numbers}")
    for line in question_lines(spec, plan):
        console.print(line, soft_wrap=True)
    console.print(
        f"memory: weights {size_text(plan.weight_bytes)}, boosting adds {size_text(plan.extra_bytes)} (without activations)"
    )
    for line in workload_lines(plan.workload, plan.weight_bytes + plan.extra_bytes, gpu):
        console.print(line, soft_wrap=True)
    console.print(f"on disk: about {size_text(plan.update_bytes)} of updates a round")
    for note in plan.notes:
        console.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)


def question_lines(spec: Any, plan: Any) -> list[str]:
    """What is asked of the data at the start of a round, and what it costs; nothing where nothing is."""
    asked = plan.calibration
    if asked is None:
        return []
    told = {"chosen": "chosen", "failures": "wrong", "all": "training"}[asked.source]
    size = f"{asked.examples}" if asked.examples else "all"
    passes = f"{asked.passes} pass{'es' * (asked.passes != 1)}"
    heard = f"basis {spec.slots['basis'].use}: hears {size} {told} examples before every round, in {passes}"
    return [f"{heard}; products with gradients take {size_text(plan.calibration_bytes)}"]


def _begun(path: Path) -> RunDirectory | None:
    """The run of the spec, where it has been begun."""
    return RunDirectory.open(path) if (path / SPEC).is_file() else None


def _rows(sites: Any) -> list[tuple[str, Any]]:
    """Site by site; where they are many, layers that are alike share a row, `layers.*.mlp.down_proj (30)`."""
    if len(sites) <= MOST_SITES:
        return [(site.site.name, site) for site in sites]
    from ..sdk.sites import layer_pattern

    alike = dict[Any, list[Any]]()
    for site in sites:
        alike.setdefault(
            (layer_pattern(site.site.name), site.site.shape, site.capacity, site.depth), []
        ).append(site)
    return [(f"{key[0]} ({len(found)})", found[0]) for key, found in alike.items()]
