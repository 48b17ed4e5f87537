"""Tasks: data, and the judgement of predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import attrs
import numpy as np

from .examples import Examples, NewRows, Outcome, Predictions, Splits
from .generation import Decoding


@runtime_checkable
class Task(Protocol):
    """Loads the data and judges predictions."""

    def load(self, rng: np.random.Generator) -> Splits:
        """The splits. Called once; `rng` is for random splitting."""
        ...

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """The outcome of every example. Called after every evaluation of a split, with the examples as `load` returned them."""
        ...


@runtime_checkable
class GeneratingTask(Task, Protocol):
    """A task that can judge generated texts."""

    @property
    def decoding(self) -> Decoding | None:
        """Options of generation; None: nothing is generated, and predictions hold the loss alone."""
        ...


@runtime_checkable
class MeasuringTask(Task, Protocol):
    """A task with metrics beyond accuracy and loss, in `Outcome.measures`."""

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of these metrics; studies can compare by them."""
        ...


@runtime_checkable
class ScoringTask(Task, Protocol):
    """A task that reads new rows, such as those that `boostlora predict` gets."""

    def new_rows(self, path: str, splits: Splits) -> Iterator[NewRows]:
        """The rows of a file in chunks, encoded as those of `splits`, which `load` returned; `-` is standard input.

        The label column may be missing. Raises `UsageError` naming file, column and row at fault, and for a file without rows.
        """
        ...


@runtime_checkable
class ProvenanceTask(Task, Protocol):
    """A task whose judgement depends on the machine, such as on a sandbox or an interpreter."""

    def origin(self) -> Mapping[str, Any]:
        """What the judgement depends on, as JSON types; recorded with versions and hashes. Called when a run starts."""
        ...


@attrs.frozen(kw_only=True)
class TaskDraft:
    """A `[task]` table that suits a data file, as a start for a user's own."""

    about: str
    """One line on the file: rows, what is predicted, from what."""
    options: Mapping[str, Any]
    target: Literal["classes", "values"]
    inputs: Literal["numbers", "texts"]
    width: int | None = None
    """About how many inputs its columns become; None for texts."""
    notes: tuple[str, ...] = ()
    """Remarks on columns."""


@runtime_checkable
class DraftableTask(Protocol):
    """A task that can look at a file and draft its options."""

    @classmethod
    def draft(cls, path: str, label: str) -> TaskDraft:
        """Options for a file; `label` names the column to predict, or is empty. Raises `UsageError`."""
        ...
