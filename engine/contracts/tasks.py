"""Tasks: data, and the judgement of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .examples import Examples, Outcome, Predictions, Splits
from .generation import Decoding


@runtime_checkable
class Task(Protocol):
    """Brings the data and judges answers."""

    def load(self, rng: np.random.Generator) -> Splits:
        """Called once; `rng` is for splitting."""
        ...

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Called after every evaluation of a split, with the examples as `load` brought them."""
        ...


@runtime_checkable
class GeneratingTask(Task, Protocol):
    """A task that may judge what the model writes."""

    @property
    def decoding(self) -> Decoding | None:
        """How much the model may write; None: nothing is to be written, and the loss is all there is."""
        ...


@runtime_checkable
class MeasuringTask(Task, Protocol):
    """A task that measures more than accuracy and loss, in `Outcome.measures`."""

    @property
    def measures(self) -> tuple[str, ...]:
        """Their names, which a study may compare by."""
        ...


@runtime_checkable
class ProvenanceTask(Task, Protocol):
    """A task whose judgement depends on the machine: it says on what."""

    def origin(self) -> Mapping[str, Any]:
        """Called when a run begins; what is to be recorded beside versions and hashes, in JSON's types."""
        ...
