"""`boostlora run`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..runs.lookup import SET_ASIDE
from .common import (
    json_option,
    load_registry,
    plugin_option,
    quiet_option,
    runs_option,
    set_option,
    track_option,
    with_trackers,
)

if TYPE_CHECKING:
    from ..runs.directory import RunDirectory


@click.command("run")
@click.argument("spec")
@set_option
@plugin_option
@track_option
@runs_option
@click.option(
    "--from",
    "start",
    metavar="RUN[@ROUND]",
    help="Continue from another run's round (default: its last).",
)
@click.option("--fresh", is_flag=True, help="Start over; the earlier run is set aside, not deleted.")
@json_option
@quiet_option
def command(
    spec: str,
    settings: tuple[str, ...],
    plugin_files: tuple[Path, ...],
    tracked: tuple[str, ...],
    runs_folder: Path,
    start: str | None,
    fresh: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run SPEC, a TOML file or the name of a shipped spec (see: boostlora specs).

    The run is written to RUNS/NAME/HASH. A finished run is not repeated, and an interrupted one is resumed.
    """
    from ..boosting.experiment import prepare
    from ..boosting.inherited_rounds import check_start
    from ..runs.lookup import start_settings
    from ..spec.resolve import load_spec
    from .execution import already_done, execute, show_done
    from .torchrun import meet

    registry = load_registry(plugin_files, spec)
    settings = (*settings, *(() if start is None else start_settings(start, runs_folder)))
    loaded = load_spec(spec, registry, with_trackers(settings, tracked))
    path = runs_folder / loaded.head.name / loaded.short_hash
    processes = meet(loaded)

    def start_or_cached() -> RunDirectory | None:
        if path.exists() if fresh else loaded.start.given and not path.exists():
            check_start(
                prepare(loaded)
            )  # a spec that cannot run must not set a run aside, nor write anything
        if fresh and path.exists():
            _set_aside(path)
        return already_done(path)

    if (done := processes.agree(start_or_cached)) is not None:
        show_done(done, as_json=as_json, quiet=quiet)
        return
    execute(loaded, path, registry, registry.files, as_json=as_json, quiet=quiet, processes=processes)


def _set_aside(path: Path) -> None:
    """Rename a run's folder, under its lock."""
    from ..errors import RunError
    from ..foundation.durable import settle
    from ..foundation.locks import HOLDER, locked

    aside = path.with_name(f"{path.name}{SET_ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    with locked(path):
        try:
            (path / HOLDER).unlink(missing_ok=True)
            settle(path, aside)
        except OSError as error:
            raise RunError(f"{path}: cannot be set aside ({error.strerror or error})") from error
