"""Options and helpers that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from ..errors import UsageError
from ..record.directory import SPEC, RunDirectory
from .terminal import echo

SET_ASIDE = ".old-"
"""What the names of run folders have that `--fresh` has set aside; they are found by their own path only."""

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


def find_runs(name: str, runs_folder: Path) -> list[Path]:
    """The run folders a word stands for: a run's own folder, a folder of runs, or a run's name; newest last.

    Raises `UsageError` saying which runs there are.
    """
    for folder in (Path(name), runs_folder / name):
        if (folder / SPEC).is_file():
            return [folder]
        candidates = (p.parent for p in folder.glob(f"*/{SPEC}") if SET_ASIDE not in p.parent.name)
        found = sorted(candidates, key=lambda p: (p / SPEC).stat().st_mtime)
        if found:
            return found
    by_hash = (
        sorted(p.parent for p in runs_folder.glob(f"*/{name}*/{SPEC}") if SET_ASIDE not in p.parent.name)
        if name and "/" not in name
        else []
    )
    if by_hash:
        return by_hash
    known = sorted({p.parent.parent.name for p in runs_folder.glob(f"*/*/{SPEC}")})
    raise UsageError(f'no run "{name}"; in {runs_folder} there are: {", ".join(known) or "none yet"}')


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


def command_line(*words: str | Path) -> str:
    """A command to type, quoted where it must be."""
    import shlex

    return shlex.join(str(word) for word in words)
