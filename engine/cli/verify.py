"""`boostlora verify`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..foundation.counts import count_text
from ..runs.lookup import find_runs
from .common import json_option, load_registry, plugin_option, quiet_option, runs_option, set_option
from .exit_codes import EXIT_DEPARTED
from .terminal import echo

if TYPE_CHECKING:
    from ..registry import Registry
    from ..spec import Spec
    from ..verification.findings import Finding, Row, Verification

at_least_one = click.IntRange(min=1)


@click.command("verify")
@click.argument("what", metavar="SPEC|RUN")
@click.option(
    "--backend",
    metavar="NAME",
    help="Backend to verify. Default: the spec's, or torch if that is the reference.",
)
@click.option("--rounds", type=at_least_one, metavar="N", help="At most N rounds.")
@click.option(
    "--examples",
    type=at_least_one,
    metavar="N",
    help="Only N examples of each split, spread evenly by id.",
)
@click.option(
    "--layers", type=at_least_one, metavar="N", help="Only the model's first N layers (Hugging Face models)."
)
@click.option("--steps", type=at_least_one, metavar="N", help="At most N optimiser steps a round.")
@set_option
@plugin_option
@runs_option
@json_option
@quiet_option
def command(
    what: str,
    backend: str | None,
    rounds: int | None,
    examples: int | None,
    layers: int | None,
    steps: int | None,
    settings: tuple[str, ...],
    plugin_files: tuple[Path, ...],
    runs_folder: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare a backend with the reference: run SPEC, or replay RUN, on both with the same random draws.

    Each round starts from the same ensemble and trains on the same batches in the same frames. Quantities are compared in the order of
    the computation: singular directions, frames, logits, losses, predictions, chosen examples, gradients and cores of every step,
    updates, merged weights. The first deviation is named. The rounding error of float32 is measured by running the reference in
    float32 too; float64 has tight bounds.

    SPEC is a TOML file or a shipped spec; RUN is a run's folder, name, or hash prefix. If a name is both, it is the spec. A replay
    also compares the run's recorded updates and answers; only --rounds can shorten it.

    \b
    boostlora verify quickstart --set backend.dtype=float64
    boostlora verify quickstart --rounds 2 --json
    boostlora verify runs/quickstart/ae627b95c526

    Exit codes: 0 passed, 4 deviated.
    """  # noqa: D301 - click reads the backspace
    from ..foundation.run_context import RunContext, no_report
    from ..verification.limits import Limits
    from ..verification.verify import Recording, verify
    from .progress import Work
    from .progress_display import shown

    limits = Limits(rounds=rounds, examples=examples, layers=layers, steps=steps)
    path = _find_run(what, runs_folder)
    registry = load_registry(plugin_files, what if path is None else None)
    recording: Recording | None = None
    if path is not None:
        _refuse_for_runs(path, settings, examples=examples, layers=layers, steps=steps)
        recording = _recording(path, registry)
    spec = _load(str(path / "spec.toml") if path else what, registry, settings, backend)
    with nullcontext(no_report) if quiet else shown(Work()) as report:
        context = RunContext(report=report)
        result = verify(spec, registry, context, limits, recording)
    if as_json:
        echo(json.dumps(result.as_json(), indent=2))
    elif not quiet:
        _print(result)
    if not result.passed:
        if quiet:
            echo(f"error: {_verdict(result)}", err=True)
        sys.exit(EXIT_DEPARTED)


def _find_run(what: str, runs_folder: Path) -> Path | None:
    """The run of that name; None for a spec. Raises `UsageError` for neither."""
    from ..errors import UsageError
    from ..runs.directory import SPEC
    from ..spec.document import find_spec

    if (Path(what) / SPEC).is_file():
        return Path(what)
    try:
        find_spec(what)
    except UsageError as no_spec:
        try:
            return find_runs(what, runs_folder)[-1]
        except UsageError as no_run:
            raise UsageError(f"{no_spec}; and {no_run}") from None
    return None


