"""`boostlora show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from ..runs.lookup import find_runs
from .common import is_finished, json_option, resume_command, runs_option
from .terminal import echo

if TYPE_CHECKING:
    from ..contracts.records import RoundRecord
    from ..runs.directory import RunDirectory

BARS = "▁▂▃▄▅▆▇█"
MOST_KEYS = 6
"""Differing keys in the table of several runs."""
MOST_MEASURES = 3
"""Task measures in the table of several runs; `--json` has all."""
WIDE = 160


@click.command("show")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@runs_option
@json_option
@click.option("--legend", is_flag=True, help="Explain the columns.")
def command(runs: tuple[str, ...], runs_folder: Path, as_json: bool, legend: bool) -> None:
    """Show a run's rounds. For several runs, or a name of several, show one line each and how their specs differ.

    RUN is a run's folder, name, or hash prefix. Without RUN: all runs, as in boostlora runs.
    """
    from ..runs.directory import SPEC, RunDirectory
    from .columns import legend as column_legend

    if legend:
        echo("\n".join(column_legend()))
        return
    names = runs or tuple(sorted({p.parent.parent.name for p in runs_folder.glob(f"*/*/{SPEC}")}))
    if not names:
        echo(f"no runs in {runs_folder} yet; start one with: boostlora run quickstart")
        return
    directories = [RunDirectory.open(path) for name in names for path in find_runs(name, runs_folder)]
    if as_json:
        content = [_as_json(directory) for directory in directories]
        echo(json.dumps(content[0] if len(content) == 1 and runs else content, indent=2))
    elif len(directories) == 1:
        _show_one(directories[0])
    else:
        _show_many(directories)


def _as_json(directory: RunDirectory) -> dict[str, Any]:
    rounds = [attrs.asdict(record) for record in directory.records]
    origin = {"provenance": directory.provenance(), "result": directory.result()}
    return {"path": str(directory.path), **origin, "rounds": rounds}


def _status(directory: RunDirectory) -> str:
    result = directory.result()
    return f"{result['status']}: {result['reason']}" if result else "unfinished"


def _show_one(directory: RunDirectory) -> None:
    from .columns import header, row
    from .console import Console
    from .display import conclusion

    console = Console(highlight=False, soft_wrap=True)
    width = console.width if console.is_terminal else 1000
    console.print(f"{directory.path} · {_status(directory)}", markup=False)
    console.print()
    rewards = any(record.rollouts is not None for record in directory.records)
    console.print(header(width, rewards=rewards), style="bold")
    for record in directory.records:
        console.print(row(record, width, rewards=rewards), markup=False)
    if len(directory.records) > 1:
        console.print()
        for name, values in _curves(directory.records).items():
            console.print(f"{name:>10} {_spark(values)} {values[0]:.3g} -> {values[-1]:.3g}", markup=False)
        console.print()
    result = directory.result()
    for line in conclusion(directory.records, result) if result else []:
        console.print(line, markup=False)
    if not is_finished(directory):
        console.print(f"resume with: {resume_command(directory)}", markup=False)


def _curves(records: list[RoundRecord]) -> dict[str, list[float]]:
    return {
        "train %": [100 * r.train.accuracy for r in records],
        "valid %": [100 * r.validation.accuracy for r in records],
        "test %": [100 * r.test.accuracy for r in records],
        "rank": [float(max(r.rank.values(), default=0)) for r in records],
    }


def _spark(values: list[float]) -> str:
    """Values from 0 to their maximum as at most 60 bars."""
    step = max(1, -(-len(values) // 60))
    shown = values[::step]
    top = max(*shown, 1e-12)
    return "".join(BARS[min(len(BARS) - 1, int(len(BARS) * max(0.0, v) / top))] for v in shown)


def _show_many(directories: list[RunDirectory]) -> None:
    """One line a run: differing keys of the specs, and results."""
    from rich.table import Table

    from ..analysis.comparison.compare import flat
    from ..analysis.formats import number_text
    from .columns import percent, span
    from .console import Console

    trees = [flat(directory.spec_tree()) for directory in directories]
    differing = _differing(trees)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("run")
    for title in differing[:MOST_KEYS]:
        table.add_column(title)
    measures = _test_measures(directories)
    for title in ("rounds", "valid %", "test %", *measures, "rank", "trained", "status"):
        table.add_column(title, justify="left" if title == "status" else "right")
    for directory, tree in zip(directories, trees, strict=True):
        records = directory.records
        last = records[-1] if records else None
        table.add_row(
            f"{directory.path.parent.name}/{directory.path.name}",
            *(_cell(tree.get(key, "-")) for key in differing[:MOST_KEYS]),
            str(len(records) - 1) if last else "-",
            percent(last.validation.accuracy) if last else "-",
            percent(last.test.accuracy) if last else "-",
            *(
                number_text(last.test.measures.get(name) if last else None, name)
                for name in measures.values()
            ),
            span(list(last.rank.values())) if last else "-",
            str(sum(record.new_parameters for record in records)),
            (directory.result() or {"status": "unfinished"})["status"],
        )
    console = Console(highlight=False)
    console.width = max(console.width, WIDE)  # a wrapped line is better than a cut one
    console.print(table)
    if len(differing) > MOST_KEYS:
        console.print(f"also differing: {', '.join(differing[MOST_KEYS:])}", soft_wrap=True)


def _test_measures(directories: list[RunDirectory]) -> dict[str, str]:
    """Names of test measures by column title, at most `MOST_MEASURES`."""
    from ..analysis.formats import unit_of

    last = [directory.records[-1] for directory in directories if directory.records]
    names = list(dict.fromkeys(name for record in last for name in record.test.measures))[:MOST_MEASURES]
    return {f"test {name}" + (f" {unit_of(name)}" if unit_of(name) else ""): name for name in names}


def _differing(trees: list[dict[str, Any]]) -> list[str]:
    """Keys whose values differ between the runs that have them, plugins first, in the order of the spec."""
    keys = {key: None for tree in trees for key in tree if key not in {"name", "description"}}
    found = [key for key in keys if len({str(tree[key]) for tree in trees if key in tree}) > 1]
    return sorted(found, key=lambda key: not key.endswith(".use"))


def _cell(value: Any) -> str:
    """A value as text; for a path, its last part."""
    text = str(value)
    return text.rsplit("/", 1)[-1] if text.startswith("/") else text
