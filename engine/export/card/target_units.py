"""What an exported regression returns, and the units of the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import UsageError
from ...sdk.metrics import is_regression

if TYPE_CHECKING:
    from ...ensemble.ensemble import Ensemble

OWN_HEAD = "sequence-classifier/"
"""Architectures whose head returns values in the units of the target."""


def units_text(ensemble: Ensemble, architecture: str) -> str:
    """Markdown on how the output of a regression becomes a value of the target; empty for other tasks."""
    if not ensemble.records or not is_regression(ensemble.records[0].test):
        return ""
    if architecture.startswith(OWN_HEAD):
        return "The output is the predicted value, in the units of the target."
    try:
        values = ensemble.origin.experiment.splits.train.values
    except UsageError:  # no data here: a boost file
        values = None
    if values is None:
        return (
            "The output is standardised by mean and standard deviation of the training targets, which a boost file does not hold: "
            "the value is `mean + standard deviation * output`."
        )
    return f"The output is standardised: in the units of the target, the value is `{values.mean!r} + {values.std!r} * output`."
