"""From a study's folders to its analysis."""

from __future__ import annotations

from pathlib import Path

from ..errors import RunError
from ..statistics.examples import Answers
from ..study.record import StudyRecord
from .arm_tests import Pair, compare, pairs_of
from .chosen_round import Choice, choose
from .curves import curves_of
from .model import Analysis
from .notes import notes_of
from .rows import row_of
from .run_reader import Reading, read_cells


def analyse(runs: Path, study: StudyRecord, *, curves: bool = True) -> Analysis:
    """Analyse a study from the folder of all runs, whatever became of its cells; `curves` are for pictures, and take time.

    A cell that is damaged counts as failed, with its cause. The same folders always give the same analysis.
    """
    readings = read_cells(runs, study)
    readings, choices, pairs, answers = _paired(study, readings)
    comparisons = compare(study, pairs, answers)
    tunings = {(choice.block, choice.arm): choice.tuning for choice in choices}
    return Analysis(
        study=study,
        rows=tuple(row_of(study, choice, comparisons.get((choice.block, choice.arm))) for choice in choices),
        curves=tuple(curve for choice in choices if curves for curve in curves_of(study, choice)),
        cells=tuple(
            reading.view(selected=reading.cell.tuning == tunings.get((reading.cell.block, reading.cell.arm)))
            for reading in readings
        ),
        notes=notes_of(study, readings, choices, comparisons),
        candidates=tuple(candidate for choice in choices for candidate in choice.candidates),
    )


def _paired(
    study: StudyRecord, readings: list[Reading]
) -> tuple[list[Reading], list[Choice], list[Pair], dict[str, Answers]]:
    """Choices and pairs, with the outcomes that the pairs need.

    Outcomes are read of nothing else, since their files are the bulk of a study. One that turns out to be damaged makes
    its cell a failed one, after which another tuning may be best: choosing begins again, at most once a cell.
    """
    answers = dict[str, Answers]()
    while True:
        choices = choose(study, readings)
        pairs = pairs_of(study, choices)
        damaged = dict[str, str]()
        for reading in (r for pair in pairs for r in (*pair.arm, *pair.baseline)):
            key = reading.cell.key
            if key not in answers and key not in damaged:
                try:
                    answers[key] = reading.answers(study.split)
                except RunError as error:
                    damaged[key] = str(error)
        if not damaged:
            return readings, choices, pairs, answers
        readings = [r.damaged(damaged[r.cell.key]) if r.cell.key in damaged else r for r in readings]
