"""The table's rows: for every arm and block the metrics of the model that counts, over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..contracts.records import RoundRecord
from ..study.record import Arm, StudyRecord
from .chosen_round import Choice
from .estimates import estimates
from .model import Comparison, Row
from .quantities import (
    effort,
    gained,
    lookup,
    lost,
    metrics_of_splits,
    parameters,
    seconds,
    shape_of,
    stored,
)
from .run_reader import Reading


def row_of(study: StudyRecord, choice: Choice, comparison: Comparison | None) -> Row:
    """The row of a choice; one without finished seeds has no metrics."""
    arm = next(arm for arm in study.arms if arm.label == choice.arm)
    return Row(
        arm=choice.arm,
        block=choice.block,
        is_baseline=choice.arm == study.baseline,
        values=_values(arm, choice.readings),
        tuned=choice.tuning,
        seeds=choice.seeds,
        missing=tuple(seed for seed in study.seeds if seed not in choice.seeds),
        cells=tuple(reading.cell.key for reading in choice.readings),
        metrics=estimates([cell_metrics(reading) for reading in choice.readings], study.confidence),
        comparison=comparison,
    )


def cell_metrics(reading: Reading) -> dict[str, float]:
    """A finished cell's metrics by name.

    Those of the splits, `rank`, `parameters`, `stored`, `rounds`, `steps`, `examples`, `lost` and `gained` are of the model
    that counts, with the rounds up to it; `seconds` and `memory_bytes` are what the whole run took.
    """
    base, record, played = reading.records[0], reading.record, reading.records[: reading.counted + 1]
    found = metrics_of_splits(record)
    found |= {f"base.{name}": value for name, value in metrics_of_splits(base).items()}
    found |= shape_of(record)
    found |= {"parameters": float(parameters(played)), "stored": float(stored(played))}
    found |= {"rounds": float(reading.counted)}
    found |= {name: float(count) for name, count in effort(reading.spec, reading.counted).items()}
    shares = {"lost": lost(played), "gained": gained(played)}
    found |= {name: share for name, share in shares.items() if share is not None}
    found["seconds"] = sum(seconds(r) for r in reading.records)
    return found | _memory(reading.records)


def _memory(records: Sequence[RoundRecord]) -> dict[str, float]:
    peak = max(record.memory_bytes for record in records)
    return {"memory_bytes": float(peak)} if peak else {}


def _values(arm: Arm, readings: Sequence[Reading]) -> dict[str, Any]:
    """The arm's keys; solved ones as the block's own cells have them, since another block may need another value."""
    spec = readings[0].spec if readings else {}
    solved = {key: lookup(spec, key) for key in arm.solved}
    return arm.values | {key: arm.solved[key] if value is None else value for key, value in solved.items()}
