"""The toy's task, with measures of its own beside accuracy and loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np

from boostlora.engine.contracts import Examples, Outcome, Predictions
from boostlora.engine.hookspecs import hookimpl
from tests.support.toy_plugin import Blobs


@attrs.frozen(kw_only=True)
class Measured(Blobs):
    """Blobs, with the share of the first class and of what timed out."""

    def judge(self, examples: Examples, predictions: Predictions) -> Outcome:
        """Right when the cloud is."""
        found = super().judge(examples, predictions)
        share = float(np.mean(found.prediction == 0))
        return attrs.evolve(found, measures={"first": share, "timed_out": 1.0 - share})


@hookimpl
def register_tasks(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `measured-blobs`."""
    register("measured-blobs", Measured)
