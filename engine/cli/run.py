"""`boostlora run`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from .common import json_option, load_registry, plugin_option, quiet_option, runs_option, set_option


@click.command("run")
@click.argument("spec")
@set_option
@plugin_option
@runs_option
@click.option(
    "--fresh", is_flag=True, help="Start over; an earlier run of the same spec is set aside, not deleted."
)
@json_option
@quiet_option
def command(
    spec: str,
    settings: tuple[str, ...],
    plugin_files: tuple[Path, ...],
    runs_folder: Path,
    fresh: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run SPEC, a TOML file or the name of a shipped spec (see: boostlora specs).

    The run is kept in RUNS/NAME/HASH. A run that is there already is not run again, and one that was interrupted goes on.
    """
    from ..record.lock import locked
    from ..spec.resolve import load_spec
    from .execution import already_done, execute, show_done

    registry = load_registry(plugin_files)
    loaded = load_spec(spec, registry, settings)
    path = runs_folder / loaded.head.name / loaded.short_hash
    if fresh and path.exists():
        with locked(path):
            pass  # nobody else is at work here
        path.rename(path.with_name(f"{path.name}.old-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"))
    if (done := already_done(path)) is not None:
        show_done(done, as_json=as_json, quiet=quiet)
        return
    execute(loaded, path, registry, plugin_files, as_json=as_json, quiet=quiet)
