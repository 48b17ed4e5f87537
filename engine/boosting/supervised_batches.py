"""Batches of an objective without rollouts, with its weights of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..contracts import Batch, Objective, Selection, WeightedObjective
from ..errors import blame
from .checks import check_batches
from .experiment import Experiment


def supervised_batches(
    experiment: Experiment, selection: Selection, steps: int, batch_size: int, rng: np.random.Generator
) -> Sequence[Batch]:
    """The objective's checked batches; one that weighs labels multiplies the loss weights of its examples."""
    objective, name = cast("Objective", experiment.spec.objective), experiment.name_of("objective")
    with blame("objective", name):
        batches = check_batches(objective.batches(selection, steps, batch_size, rng), steps, name)
    weights = label_weights(experiment)
    return batches if weights is None else [b.weighted(weights) for b in batches]


def label_weights(experiment: Experiment) -> NDArray[np.float64] | None:
    """The objective's weight of every training example `(n,)`; None: 1 for all."""
    objective, splits = experiment.spec.objective, experiment.splits
    if not isinstance(objective, WeightedObjective) or not splits.classes:
        return None
    with blame("objective", experiment.name_of("objective")):
        return objective.label_weights(splits.train.labels, len(splits.classes))
