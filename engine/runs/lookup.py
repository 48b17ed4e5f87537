"""Lookup of runs by folder, name, hash, or `RUN@ROUND`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import tomli_w

from ..errors import UsageError
from ..foundation.shell import command_line
from ..spec.faults import unknown_name
from .directory import SPEC

AT_ROUND = re.compile(r"(?P<run>.+)@(?P<round>-?\d{1,9})")
SET_ASIDE = ".old-"
"""Part of the names of folders that `--fresh` has set aside; only their full path finds them."""
MOST_NAMED = 10
"""Runs listed if a name has several: the latest."""


def find_runs(name: str, runs_folder: Path) -> list[Path]:
    """The run folders for a run's folder, a folder of runs, a name or a hash prefix; newest last.

    Raises `UsageError` with the existing runs.
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
    raise UsageError(unknown_run(name, known, runs_folder))


def unknown_run(name: str, known: Sequence[str], runs_folder: Path) -> str:
    """The message for the name of no run in a folder of runs."""
    command = command_line("boostlora", "runs", "--runs", runs_folder)
    return unknown_name("run", name, known, place=str(runs_folder), command=command)


def one_run(name: str, runs_folder: Path) -> Path:
    """The folder of exactly one run. Raises `UsageError` for none or several."""
    found = find_runs(name, runs_folder)
    if len(found) > 1:
        raise UsageError(
            f'"{name}" is {len(found)} runs; name one of them: {_latest(found, name, runs_folder)}'
        )
    return found[0]


def _latest(found: list[Path], name: str, runs_folder: Path) -> str:
    """The latest runs, latest first, and the number of older ones."""
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
    """The settings that `--from RUN@ROUND` stands for; digest and ranks in the spec belong to another start and are cleared."""
    folder, number = run_and_round(text, runs_folder)
    values = {"run": str(folder.resolve()), "round": number, "digest": "", "ranks": list[int]()}
    return [f"start.{tomli_w.dumps({key: value}).strip()}" for key, value in values.items()]


def _is_run(text: str) -> bool:
    return (Path(text) / SPEC).is_file()
