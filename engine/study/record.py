"""A study on disk: which cells it has, and what they are to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import attrs
import cattrs

from ..errors import RunError, UsageError
from ..foundation.sealed import read_sealed, write_sealed
from .labels import text

FOLDER, RECORD, SPEC = "study", "study.json", "study.toml"
FAILURES, LOGS, SUBMITTED = "failures", "logs", "submitted.json"

Value = bool | int | float | str | list[Any]


@attrs.frozen(kw_only=True)
class Arm:
    """One setting that is compared with others: the same in every block, for every seed."""

    label: str
    values: dict[str, Any]
    """Dotted keys of the spec, with the values by which arms differ."""
    solved: dict[str, Any] = attrs.field(factory=dict)
    """Keys whose values followed from a budget that is held, in the first block."""


@attrs.frozen(kw_only=True)
class Block:
    """A circumstance in which the whole study is repeated; comparisons stay within one. There is always at least one."""

    label: str
    """Empty where the study has a single block."""
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
    """Values of the keys that are tuned: each arm is reported at those that are best on validation."""
    folder: str
    """Its run, relative to the folder of all runs: `NAME/HASH`."""
    rounds: int
    """Rounds it will play at most."""

    @property
    def label(self) -> str:
        """The cell for people."""
        tuned = [f"{key.rpartition('.')[2]}={text(value)}" for key, value in self.tuning.items()]
        return " · ".join(part for part in (self.arm, self.block, *tuned, f"seed {self.seed}") if part)


@attrs.frozen(kw_only=True)
class StudyRecord:
    """A study as it is written to `study.json`; all that status, statistics and reports need to find its cells."""

    name: str
    description: str = ""
    sha256: str
    """Hash over all its cells and how they are compared."""
    arms: tuple[Arm, ...]
    blocks: tuple[Block, ...]
    seeds: tuple[int, ...]
    cells: tuple[CellRecord, ...]
    baseline: str | None
    """Label of the arm that the others are compared with; None: there is none."""
    metric: str = "accuracy"
    """`accuracy`, `loss`, or a measure of the task, such as `auroc`."""
    split: Literal["test", "validation", "train"] = "test"
    at: Literal["last", "best"] = "last"
    """Which model of a run counts: that of the last round, or the best on validation."""
    confidence: float = 0.95
    notes: tuple[str, ...] = ()
    """What the engine solved or dropped, in words."""
    excluded: tuple[str, ...] = ()
    """Keys of cells that the user has taken out."""
    plugin_files: tuple[str, ...] = ()
    plugin_hashes: tuple[str, ...] = ()
    """SHA-256 of each of those files. None of them is run because it is named here."""
    executor: str = "local"
    executor_options: dict[str, Any] = attrs.field(factory=dict)
    created: str = ""
    provenance: dict[str, Any] = attrs.field(factory=dict)

    @property
    def included(self) -> tuple[CellRecord, ...]:
        """The cells that count."""
        return tuple(cell for cell in self.cells if cell.key not in self.excluded)

    def write(self, folder: Path) -> None:
        """Write `study.json` into the study's folder, sealed: comparisons believe it which arm and seed a run is of."""
        write_sealed(folder / RECORD, attrs.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> StudyRecord:
        """The record in a study's folder. Raises `UsageError` where there is none, `RunError` where it is damaged."""
        path = folder / RECORD
        if not path.is_file():
            raise UsageError(f"{folder}: not a study (it has no {RECORD})")
        again = "remove it, and run the study's spec again to write it anew"
        try:
            return cattrs.structure(read_sealed(path, ("name", "cells")), cls)
        except RunError as error:
            raise RunError(f"{error}; {again}") from error
        except (ValueError, cattrs.BaseValidationError, TypeError, AttributeError) as error:
            raise RunError(f"{path}: damaged: {error}; {again}") from error
