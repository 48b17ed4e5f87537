"""Stochastic boosting: a round trains on a random part of what the sampler chose (Friedman, 2002)."""

from __future__ import annotations

import numpy as np

from ..contracts import Selection
from .experiment import Experiment


def subsampled(experiment: Experiment, number: int, selection: Selection) -> Selection:
    """`boosting.subsample` of the chosen examples, at least one, drawn without replacement; they keep order and weights."""
    share, count = experiment.spec.boosting.subsample, len(selection)
    if share == 1.0 or count == 0:
        return selection
    rng = experiment.streams("subsample", number)
    kept = np.sort(rng.permutation(count)[: max(1, round(share * count))])
    return Selection(indices=selection.indices[kept], weights=selection.weights[kept])
