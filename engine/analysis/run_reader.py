"""The cells of a study as their folders tell of them; a damaged one is a failed one, never an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from ..contracts.records import RoundRecord
from ..errors import BoostLoraError, RunError
from ..records.run_result import RESULT, ROUNDS
from ..runs.directory import RunDirectory
from ..statistics.examples import Answers
from ..study.record import CellRecord, StudyRecord
from ..study.states import CellState, states_of
from .model import CellView


@attrs.frozen(kw_only=True, eq=False)
class Reading:
    """A cell with what its folder holds. `records[counted]` is the round whose model counts, where the cell is finished."""

    state: CellState
    directory: RunDirectory | None = None
    records: tuple[RoundRecord, ...] = ()
    spec: dict[str, Any] = attrs.field(factory=dict)
    provenance: dict[str, Any] = attrs.field(factory=dict)
    result: dict[str, Any] | None = None
    counted: int = 0

    @property
    def cell(self) -> CellRecord:
        """What the study says of it."""
        return self.state.cell

    @property
    def finished(self) -> bool:
        """Whether it counts."""
        return self.state.status == "finished"

    @property
    def record(self) -> RoundRecord:
        """The round whose model counts; for finished cells."""
        return self.records[self.counted]

    def damaged(self, cause: str) -> Reading:
        """The same cell as a failed one; one that is excluded stays so."""
        status = "excluded" if self.state.status == "excluded" else "failed"
        return attrs.evolve(self, state=attrs.evolve(self.state, status=status, cause=cause))

    def answers(self, split: str) -> Answers:
        """Ids and correctness of a split's examples at the counted round. Raises `RunError` where its file is damaged."""
        if self.directory is None:
            raise RunError(f"{self.cell.folder}: not a run")
        try:
            outcome = self.directory.outcomes(self.counted)[split]
        except (KeyError, IndexError) as error:
            raise RunError(f"{self.directory.path}: no outcomes of round {self.counted}, {split}") from error
        return outcome.ids, outcome.correct

    def view(self, *, selected: bool) -> CellView:
        """The cell for the report."""
        return CellView(
            state=self.state,
            selected=selected,
            records=self.records,
            spec=self.spec,
            provenance=self.provenance,
            result=self.result,
        )


def read_cells(runs: Path, study: StudyRecord) -> list[Reading]:
    """Every cell, in the study's order; outcomes are not read yet."""
    return [read_cell(runs / state.cell.folder, state, study.at) for state in states_of(runs, study)]


def read_cell(folder: Path, state: CellState, at: str) -> Reading:
    """One cell, its counted round being the `last` or the `best` on validation, as its result says."""
    reading = Reading(state=state)
    if state.status == "pending":
        return reading
    try:
        directory = RunDirectory.open(folder)
        reading = attrs.evolve(reading, directory=directory, records=tuple(directory.records))
        reading = attrs.evolve(
            reading,
            spec=directory.spec_tree(),
            provenance=directory.provenance() or {},
            result=directory.result(),
        )
        return _counted(reading, folder, at) if reading.finished else reading
    except (BoostLoraError, OSError, ValueError) as error:
        if reading.directory is None and state.status in {"failed", "excluded"}:
            return reading  # it never began: its own cause says more than the missing folder
        return reading.damaged(str(error))


def _counted(reading: Reading, folder: Path, at: str) -> Reading:
    """A finished cell with its counted round. Raises `RunError` where result and rounds disagree."""
    result, records = reading.result or {}, reading.records
    if not records:
        raise RunError(f"{folder / ROUNDS}: missing, though {RESULT} says that the run is finished")
    return attrs.evolve(reading, counted=result["best_round"] if at == "best" else len(records) - 1)
