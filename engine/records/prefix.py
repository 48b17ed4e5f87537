"""The first rounds of a run, read without those that follow, which may be damaged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import tomli

from ..contracts.records import RoundRecord
from ..errors import RunError
from .run_result import ROUNDS

RETIRED = ("forgotten", "fixed")
"""Keys of a round's line before they were named `lost` and `gained`."""


class EarlierFormatError(RunError):
    """A run was written by a version whose files this one does not read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(
            f"{folder}: was written by an earlier format, which this version does not read; run it again with --fresh"
        )

    def __reduce__(self) -> tuple[type[EarlierFormatError], tuple[Path]]:
        """Let it be sent to another process."""
        return type(self), (self.folder,)


def refuse_earlier_spec(folder: Path, text: str) -> None:
    """Raise `EarlierFormatError` for the spec of a run in which TinyLoRA's `adapter.u` is still `adapter.directions`."""
    if "directions" not in text:
        return
    with suppress(ValueError, RecursionError):  # damage is named by whoever needs the spec
        adapter = tomli.loads(text).get("adapter")
        if isinstance(adapter, dict) and adapter.get("use") == "tinylora" and "directions" in adapter:
            raise EarlierFormatError(folder)


def read_lines(folder: Path) -> list[bytes]:
    """The lines of a run's rounds, each with its end, as they are on disk; none where there is no file."""
    path = folder / ROUNDS
    try:
        return path.read_bytes().splitlines(keepends=True) if path.exists() else []
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from error


def records_of(folder: Path, lines: Sequence[bytes]) -> list[RoundRecord]:
    """A run's first lines as records, each checked against its digest.

    Raises `RunError` with the line that was altered, `EarlierFormatError` for a run of an earlier format.
    """
    path, records, previous = folder / ROUNDS, list[RoundRecord](), ""
    for number, line in enumerate(lines):
        try:
            record = RoundRecord.from_line(line.decode())
        except UnicodeDecodeError as error:
            raise RunError(f"{path}:{number + 1}: damaged: {error}") from error
        except ValueError as error:
            _refuse_earlier_line(folder, line)
            raise RunError(f"{path}:{number + 1}: {error}") from error
        if record.round != number or not record.is_sealed(previous):
            _refuse_earlier_line(folder, line)
            raise RunError(f"{path}:{number + 1}: altered: its digest does not match its content")
        records.append(record)
        previous = record.digest
    return records


def _refuse_earlier_line(folder: Path, line: bytes) -> None:
    try:
        content: object = json.loads(line)
    except ValueError:
        return
    if isinstance(content, dict) and all(key in content for key in RETIRED):
        raise EarlierFormatError(folder)


def rounds_text(count: int) -> str:
    """What rounds `count` lines hold, in words."""
    return "no finished round yet" if not count else "round 0" if count == 1 else f"rounds 0 to {count - 1}"
