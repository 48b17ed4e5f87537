"""The record of a study on disk: its arms, blocks and cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import attrs
import cattrs

from ..errors import RunError, UsageError
from ..foundation.options import SHOWN, shortened
from ..foundation.sealed import read_sealed, write_sealed

FOLDER, RECORD, SPEC = "study", "study.json", "study.toml"
FAILURES, LOGS, SUBMITTED = "failures", "logs", "submitted.json"

Value = bool | int | float | str | list[Any]


@attrs.frozen(kw_only=True)
class Arm:
    """One compared setting, equal in every block and for every seed."""

    label: str
    values: dict[str, Any]
    """Dotted keys of the spec with the values that define the arm."""
    solved: dict[str, Any] = attrs.field(factory=dict)
    """Values that a budget solved for, in the first block."""


@attrs.frozen(kw_only=True)
class Block:
    """A condition under which all arms are repeated; comparisons stay within a block. There is always at least one."""

    label: str
    """Empty if the study has a single block."""
    values: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class CellRecord:
    """One run of a study."""

    key: str
    """The first 12 digits of the hash of its spec."""
    arm: str
    block: str
    seed: int
    tuning: dict[str, Any] = attrs.field(factory=dict)
    """Values of tuned keys; each arm is reported at the values that are best on validation."""
    folder: str
    """Its run, relative to the folder of all runs: `NAME/HASH`."""
    rounds: int
    """Maximum number of rounds."""

    @property
    def label(self) -> str:
        """Display name of the cell."""
        tuned = [f"{key.rpartition('.')[2]}={setting_text(value)}" for key, value in self.tuning.items()]
        return " · ".join(part for part in (self.arm, self.block, *tuned, f"seed {self.seed}") if part)


@attrs.frozen(kw_only=True)
class StudyRecord:
    """The contents of `study.json`: what status, statistics and reports need to find cells."""

    name: str
    description: str = ""
    sha256: str
    """Hash over all cells and comparison settings."""
    arms: tuple[Arm, ...]
    blocks: tuple[Block, ...]
    seeds: tuple[int, ...]
    cells: tuple[CellRecord, ...]
    baseline: str | None
    """Label of the arm that others are compared with, if any."""
    metric: str = "accuracy"
    """`accuracy`, `loss`, or a measure of the task, such as `auroc`."""
    split: Literal["test", "validation", "train"] = "test"
    at: Literal["last", "best"] = "last"
    """The evaluated model of a run: after the last round, or at the best round on validation."""
    confidence: float = 0.95
    notes: tuple[str, ...] = ()
    """Solved values and dropped arms, as text."""
    excluded: tuple[str, ...] = ()
    """Keys of cells that the user has excluded."""
    plugin_files: tuple[str, ...] = ()
    plugin_hashes: tuple[str, ...] = ()
    """SHA-256 of each file. A file never runs because it is named here."""
    executor: str = "local"
    executor_options: dict[str, Any] = attrs.field(factory=dict)
    created: str = ""
    provenance: dict[str, Any] = attrs.field(factory=dict)

    @property
    def included(self) -> tuple[CellRecord, ...]:
        """The cells that are not excluded."""
        return tuple(cell for cell in self.cells if cell.key not in self.excluded)

    def write(self, folder: Path) -> None:
        """Write `study.json` into the study's folder, sealed with a checksum, since comparisons rely on it for the arm and seed of a run."""
        write_sealed(folder / RECORD, attrs.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> StudyRecord:
        """The record in a study's folder. Raises `UsageError` if there is none, `RunError` if it is damaged."""
        path = folder / RECORD
        if not path.is_file():
            raise UsageError(f"{folder}: not a study (it has no {RECORD})")
        hint = "remove it, and run the study's spec again to write it anew"
        try:
            return cattrs.structure(read_sealed(path, ("name", "cells")), cls)
        except RunError as error:
            raise RunError(f"{error}; {hint}") from error
        except (ValueError, cattrs.BaseValidationError, TypeError, AttributeError) as error:
            raise RunError(f"{path}: damaged: {error}; {hint}") from error


def setting_text(value: Any) -> str:
    """Format a value as in TOML but without quotes, on one line; long ones are shortened in the middle.

    Distinct numbers have distinct texts: `0.1`, but `0.1234567` and not `0.123457`.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return short if float(short := f"{value:g}") == value else repr(value)
    if isinstance(value, list | tuple):
        return _shorten("[" + ", ".join(setting_text(v) for v in value) + "]")
    return _shorten(str(value))


def _shorten(words: str) -> str:
    """Keep both ends, since paths differ at their ends; control characters are escaped."""
    if len(words) > SHOWN:
        half = SHOWN // 2 - 1
        words = f"{words[:half]}…{words[-half:]}"
    return shortened(words, 10 * SHOWN)
