"""Stochastic boosting: every round trains on a random subset of the selected examples (Friedman, 2002)."""

from __future__ import annotations

import numpy as np

from ..contracts import Selection
from .experiment import Experiment


def subsampled(experiment: Experiment, number: int, selection: Selection) -> Selection:
    """A share `boosting.subsample` of the selection, at least one example, drawn without replacement. Order and weights stay."""
    share, count = experiment.spec.boosting.subsample, len(selection)
    if share == 1.0 or count == 0:
        return selection
    rng = experiment.streams("subsample", number)
    kept = np.sort(rng.permutation(count)[: max(1, round(share * count))])
    return Selection(indices=selection.indices[kept], weights=selection.weights[kept])
