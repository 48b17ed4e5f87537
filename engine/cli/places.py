"""`RUN` and `RUN@ROUND` on the command line, where exactly one run is meant."""

from __future__ import annotations

import re
from pathlib import Path

import tomli_w

from ..errors import UsageError
from .common import find_runs

AT_ROUND = re.compile(r"(?P<run>.+)@(?P<round>-?\d{1,9})")


def one_run(name: str, runs_folder: Path) -> Path:
    """The folder of the one run that a word stands for. Raises `UsageError` where it stands for none, or for several."""
    found = find_runs(name, runs_folder)
    if len(found) > 1:
        raise UsageError(f'"{name}" is {len(found)} runs; name one of them: {", ".join(map(str, found))}')
    return found[0]


def run_and_round(text: str, runs_folder: Path) -> tuple[Path, int]:
    """The run and the round of `RUN@ROUND`; without `@`, -1: its last."""
    parts = AT_ROUND.fullmatch(text)
    if parts is None or _is_run(text):  # a folder's name may end like that
        return one_run(text, runs_folder), -1
    return one_run(parts["run"], runs_folder), int(parts["round"])


def start_settings(text: str, runs_folder: Path) -> list[str]:
    """`--from RUN@ROUND` as the settings that it is short for; a digest in the spec is that of another start."""
    folder, number = run_and_round(text, runs_folder)
    values = {"run": str(folder.resolve()), "round": number, "digest": ""}
    return [f"start.{tomli_w.dumps({key: value}).strip()}" for key, value in values.items()]


def _is_run(text: str) -> bool:
    return (Path(text) / "spec.toml").is_file()
