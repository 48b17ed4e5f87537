"""`boostlora show`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from ..errors import UsageError
from ..records.commands import resume_command
from ..runs.lookup import find_runs
from ..sdk.metrics import is_regression
from .common import is_finished, json_option, plugin_option, runs_option
from .layout import aligned, paragraph, without_dispensable
from .terminal import echo

if TYPE_CHECKING:
    from ..contracts import Metrics
    from ..contracts.records import RoundRecord
    from ..runs.directory import RunDirectory

BARS = "▁▂▃▄▅▆▇█"
MOST_KEYS = 6
"""Differing keys in the table of several runs."""
MOST_MEASURES = 3
"""Task measures in the table of several runs; `--json` has all."""
DISPENSABLE = ("trained", "rank", "valid %", "rounds")
"""Results that a narrow terminal omits in the table of several runs, in this order, before differing keys."""


@click.command("show")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@runs_option
@json_option
@click.option("--legend", is_flag=True, help="Explain the columns.")
@click.option(
    "--classes", is_flag=True, help="Show recall by class and the confusion matrix of the test split."
)
@click.option(
    "--samples", is_flag=True, help="Show three fixed validation examples with the answers after every round."
)
@plugin_option
def command(
    runs: tuple[str, ...],
    runs_folder: Path,
    as_json: bool,
    legend: bool,
    classes: bool,
    samples: bool,
    plugin_files: tuple[Path, ...],
) -> None:
    """Show a run's rounds. For several runs, or a name of several, show one line each and how their specs differ.

    RUN is a run's folder, name, or hash prefix. Without RUN: all runs, as in boostlora runs. --classes loads the task's data again, and
    takes the best round on validation. --samples cuts long texts; --samples --json has them whole.
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
    if classes and samples:
        raise UsageError("--classes and --samples exclude each other; give one of them")
    if classes:
        _show_classes(directories, plugin_files, as_json=as_json)
    elif samples:
        _show_samples(directories, as_json=as_json)
    elif as_json:
        content = [_as_json(directory) for directory in directories]
        echo(json.dumps(content[0] if len(content) == 1 and runs else content, indent=2))
    elif len(directories) == 1:
        _show_one(directories[0])
    else:
        _show_many(directories)


def _show_classes(directories: list[RunDirectory], plugin_files: tuple[Path, ...], *, as_json: bool) -> None:
    if as_json or len(directories) != 1:
        raise UsageError(
            "--classes is for one run, and without --json: its rounds have recall_* among their measures"
        )
    from .classes import class_lines

    for line in class_lines(directories[0], plugin_files):
        echo(line)


def _show_samples(directories: list[RunDirectory], *, as_json: bool) -> None:
    if len(directories) != 1:
        raise UsageError("--samples is for one run; name one")
    from ..runs.samples import as_json as content_of
    from .samples import sample_lines, samples_of

    directory = directories[0]
    samples, answers = samples_of(directory)
    if as_json:
        echo(json.dumps({"path": str(directory.path), **content_of(samples, answers)}, indent=2))
        return
    for line in sample_lines(samples, answers):
        echo(line)


def _as_json(directory: RunDirectory) -> dict[str, Any]:
    rounds = [attrs.asdict(record) for record in directory.records]
    recorded = directory.provenance() or {}
    origin = {
        "provenance": directory.provenance(),
        "result": directory.result(),
        "rivals": recorded.get("rivals"),
    }
    return {"path": str(directory.path), **origin, "rounds": rounds}


def _status(directory: RunDirectory) -> str:
    result = directory.result()
    return f"{result['status']}: {result['reason']}" if result else "unfinished"


