"""The classes of a run's test split: recall of each, and the confusion matrix.

Outcomes on disk have predictions without labels, and rounds.jsonl has their hashes, which the digests cover. So the labels are loaded with the
task's data again, and these must have the hash with which the run started.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..boosting.experiment import data_sha256, prepare
from ..errors import UsageError
from ..runs.directory import SPEC, RunDirectory
from ..sdk.metrics import confusion_matrix
from ..spec.resolve import load_spec
from .common import load_registry
from .layout import aligned, cut, line_width

LONGEST = 24
"""Most characters of a class's name."""


def class_lines(directory: RunDirectory, plugin_files: tuple[Path, ...]) -> list[str]:
    """Recall by class and the confusion matrix of the best round on the test split.

    Raises `UsageError` for a run without rounds or classes, and for data that have changed.
    """
    if not directory.records:
        raise UsageError(f"{directory.path}: no round has finished; --classes needs one")
    splits = prepare(load_spec(directory.path / SPEC, load_registry(plugin_files))).splits
    hashes = (directory.provenance() or {}).get("hashes", {})
    if data_sha256(splits) != hashes.get("data"):
        raise UsageError(f"{directory.path}: the data have changed since the run started; restore them")
    result = directory.result()
    number = result["best_round"] if result else directory.records[-1].round
    outcome = directory.outcomes(number)["test"]
    labels, predicted = splits.test.labels, outcome.prediction
    if not splits.classes or not np.array_equal(outcome.correct, predicted == labels):
        raise UsageError(
            f"{directory.path}: --classes is for classifications; this task's answers are no classes"
        )
    counts = confusion_matrix(labels, predicted, len(splits.classes))
    which = "the best on validation" if result else "the last so far"
    return [f"test split, round {number} ({which})", "", *confusion_lines(splits.classes, counts)]


def confusion_lines(classes: Sequence[str], counts: NDArray[np.int64]) -> list[str]:
    """A line for each class, with its recall and how often each class was predicted for it.

    Where the matrix is wider than the terminal, a line has the recall and the three most frequent wrong classes instead.
    """
    totals, hits = counts.sum(axis=1), np.diag(counts)
    names = [cut(name, LONGEST) for name in classes]
    recalls = [f"{100 * hit / total:.1f}" if total else "-" for hit, total in zip(hits, totals, strict=True)]
    start = [[name, str(total), recall] for name, total, recall in zip(names, totals, recalls, strict=True)]
    numbers = [str(i) for i in range(len(names))]
    titled = [f"{i} {row[0]}" for i, row in zip(numbers, start, strict=True)]
    matrix = [
        ["class", "examples", "recall %", *numbers],
        *([title, *row[1:], *map(str, line)] for title, row, line in zip(titled, start, counts, strict=True)),
    ]
    width = sum(max(map(len, column)) + 2 for column in zip(*matrix, strict=True)) - 2
    if width <= line_width():
        return [
            *aligned(matrix, gap=2),
            "",
            "columns 0, 1, …: test examples of the line's class predicted as that class",
        ]
    rows = [["class", "examples", "recall %", "most often taken for"]]
    for i, row in enumerate(start):
        wrong = [j for j in np.argsort(-counts[i], kind="stable") if j != i and counts[i, j]][:3]
        rows.append([*row, ", ".join(f"{cut(names[j], 12)} ({counts[i, j]})" for j in wrong) or "-"])
    return aligned(rows, left=(0, 3), gap=2)
