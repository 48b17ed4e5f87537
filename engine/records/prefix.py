"""The first rounds of a run, read without a look at those that follow, which may be damaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..contracts.records import RoundRecord
from ..errors import RunError
from .run_result import ROUNDS


def read_lines(folder: Path) -> list[bytes]:
    """The lines of a run's rounds, each with its end, as they are on disk; none where there is no file."""
    path = folder / ROUNDS
    try:
        return path.read_bytes().splitlines(keepends=True) if path.exists() else []
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from error


def records_of(folder: Path, lines: Sequence[bytes]) -> list[RoundRecord]:
    """A run's first lines as records, each vouched for by its digest. Raises `RunError` naming a line that was altered."""
    path, records, previous = folder / ROUNDS, list[RoundRecord](), ""
    for number, line in enumerate(lines):
        try:
            record = RoundRecord.from_line(line.decode())
        except ValueError as error:
            raise RunError(f"{path}:{number + 1}: {error}") from error
        if record.round != number or not record.is_sealed(previous):
            raise RunError(f"{path}:{number + 1}: altered: its digest does not match its content")
        records.append(record)
        previous = record.digest
    return records


def rounds_text(count: int) -> str:
    """What rounds `count` lines hold, in words."""
    return "no finished round yet" if not count else "round 0" if count == 1 else f"rounds 0 to {count - 1}"
