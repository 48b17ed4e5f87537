"""Read the cells of a study from their folders; a damaged cell counts as failed and raises no error."""

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
class CellRun:
    """A cell with the contents of its folder. `records[counted]` is the evaluated round of a finished cell."""

    state: CellState
    directory: RunDirectory | None = None
    records: tuple[RoundRecord, ...] = ()
    spec: dict[str, Any] = attrs.field(factory=dict)
    provenance: dict[str, Any] = attrs.field(factory=dict)
    result: dict[str, Any] | None = None
    counted: int = 0

    @property
    def cell(self) -> CellRecord:
        """The cell's record in the study."""
        return self.state.cell

    @property
    def finished(self) -> bool:
        """Whether the cell has finished; only such cells are analysed."""
        return self.state.status == "finished"

    @property
    def record(self) -> RoundRecord:
        """The evaluated round; for finished cells."""
        return self.records[self.counted]

    def damaged(self, cause: str) -> CellRun:
        """A copy with status `failed`; an excluded cell stays excluded."""
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


def read_cells(runs: Path, study: StudyRecord) -> list[CellRun]:
    """Every cell, in the study's order; outcomes are read later."""
    return [read_cell(runs / state.cell.folder, state, study.at) for state in states_of(runs, study)]


def read_cell(folder: Path, state: CellState, at: str) -> CellRun:
    """One cell; its counted round is the `last`, or the `best` on validation from its result."""
    run = CellRun(state=state)
    if state.status == "pending":
        return run
    try:
        directory = RunDirectory.open(folder)
        run = attrs.evolve(run, directory=directory, records=tuple(directory.records))
        run = attrs.evolve(
            run,
            spec=directory.spec_tree(),
            provenance=directory.provenance() or {},
            result=directory.result(),
        )
        return _counted(run, folder, at) if run.finished else run
    except (BoostLoraError, OSError, ValueError) as error:
        if run.directory is None and state.status in {"failed", "excluded"}:
            return run  # the run never started: its own cause is more useful than the missing folder
        return run.damaged(str(error))


def _counted(run: CellRun, folder: Path, at: str) -> CellRun:
    """Set the counted round of a finished cell. Raises `RunError` if result and rounds disagree."""
    result, records = run.result or {}, run.records
    if not records:
        raise RunError(f"{folder / ROUNDS}: missing, though {RESULT} says that the run is finished")
    return attrs.evolve(run, counted=result["best_round"] if at == "best" else len(records) - 1)
