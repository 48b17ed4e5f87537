"""`boostlora resume`."""

from __future__ import annotations

from pathlib import Path

import click

from ..runs.lookup import find_runs
from .common import ended_well, json_option, load_registry, plugin_option, quiet_option, runs_option


@click.command("resume")
@click.argument("run")
@plugin_option
@runs_option
@json_option
@quiet_option
def command(
    run: str,
    plugin_files: tuple[Path, ...],
    runs_folder: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    """Resume RUN, a run's folder or name, after its last finished round.

    If several runs have that name, the newest unfinished one is resumed. On the same machine and versions, the result is bit-identical to
    that of an uninterrupted run.
    """
    from ..foundation.process_group import process_info
    from ..records.run_result import read_ending
    from ..runs.directory import SPEC, RunDirectory
    from ..spec.resolve import load_spec
    from .execution import already_done, execute, show_done
    from .torchrun import meet

    paths = find_runs(run, runs_folder)
    unfinished = [path for path in paths if not ended_well(read_ending(path))]
    path = (unfinished or paths)[-1]
    if not process_info().shared and (done := already_done(path)) is not None:
        show_done(done, as_json=as_json, quiet=quiet)
        return
    RunDirectory(path).check_spec()
    registry = load_registry(plugin_files)
    loaded = load_spec(path / SPEC, registry)
    processes = meet(loaded)
    if (done := processes.agree(lambda: already_done(path))) is not None:
        show_done(done, as_json=as_json, quiet=quiet)
        return
    execute(loaded, path, registry, registry.files, as_json=as_json, quiet=quiet, processes=processes)
