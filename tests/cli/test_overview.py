"""The display of a study: what it says of progress and time, from the files alone."""

from pathlib import Path

import pytest

from boostlora.engine.cli import study_progress
from boostlora.engine.cli.progress_display import EVERY
from boostlora.engine.cli.study_progress import CellLines, Progress, StudyProgress
from boostlora.engine.cli.units import duration
from boostlora.engine.contracts import JobResult
from boostlora.engine.registry import Registry
from boostlora.engine.study.scheduler import partition_cells
from boostlora.engine.study.study_loader import load_study

from ..support.endings import leave_result

STUDY = """
extends = "paper/digits"
name = "seen"
rounds = 9
[ablate]
grid."basis.use" = ["rotate", "fixed"]
seeds = 2
"""


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    (tmp_path / "seen.toml").write_text(STUDY)
    study = load_study(tmp_path / "seen.toml", Registry.load(), tmp_path / "runs")
    return Progress(study, tmp_path / "runs", partition_cells(study, tmp_path / "runs").open)


def _play(progress: Progress, index: int, rounds: int, *, finished: bool = False) -> str:
    """Leave the files that a cell has after so many rounds."""
    key = list(progress.states)[index]
    folder = progress.runs / progress.states[key].cell.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rounds.jsonl").write_text("{}\n" * (rounds + 1))
    (folder / "holder.json").write_text("{}")
    if finished:
        (folder / "holder.json").unlink()
        leave_result(folder, "completed")
    return key


def test_time_left_is_estimated_from_the_rounds_so_far(progress, monkeypatch):
    monkeypatch.setattr(study_progress.time, "monotonic", lambda: progress.began + 10.0)
    assert progress.left is None
    _play(progress, 0, 3)
    progress.refresh()
    assert progress.left is None, "four rounds of forty do not make a pace"
    _play(progress, 1, 9, finished=True)
    progress.refresh()
    done, rest = 4 + 10, 6 + 0 + 10 + 10
    assert progress.left == pytest.approx(rest * 10.0 / done)


def test_cells_are_counted_by_the_status_in_their_files(progress):
    _play(progress, 0, 9, finished=True)
    _play(progress, 1, 2)
    progress.refresh()
    assert [progress.count(status) for status in ("finished", "running", "pending")] == [1, 1, 2]
    (_, arm, states), (_, other, others) = progress.rows()
    assert (arm, [s.rounds for s in states]) == ("rotate", [9, 2])
    assert (other, [s.status for s in others]) == ("fixed", ["pending", "pending"])


def test_log_has_a_line_per_ended_cell(progress, capsys):
    shown = StudyProgress(progress)
    with shown.showing():
        shown.tick(None)
        shown.tick(JobResult(cell=_play(progress, 0, 9, finished=True), status="finished"))
        shown.tick(JobResult(cell=list(progress.states)[1], status="lost", cause="its worker was killed"))
        shown.tick(JobResult(cell=list(progress.states)[2], status="failed", cause="no luck"))
    assert capsys.readouterr().out.splitlines() == [
        "[1/4] rotate · seed 0: completed after 9 rounds",
        "rotate · seed 1: lost its worker and will be resumed: its worker was killed",
        "fixed · seed 0: failed: no luck",
    ]


def test_log_has_a_line_of_cells_rounds_and_time_at_intervals(progress, monkeypatch, capsys):
    now = progress.began
    monkeypatch.setattr(study_progress.time, "monotonic", lambda: now)
    displays = [StudyProgress(progress), CellLines(progress)]
    _play(progress, 0, 9, finished=True)
    _play(progress, 1, 3)
    for display in displays:
        display.tick(None)
    now += EVERY
    for display in displays:
        display.tick(None)
    line = "1 of 4 cells · 1 running · 12 of 36 rounds · 8 s so far · about 15 s left"
    assert capsys.readouterr().err.splitlines() == [line] * 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")],
)
def test_durations_are_formatted_in_words(seconds, text):
    assert duration(seconds) == text


def _row(arm, status):
    from boostlora.engine.study.record import CellRecord
    from boostlora.engine.study.states import CellState

    cell = CellRecord(key="0" * 12, arm=arm, block="", seed=0, folder="x/0", rounds=1)
    return "", arm, [CellState(cell=cell, status=status)]


def test_small_terminal_shows_running_and_failed_arms_first():
    statuses = ("finished", "pending", "finished", "running", "pending", "failed", "finished")
    rows = [_row(f"arm {n}", status) for n, status in enumerate(statuses)]
    assert study_progress.fitting(rows, 7) == rows
    assert [arm for _, arm, _ in study_progress.fitting(rows, 4)] == ["arm 1", "arm 3", "arm 4", "arm 5"]
    assert [arm for _, arm, _ in study_progress.fitting(rows, 2)] == ["arm 3", "arm 5"]


@pytest.mark.parametrize("width", [60, 80, 90, 100, 110, 120, 1000])
def test_table_of_rounds_fits_the_terminal(width):
    from boostlora.engine.cli.columns import COLUMNS, fitting

    title = " ".join(name.rjust(size) for _, name, size in fitting(COLUMNS, width))
    assert len(title) <= width
    assert title.split()[0] == "round"
    if width >= 120:
        assert all(column.long in title for column in COLUMNS)
