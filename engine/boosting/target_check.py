"""Checks that objective and metrics suit the targets: classes, values or texts."""

from __future__ import annotations

import numpy as np

from ..contracts import RegressionObjective, Splits, WeightedObjective
from ..errors import UsageError
from ..foundation.options import shortened
from ..sdk.metrics import BASIC_METRICS, CLASS_MEASURES, MOST_RECALLS, VALUE_MEASURES, recall_names
from ..spec import Spec


def metrics_for(spec: Spec, splits: Splits) -> tuple[str, ...]:
    """All metrics of a split by which rounds can be compared."""
    found = [*BASIC_METRICS, *getattr(spec.task, "measures", ())]
    if splits.train.values is not None:
        found += VALUE_MEASURES
    elif splits.classes:
        found += [name for name in CLASS_MEASURES if name != "f1" or len(splits.classes) == 2]
        found += recall_names(splits.classes) if len(splits.classes) <= MOST_RECALLS else ()
    return tuple(dict.fromkeys(found))


def check_targets(spec: Spec, splits: Splits) -> None:
    """Raises `UsageError` for an objective of values on a task of classes, or the reverse, and for a metric that the task lacks."""
    objective, task = spec.slots["objective"].use, spec.slots["task"].use
    learns_values, has_values = (
        isinstance(spec.objective, RegressionObjective),
        splits.train.values is not None,
    )
    if has_values and not learns_values:
        raise UsageError(
            f'objective {objective} learns classes, and the targets of task {task} are values; set objective.use = "mse" or "huber"'
        )
    if learns_values and not has_values:
        raise UsageError(
            f"objective {objective} learns values, and task {task} has "
            f'{"classes" if splits.classes else "texts"} as targets; set objective.use = "cross-entropy"'
        )
    weighs = (
        isinstance(spec.objective, WeightedObjective)
        and spec.objective.label_weights(np.zeros(1, dtype=np.int64), 1) is not None
    )
    if weighs and not splits.classes:
        raise UsageError(
            f"objective {objective} with these options weighs classes, and the targets of task {task} are texts; remove its class_weights"
        )
    for key, metric in (("stop", spec.stop.metric), ("merge", getattr(spec.merge, "metric", ""))):
        if metric:
            check_metric(f"{key}.metric", metric, spec, splits)


def check_metric(key: str, metric: str, spec: Spec, splits: Splits) -> None:
    """Raises `UsageError` for a metric, given by a key of the spec, that the task does not have on these data."""
    allowed = metrics_for(spec, splits)
    if metric not in allowed:
        task = spec.slots["task"].use
        raise UsageError(
            f'{key} = "{shortened(metric)}": task {task} has no such metric; there are: {", ".join(allowed)}'
        )
