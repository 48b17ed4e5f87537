"""`boostlora ablate`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from ..foundation.shell import command_line
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
from .terminal import echo


@click.command("ablate")
@click.argument("spec")
@set_option
@plugin_option
@track_option
@runs_option
@click.option("--executor", metavar="NAME", help="Where cells run: local, ray, slurm, or your plugin.")
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Parallel cells, for executors with workers."
)
@click.option("--retry", is_flag=True, help="Retry failed cells.")
@click.option(
    "--exclude",
    multiple=True,
    metavar="CELLS",
    help="Exclude cells: the label of an arm or block, seed=N, a tuned value (lr=0.1), or a hash prefix; repeatable.",
)
@click.option("--include", multiple=True, metavar="CELLS", help="Include excluded cells again; repeatable.")
@json_option
@quiet_option
def command(
    spec: str,
    settings: tuple[str, ...],
    plugin_files: tuple[Path, ...],
    tracked: tuple[str, ...],
    runs_folder: Path,
    executor: str | None,
    workers: int | None,
    retry: bool,
    exclude: tuple[str, ...],
    include: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Run the study SPEC, a TOML file with an [ablate] table, and compare its arms.

    Each cell is a run in RUNS, named by the hash of its spec. A finished cell is never run again, in this study or another; an
    interrupted one is resumed. To see the plan and its cost: boostlora check SPEC
    """
    from ..study.store import known_record, replaces, with_exclusions, write_study
    from ..study.study_loader import load_study
    from .study_run import StudyRun

    if executor is not None:
        settings = (*settings, f"ablate.executor.use={executor}")
    if workers is not None:
        settings = (*settings, f"ablate.executor.workers={workers}")
    registry = load_registry(plugin_files, spec)
    study = load_study(spec, registry, runs_folder, with_trackers(settings, tracked))
    known = known_record(runs_folder, study.record.name)
    study = with_exclusions(study, known, exclude, include)
    if replaces(study, known):
        text = f'warning: another study has the name "{study.record.name}"; its cells stay, and its record is kept in'
        echo(f"{text} {runs_folder / study.record.name / 'study'}. Give this study another name", err=True)
    again = command_line("boostlora", "ablate", spec, *_given(settings, plugin_files, tracked, runs_folder))
    conduct = StudyRun(study=study, runs=runs_folder, again=again, as_json=as_json, quiet=quiet)
    conduct.run(retry=retry, keep=partial(write_study, study, runs_folder, known, again))


def _given(
    settings: Sequence[str], plugin_files: Sequence[Path], tracked: Sequence[str], runs_folder: Path
) -> list[Any]:
    """The options that a later call must repeat for the same study."""
    words = [word for setting in settings for word in ("--set", setting)]
    words += [str(word) for file in plugin_files for word in ("--plugin", file)]
    words += [word for name in tracked for word in ("--track", name)]
    given = click.get_current_context().get_parameter_source("runs_folder")
    return [
        *words,
        *(["--runs", str(runs_folder)] if given is click.core.ParameterSource.COMMANDLINE else []),
    ]
