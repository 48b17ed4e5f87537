"""Options and helpers shared by several commands."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .terminal import echo

if TYPE_CHECKING:
    from ..registry import Registry
    from ..runs.directory import RunDirectory

F = TypeVar("F", bound=Callable[..., Any])

plugin_option = click.option(
    "--plugin",
    "plugin_files",
    multiple=True,
    metavar="FILE.py",
    type=click.Path(path_type=Path),
    help="Load plugins from a file; repeatable.",
)
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the spec, such as basis.use=random; repeatable.",
)
track_option = click.option(
    "--track",
    "tracked",
    multiple=True,
    metavar="TRACKER",
    help="Also log to a tracker, such as mlflow or tensorboard; its options: --set trackers.mlflow.uri=…",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Print only errors and the run's folder.")
runs_option = click.option(
    "--runs",
    "runs_folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=lambda: Path(os.environ.get("BOOSTLORA_RUNS", "runs")),
    help="Folder of all runs. [default: $BOOSTLORA_RUNS, else runs]",
)


def with_trackers(settings: tuple[str, ...], tracked: tuple[str, ...]) -> tuple[str, ...]:
    """The settings with those that `--track NAME` stands for."""
    return (*settings, *(f"trackers.{name}={{}}" for name in tracked))


def load_registry(plugin_files: tuple[Path, ...], spec: str | None = None) -> Registry:
    """The registry; broken plugins are left out, with a warning. The files that a `spec` on the command line names are loaded, with a note."""
    from ..registry import Registry
    from ..spec.plugin_loader import once, registry_for

    files = once(plugin_files)
    registry = Registry.load(files) if spec is None else registry_for(spec, files, _note)
    for broken in registry.broken:
        echo(f"warning: plugin {broken.origin} is left out: {broken.reason}", err=True)
    return registry


def _note(text: str) -> None:
    echo(f"note: {text}", err=True)


def is_finished(directory: RunDirectory) -> bool:
    """Whether a run has ended without failure."""
    return ended_well(directory.result())


def ended_well(result: Mapping[str, Any] | None) -> bool:
    """Whether there is a result, and it is no failure."""
    return result is not None and result["status"] != "failed"


def plugin_words(files: Iterable[str | Path]) -> list[str | Path]:
    """The options that load plugin files."""
    return [word for file in files for word in ("--plugin", file)]
