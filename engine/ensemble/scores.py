"""Predictions for new rows, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Examples, NewRows, Predictions, ScoringTask
from ..errors import PluginError, UsageError, blame
from ..sdk.metrics import probabilities

if TYPE_CHECKING:
    from .source import EnsembleSource


@attrs.frozen(kw_only=True, eq=False)
class ScoredRows:
    """New rows and their predictions."""

    rows: NewRows
    predictions: NDArray[Any]
    """Names of classes, or values in the units of the target `(n,)`."""
    probabilities: NDArray[np.float64] | None
    """Of every class `(n, classes)`, in the order of `Ensemble.classes`; None in a regression."""

    @property
    def errors(self) -> NDArray[np.float64]:
        """Of the rows with a known label or value: 1 for a wrong class and 0 for the right one, or the error of the value."""
        known, examples = self.rows.known, self.rows.examples
        if self.probabilities is None:
            assert examples.values is not None
            return (self.predictions - examples.values.original)[known]
        wrong = self.probabilities.argmax(axis=1) != examples.labels
        return wrong[known].astype(np.float64)


def score(
    origin: EnsembleSource, path: str, predict: Callable[[Examples], Predictions]
) -> Iterator[ScoredRows]:
    """Score the rows of a file by `predict`. Raises `UsageError` for a task that does not read new rows."""
    task, name = origin.spec.task, origin.spec.slots["task"].use
    if not isinstance(task, ScoringTask):
        raise UsageError(
            f"task {name} does not read new rows (it has no new_rows()); a language model completes prompts: boostlora generate"
        )
    splits = origin.experiment.splits
    names = np.array(splits.classes, dtype=object)
    with blame("task", name):
        chunks = iter(task.new_rows(path, splits))
    while True:
        with blame("task", name):
            rows = next(chunks, None)
        if rows is None:
            return
        found = predict(rows.examples)
        yield _scored(rows, found, names, origin.spec.slots["backend"].use)


def _scored(rows: NewRows, found: Predictions, names: NDArray[Any], backend: str) -> ScoredRows:
    if found.logits is None:
        raise PluginError("backend", backend, "predict() returns no logits, which predictions for rows need")
    values = rows.examples.values
    if values is not None:
        return ScoredRows(rows=rows, predictions=values.restored(found.logits[:, 0]), probabilities=None)
    return ScoredRows(rows=rows, predictions=names[found.output], probabilities=probabilities(found.logits))