def _show_one(directory: RunDirectory) -> None:
    from .columns import RoundTable, remarks
    from .console import Console
    from .summary import summary_lines

    console = Console(highlight=False, soft_wrap=True)
    width = console.width if console.is_terminal else 1000
    console.print(f"{directory.path} · {_status(directory)}", markup=False)
    console.print()
    rewards = any(record.rollouts is not None for record in directory.records)
    width -= max((len(remarks(record)) for record in directory.records), default=0)
    if directory.records:
        table = RoundTable(width=width, base=directory.records[0], rewards=rewards)
        console.print(table.header(), style="bold")
        for record in directory.records:
            console.print(table.row(record), markup=False)
    if len(directory.records) > 1:
        console.print()
        for name, values in _curves(directory.records).items():
            console.print(f"{name:>10} {_spark(values)} {values[0]:.3g} -> {values[-1]:.3g}", markup=False)
        console.print()
    result = directory.result()
    for text in summary_lines(directory, result) if result else []:
        for line in paragraph(text, "  "):
            console.print(line, markup=False)
    if not is_finished(directory):
        console.print(f"resume with: {resume_command(directory.path)}", markup=False)


def _curves(records: list[RoundRecord]) -> dict[str, list[float]]:
    if is_regression(records[0].validation):
        found = {f"{s} RMSE": [getattr(r, s).measures["rmse"] for r in records] for s in ("train", "test")}
    else:
        found = {
            "train %": [100 * r.train.accuracy for r in records],
            "valid %": [100 * r.validation.accuracy for r in records],
            "test %": [100 * r.test.accuracy for r in records],
        }
    return {
        **found,
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
    from ..analysis.comparison.compare import flat
    from .console import Console

    trees = [flat(directory.spec_tree()) for directory in directories]
    differing = _differing(trees)
    keys = {key: [key, *(_cell(tree.get(key, "-")) for tree in trees)] for key in differing[:MOST_KEYS]}
    columns = {
        "run": ["run", *(f"{d.path.parent.name}/{d.path.name}" for d in directories)],
        **keys,
        "status": ["status", *((d.result() or {"status": "unfinished"})["status"] for d in directories)],
        **_results(directories),
    }
    kept, dropped = without_dispensable(columns, (*DISPENSABLE, *reversed(keys)))
    left = [place for place, title in enumerate(kept) if title in {"run", "status", *keys}]
    console = Console(highlight=False, soft_wrap=True)
    for number, line in enumerate(aligned(list(zip(*kept.values(), strict=True)), left, gap=2)):
        console.print(line, style=None if number else "bold", markup=False)
    also = [key for key in differing if key not in kept]
    for text in (
        *([f"also differing: {', '.join(also)}"] if also else []),
        *(
            [f"omitted, for a wider terminal: {', '.join(t for t in dropped if t not in also)}"]
            if set(dropped) - set(also)
            else []
        ),
    ):
        for line in paragraph(text, "  "):
            console.print(line, style="dim", markup=False)


def _results(directories: list[RunDirectory]) -> dict[str, list[str]]:
    """Columns of results after the last round of each run, by title."""
    from ..analysis.formats import number_text
    from .columns import span

    cells: dict[str, Callable[[Sequence[RoundRecord]], str]] = {
        "rounds": lambda records: str(len(records) - 1),
        "valid %": lambda records: _share(records[-1].validation),
        "test %": lambda records: _share(records[-1].test),
    }
    for title, name in _test_measures(directories).items():
        cells[title] = lambda records, name=name: number_text(records[-1].test.measures.get(name), name)
    cells["rank"] = lambda records: span(list(records[-1].rank.values()))
    cells["trained"] = lambda records: str(sum(record.new_parameters for record in records))
    return {
        title: [title, *(cell(d.records) if d.records else "-" for d in directories)]
        for title, cell in cells.items()
    }


def _share(metrics: Metrics) -> str:
    """The accuracy in percent; `-` in a regression, where the measures have the RMSE."""
    from .columns import percent

    return "-" if is_regression(metrics) else percent(metrics.accuracy)


def _test_measures(directories: list[RunDirectory]) -> dict[str, str]:
    """Names of test measures by column title, at most `MOST_MEASURES`."""
    from ..analysis.formats import unit_of
    from ..sdk.metrics import RECALL

    last = [directory.records[-1] for directory in directories if directory.records]
    names = list(
        dict.fromkeys(name for record in last for name in record.test.measures if not name.startswith(RECALL))
    )[:MOST_MEASURES]
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
