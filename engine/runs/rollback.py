"""Rollback of a run to an earlier round, in place; later rounds are set aside."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import attrs

from ..errors import RunError, UsageError
from ..foundation.atomic import ASIDE, check_file, remove, sweep, write_bytes
from ..foundation.durable import make_folder, settle
from ..foundation.locks import locked
from ..records.commands import run_command
from ..records.prefix import read_lines, records_of, rounds_text
from ..records.run_result import RESULT, ROUNDS
from .directory import SPEC, read_tree

FOLDERS = ("outcomes", "updates", "rollouts")
"""Folders of a run with a file `NNNN.safetensors` for a round."""


@attrs.frozen(kw_only=True)
class RolledBack:
    """The result of a rollback."""

    to: int
    """The last round now."""
    last: int
    """The last round before."""
    aside: Path | None
    """Folder of the rounds after `to`; None if there were none, and nothing changed."""


def roll_back(folder: Path, to: int, report: Callable[[str, int, int], None] | None = None) -> RolledBack:
    """Make round `to` the last one of a run, under its lock. Raises `UsageError` if there is no such round.

    The files of the rounds that stay are checked; later ones may be damaged. Order of steps: later files, the old lines and the result
    are copied aside; the result is removed, since it counts more rounds; then the lines; then the files without a line. Killed at any
    point, it leaves the old run or the new one.
    """
    if not (folder / SPEC).is_file():
        raise UsageError(f"{folder}: not a run (it has no {SPEC})")
    with locked(folder):
        lines = read_lines(folder)
        _require_round(folder, to, len(lines))
        for record in records_of(folder, lines[: to + 1]):
            for name, sha256 in record.files.items():
                check_file(folder / name, sha256)
        last = len(lines) - 1
        if to == last:
            return RolledBack(to=to, last=last, aside=None)
        try:
            aside = _go_back(folder, to, lines, report or _silent)
        except OSError as error:
            raise RunError(
                f"{folder}: cannot be rolled back ({error.strerror or error}); nothing is lost"
            ) from error
    return RolledBack(to=to, last=last, aside=aside)


def _silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


def _require_round(folder: Path, to: int, count: int) -> None:
    """Raise `UsageError` for a round that does not exist, or that was inherited from another run."""
    if not 0 <= to < count:
        raise UsageError(f"{folder}: no round {to} to go back to; it has {rounds_text(count)}")
    start = read_tree(folder / SPEC).get("start", {})
    if not isinstance(start, dict) or not isinstance(start.get("round", 0), int):
        raise RunError(f"{folder / SPEC}: damaged: [start] names no round")
    if to < start.get("round", 0):
        earlier = run_command(folder, "run", folder / SPEC, "--from", f"{start.get('run')}@{to}")
        raise UsageError(
            f"{folder}: rounds 0 to {start['round']} are inherited from {start.get('run')}, and stay. To continue from "
            f"an earlier one: {earlier}"
        )


def _go_back(folder: Path, to: int, lines: Sequence[bytes], report: Callable[[str, int, int], None]) -> Path:
    """Copy aside, then remove; every step is reported before it starts."""
    sweep(folder)
    later = _files_after(folder, to)
    steps, stamp = len(later) + 4, f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    part, aside = folder / ASIDE / f".{stamp}", folder / ASIDE / stamp
    for done, file in enumerate(later):
        report("setting aside", done, steps)
        _keep(file, part / file.relative_to(folder))
    report("setting aside", len(later), steps)
    if (folder / RESULT).exists():
        _keep(folder / RESULT, part / RESULT)
    write_bytes(part / ROUNDS, b"".join(lines))
    report("setting aside", len(later) + 1, steps)
    settle(part, aside)
    report("cutting off", len(later) + 2, steps)
    remove(folder / RESULT)
    report("cutting off", len(later) + 3, steps)
    write_bytes(folder / ROUNDS, b"".join(lines[: to + 1]))
    for done, file in enumerate(later):
        report("removing", done, len(later))
        file.unlink(missing_ok=True)
    return aside


def _files_after(folder: Path, to: int) -> list[Path]:
    """Files of later rounds, including an interrupted one."""
    found = (path for name in FOLDERS for path in sorted((folder / name).glob("*.safetensors")))
    return [path for path in found if path.stem.isdigit() and int(path.stem) > to]


def _keep(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it. A link is safe, since a run's files are replaced and never modified."""
    make_folder(target.parent)
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)
