"""Options and helpers that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from ..foundation.shell import command_line
from ..runs.directory import RunDirectory
from .terminal import echo

F = TypeVar("F", bound=Callable[..., Any])

plugin_option = click.option(
    "--plugin",
    "plugin_files",
    multiple=True,
    metavar="FILE.py",
    type=click.Path(path_type=Path),
    help="Load plugins from a file; may be given several times.",
)
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the spec, such as basis.use=random; may be given several times.",
)
track_option = click.option(
    "--track",
    "tracked",
    multiple=True,
    metavar="TRACKER",
    help="Tell a tracker too, such as mlflow or tensorboard; its options: --set trackers.mlflow.uri=…",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
quiet_option = click.option(
    "--quiet", "-q", is_flag=True, help="Print nothing but errors and the run's folder."
)
runs_option = click.option(
    "--runs",
    "runs_folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=lambda: Path(os.environ.get("BOOSTLORA_RUNS", "runs")),
    show_default="$BOOSTLORA_RUNS, else runs",
    help="Folder of all runs.",
)


def with_trackers(settings: tuple[str, ...], tracked: tuple[str, ...]) -> tuple[str, ...]:
    """`--track NAME` as the setting that it is short for."""
    return (*settings, *(f"trackers.{name}={{}}" for name in tracked))


def load_registry(plugin_files: tuple[Path, ...]) -> Any:
    """The registry; broken plugins are named on standard error and left out."""
    from ..registry import Registry

    registry = Registry.load(plugin_files)
    for broken in registry.broken:
        echo(f"warning: plugin {broken.origin} is left out: {broken.reason}", err=True)
    return registry


def is_finished(directory: RunDirectory) -> bool:
    """Whether a run ended as it should; one that failed may be tried again."""
    return ended_well(directory.result())


def ended_well(result: Mapping[str, Any] | None) -> bool:
    """Whether a result is that of a run which did not fail."""
    return result is not None and result["status"] != "failed"


def resume_command(directory: RunDirectory) -> str:
    """The command that goes on with a run, with the plugin files it was begun with."""
    files = (directory.provenance() or {}).get("plugin_files", [])
    return command_line(
        "boostlora", "resume", directory.path, *(w for file in files for w in ("--plugin", file))
    )
