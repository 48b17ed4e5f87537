"""Execution of a spec in its folder, for `run` and `resume`: lock, display, interruption, exit code."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import attrs

from ..boosting.experiment import Prepared, prepare
from ..boosting.loop import boost
from ..errors import RunError
from ..foundation.atomic import WriteError
from ..foundation.counts import count_text
from ..foundation.locks import locked
from ..foundation.process_group import ProcessGroup, ProcessGroupError, SingleProcess
from ..foundation.run_context import RunContext, no_report
from ..foundation.shell import command_line
from ..records.commands import run_command
from ..registry import Registry
from ..runs.directory import SPEC, RunDirectory
from ..spec import Spec
from .common import is_finished, plugin_words
from .display import JsonLines, RunDisplay
from .interrupts import interruptible
from .layout import paragraph
from .progress import RunWork
from .progress_display import shown
from .summary import summary_lines
from .terminal import echo
from .torchrun import follow

MANY = 1 << 21
"""Trained parameters (16 MiB) above which a note warns of their exchange between processes."""


def execute(
    spec: Spec,
    path: Path,
    registry: Registry,
    plugin_files: tuple[Path, ...],
    *,
    as_json: bool,
    quiet: bool,
    processes: ProcessGroup | None = None,
) -> None:
    """Run the missing rounds, and print progress and result. Raises `RunError` for a failed run."""
    processes = processes or SingleProcess()
    if processes.index:
        follow(spec, processes)
        return
    display, work = None if quiet or as_json else RunDisplay(), RunWork()
    for name, listener in (("display", display or (JsonLines() if as_json else None)), ("progress", work)):
        if listener is not None:
            registry.manager.register(listener, name=name)
    progress = nullcontext(no_report) if quiet else shown(work, display.console if display else None)
    again = command_line("boostlora", "resume", path, *plugin_words(plugin_files))
    go_on = f"every finished round is kept. Resume with: {again}"
    with (
        interruptible(lambda: go_on if (path / SPEC).is_file() else "nothing was started"),
        progress as report,
    ):
        prepared = _noted(prepare(spec), processes)  # a spec that cannot run writes nothing
        with locked(path), plain_warnings():
            directory = RunDirectory.create(path, spec)
            context = RunContext(report=report, processes=processes)
            try:
                result = boost(prepared, directory, registry, context, rivals=True)
            except (WriteError, ProcessGroupError) as error:
                raise RunError(f"{error}; {go_on}") from error
    if display:
        display.conclude(directory, result.as_json())
        display.console.print(f"show it again: {command_line('boostlora', 'show', path)}", markup=False)
    if quiet:
        echo(path)
    if result.failed:
        hint = 'A rerun fails at the same round: try a lower optimizer.lr, or stop.on_nonfinite = "skip"'
        raise RunError(f"{result.reason}. The rounds before it are kept in {path}. {hint}")


def _noted(prepared: Prepared, processes: ProcessGroup) -> Prepared:
    """The plan, with notes on the processes that share the run."""
    if processes.size == 1:
        return prepared
    notes = [f"{processes.size} processes share this run"]
    if prepared.plan.parameters >= MANY:
        size = 8 * prepared.plan.parameters // 2**20
        notes.append(
            f"every process sends {size} MiB of gradients a step; adapters with fewer parameters scale better"
        )
    return attrs.evolve(prepared, plan=attrs.evolve(prepared.plan, notes=(*prepared.plan.notes, *notes)))


def already_done(path: Path) -> RunDirectory | None:
    """The directory of a run that has finished, or None."""
    if not (path / "result.json").is_file():
        return None
    directory = RunDirectory.open(path)
    directory.check_spec()
    if not is_finished(directory):
        return None
    directory.check_files()
    return directory


def show_done(directory: RunDirectory, *, as_json: bool, quiet: bool) -> None:
    """Print that there is nothing left to do, and the result."""
    result: dict[str, Any] = directory.result() or {}
    if as_json:
        import json

        echo(json.dumps({"event": "run_finished", "cached": True, "path": str(directory.path), **result}))
    elif quiet:
        echo(directory.path)
    else:
        rounds = f"{result['rounds']} of {count_text(result['rounds'], 'round')} cached"
        anew = run_command(directory.path, "run", "--fresh", directory.path / SPEC)
        echo(f"{directory.path}: already {result['status']} ({rounds}); nothing to do")
        for text in summary_lines(directory, result):
            echo("\n".join(paragraph(text, "  ")))
        echo(f"start over: {anew}")


@contextmanager
def plain_warnings() -> Generator[None]:
    """Print warnings as one line each, without the source line."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        echo(f"warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
