"""`RUN` and `RUN@ROUND` on the command line, where exactly one run is meant."""

from __future__ import annotations

import re
from pathlib import Path

import tomli_w

from ..errors import UsageError
from ..record.directory import SPEC
from .common import command_line, find_runs

AT_ROUND = re.compile(r"(?P<run>.+)@(?P<round>-?\d{1,9})")
MOST_NAMED = 10
"""Runs that are named where one of several is to be chosen: the latest."""


def one_run(name: str, runs_folder: Path) -> Path:
    """The folder of the one run that a word stands for. Raises `UsageError` where it stands for none, or for several."""
    found = find_runs(name, runs_folder)
    if len(found) > 1:
        raise UsageError(
            f'"{name}" is {len(found)} runs; name one of them: {_latest(found, name, runs_folder)}'
        )
    return found[0]


def _latest(found: list[Path], name: str, runs_folder: Path) -> str:
    """The runs that began last, latest first, and how many more there are."""
    ordered = sorted(found, key=lambda path: (path / SPEC).stat().st_mtime, reverse=True)
    named, more = ", ".join(map(str, ordered[:MOST_NAMED])), len(ordered) - MOST_NAMED
    if more <= 0:
        return named
    return f"{named}, and {more} older; all of them: {command_line('boostlora', 'show', name, '--runs', runs_folder)}"


def run_and_round(text: str, runs_folder: Path) -> tuple[Path, int]:
    """The run and the round of `RUN@ROUND`; without `@`, -1: its last."""
    parts = AT_ROUND.fullmatch(text)
    if parts is None or _is_run(text):  # a folder's name may end like that
        return one_run(text, runs_folder), -1
    return one_run(parts["run"], runs_folder), int(parts["round"])


def start_settings(text: str, runs_folder: Path) -> list[str]:
    """`--from RUN@ROUND` as the settings that it is short for; a digest and ranks in the spec are those of another start."""
    folder, number = run_and_round(text, runs_folder)
    values = {"run": str(folder.resolve()), "round": number, "digest": "", "ranks": list[int]()}
    return [f"start.{tomli_w.dumps({key: value}).strip()}" for key, value in values.items()]


def _is_run(text: str) -> bool:
    return (Path(text) / SPEC).is_file()
