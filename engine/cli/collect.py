"""`boostlora collect`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from ..foundation.counts import count_text
from .common import json_option, load_registry, plugin_option, quiet_option, runs_option
from .terminal import echo

POLL = 2.0
"""Seconds between polls of a queue."""


@click.command("collect")
@click.argument("study")
@plugin_option
@runs_option
@click.option("--wait", is_flag=True, help="Wait until no cell is queued or running.")
@json_option
@quiet_option
def command(
    study: str, plugin_files: tuple[Path, ...], runs_folder: Path, wait: bool, as_json: bool, quiet: bool
) -> None:
    """Collect the queued cells of STUDY that have ended, and compare its arms so far.

    The study's plugin files run only if --plugin names them.
    """
    from ..contracts import DetachedExecutor
    from ..study.queue import check_plugins, collect_results, executor_of
    from ..study.states import states_of, study_folder
    from ..study.store import find_study
    from .exit_codes import EXIT_FAILED
    from .interrupts import interruptible
    from .results import show_results

    runs, record = find_study(study, runs_folder)
    folder = study_folder(runs, record.name)
    check_plugins(record, plugin_files)
    executor = executor_of(record, load_registry(plugin_files))
    with interruptible(lambda: "nothing is lost: the queue continues without this command"):
        while True:
            queued = 0
            if isinstance(executor, DetachedExecutor):
                queued = sum(ended is None for ended in collect_results(executor, folder).values())
            running = sum(s.status == "running" for s in states_of(runs, record))
            if not wait or not (queued or running):
                break
            time.sleep(POLL)
    if queued and not (quiet or as_json):
        echo(f"{count_text(queued, 'cell')} still queued or running; wait with --wait")
    show_results(record, runs, as_json=as_json, quiet=quiet)
    if any(s.status == "failed" for s in states_of(runs, record)):
        sys.exit(EXIT_FAILED)
