"""Trackers log the measures of a task."""

from __future__ import annotations

import attrs

from boostlora.engine.testing.trackers import make_records
from boostlora.plugins.trackers._metrics import metrics_of


def test_measures_of_every_split_are_logged_with_accuracy_and_loss() -> None:
    record = make_records(1)[-1]
    test = attrs.evolve(record.test, measures={"auroc": 0.75, "timed_out": 0.5})
    found = metrics_of(attrs.evolve(record, test=test))
    assert (found["test/auroc"], found["test/timed_out"]) == (0.75, 0.5)
    assert "validation/auroc" not in found
    assert metrics_of(record).keys() == found.keys() - {"test/auroc", "test/timed_out"}