def _refuse_for_runs(path: Path, settings: Sequence[str], **limits: int | None) -> None:
    """Refuse limits and settings that would make a replay another experiment."""
    from ..errors import UsageError
    from ..records.commands import run_command
    from ..runs.directory import SPEC

    given = [f"--{name}" for name, value in limits.items() if value is not None]
    given += [f"--set {s}" for s in settings if not s.startswith("backend.")]
    if given:
        instead = run_command(path, "verify", path / SPEC)
        raise UsageError(
            f"{', '.join(given)}: a replay only takes --rounds, --backend and --set backend.…; to verify part of a run, or "
            f"other settings, verify its spec: {instead}"
        )


def _recording(path: Path, registry: Registry) -> Any:
    from ..errors import UsageError
    from ..runs.directory import SPEC, RunDirectory
    from ..spec.resolve import load_spec
    from ..verification.criterion import Criterion, dtype_of
    from ..verification.verify import Recording

    directory = RunDirectory.open(path)
    directory.check_spec()
    directory.check_files()
    if len(directory.records) < 2:
        raise UsageError(f"{path}: no finished round to replay")
    made_by = load_spec(path / SPEC, registry).backend
    return Recording(directory=directory, criterion=Criterion(dtype=dtype_of(made_by)))


def _load(name: str, registry: Registry, settings: tuple[str, ...], backend: str | None) -> Spec:
    """The spec with the backend to verify."""
    from ..spec.document import find_spec, load
    from ..spec.resolve import load_spec
    from ..verification.models import TRUTH

    if backend is None:
        table = load(find_spec(name), settings).tree.get("backend", {})
        own = table.get("use", TRUTH) if isinstance(table, dict) else TRUTH
        backend = "torch" if own == TRUTH else None
    chosen = () if backend is None else (f"backend.use={backend}",)
    return load_spec(name, registry, (*settings, *chosen))


def _print(result: Verification) -> None:
    from .console import Console
    from .layout import aligned, paragraph

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{result.subject} · {result.candidate} against the reference in float64", markup=False)
    for text in (*result.criteria, *(f"limit: {limit}" for limit in result.limits)):
        for line in paragraph(text, "  "):
            console.print(line, style="dim", markup=False)
    console.print()
    rows = list(result.rows())
    cells = [("quantity", "ratio", "error", "allowed", "worst at", "verdict")]
    lines = aligned([*cells, *(_cells(row, result.rounds) for row in rows)], left=(0, 4, 5), gap=2)
    for line, style in zip(lines, ["bold", *("red" if row.departed else None for row in rows)], strict=True):
        console.print(line, style=style, markup=False)
    console.print()
    for note in result.notes:
        for line in paragraph(f"note: {note}", "  "):
            console.print(line, style="yellow", markup=False)
    console.print(_verdict(result), style="green" if result.passed else "red", markup=False)


def _cells(row: Row, rounds: int) -> list[str]:
    worst = row.worst
    verdict = f"deviates in {len(row.rounds)} of {count_text(rounds, 'round')}" if row.departed else "passed"
    asides = [
        f"{count} {word}" for count, word in ((row.excused, "excused"), (row.undefined, "undefined")) if count
    ]
    if row.compared == 0:
        return [row.quantity, "-", "-", "-", "", "; ".join(["not compared", *asides])]
    numbers = [f"{worst.ratio:.2g}", f"{worst.error:.1e}", f"{worst.allowed:.1e}"]
    if worst.allowed == 0.0 and worst.note == "":
        numbers = ["-", f"{worst.error:g}", "0"]
    return [row.quantity, *numbers, _place(worst), "; ".join([verdict, *asides])]


def _place(worst: Finding) -> str:
    return worst.place if worst.error else ""


def _verdict(result: Verification) -> str:
    """The result in a sentence."""
    first = result.first
    if first is None:
        return (
            f"passed: no deviation in {count_text(result.rounds, 'round')}"
            if result.findings
            else "nothing was compared"
        )
    note = f" ({first.note})" if first.note else ""
    size = f"off by {first.error:.3g}, allowed {first.allowed:.3g}"
    if first.quantity in {"predictions", "predictions after", "chosen examples", "recorded predictions"}:
        size = f"{first.error:g} differ where the reference is certain"
    return f"first deviation in {first.place}: {first.quantity}: {size}{note}"
