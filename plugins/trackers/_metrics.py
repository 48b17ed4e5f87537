"""Settings, provenance and metrics of a run as flat dictionaries, for trackers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...engine.contracts.records import RoundRecord
from ...engine.runs.directory import RunDirectory

Plain = bool | int | float | str


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Plain]:
    """Flatten a tree to dotted keys; lists become JSON, and None is dropped."""
    found = dict[str, Plain]()
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{name}.")
        elif isinstance(value, Plain):
            found[name] = value
        elif value is not None:
            found[name] = json.dumps(value)
    return found


def provenance_of(run: Path) -> dict[str, Plain]:
    """A run's provenance: hashes, commit, versions, machine. Empty if not recorded."""
    return flat(RunDirectory(run).provenance() or {})


def metrics_of(record: RoundRecord) -> dict[str, float]:
    """A round's metrics: accuracies in [0, 1], losses in nats, the task's measures, and seconds per phase."""
    found = dict[str, float]()
    for split in ("train", "validation", "test"):
        metrics = getattr(record, split)
        found |= {f"{split}/accuracy": metrics.accuracy, f"{split}/loss": metrics.loss}
        found |= {f"{split}/{name}": value for name, value in metrics.measures.items()}
    if record.rank:
        found |= {"rank/min": min(record.rank.values()), "rank/max": max(record.rank.values())}
    if record.effective_rank:
        found["rank/effective"] = sum(record.effective_rank.values()) / len(record.effective_rank)
    optional = {
        "overlap": record.overlap,
        "batch_loss/first": record.loss_first,
        "batch_loss/last": record.loss_last,
    }
    found |= {name: value for name, value in optional.items() if value is not None}
    found |= {
        "failures": record.failures,
        "trained_on": record.trained_on,
        "lost": record.lost,
        "gained": record.gained,
        "parameters": record.parameters,
        "scale": record.scale,
        "memory_bytes": record.memory_bytes,
    }
    found |= {f"seconds/{what}": seconds for what, seconds in record.seconds.items()}
    return {name: float(value) for name, value in found.items()}
