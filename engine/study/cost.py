"""What a study will cost, before anything runs: cells, steps, examples, disk, and time as far as earlier runs can tell."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from ..boosting.plan import Plan
from ..boosting.round_plan import steps_in
from ..boosting.workload import ACCELERATORS, Workload
from ..errors import BoostLoraError
from ..records.run_result import RESULT
from ..runs.directory import RunDirectory
from ..spec import Spec
from .study_loader import Study

JUDGED_BY = 40
"""Earlier runs, the newest first, that a time is judged by."""
BACKWARD = 2
"""A backward pass costs about two forward passes, so a trained example counts as three that are only evaluated."""


@attrs.frozen(kw_only=True)
class Cost:
    """What cells will take. Sums are over cells, and what all rounds would take if none stopped early."""

    cells: int
    rounds: int
    steps: int
    """Optimiser steps."""
    trained: int
    """Examples in batches, each as often as it is in one."""
    evaluated: int
    """Examples predicted after every round and before the first; what merge policies try out is not counted."""
    disk_bytes: int
    memory_bytes: int
    """Weights and what boosting adds to them, without activations, of the largest cell."""
    seconds: float | None
    """One worker's time; None where no earlier run has the same task, model and backend."""
    judged_by: int
    """Earlier runs that the time is judged by."""
    gpu_seconds: Mapping[str, float] | None = None
    """One accelerator's time, by its class; None where a cell is no language model's run."""


def cost_of(study: Study, plans: Mapping[tuple[str, str], Plan], keys: Collection[str], runs: Path) -> Cost:
    """The cost of these cells, from the plans of their arms."""
    rounds = steps = trained = evaluated = disk = memory = 0
    kinds, works = dict[tuple[str, ...], int](), list[Workload | None]()
    for key, cell in study.distinct.items():
        if key not in keys:
            continue
        plan, optimizer = plans[cell.record.block, cell.record.arm], cell.spec.optimizer
        most = cell.spec.boosting.rounds_of(plan.capacity) if plan.capacity else cell.spec.rounds
        played = min(cell.spec.rounds, most)
        played = max(0, played - max(0, cell.spec.start.round))  # rounds that it takes over cost nothing
        taken = steps_in(cell.spec, played)
        seen = taken * optimizer.batch_size
        looked_at = (played + (not cell.spec.start.given)) * sum(plan.examples.values())
        rounds, steps = rounds + played, steps + taken
        trained, evaluated = trained + seen, evaluated + looked_at
        disk += played * plan.update_bytes
        memory = max(memory, plan.weight_bytes + plan.extra_bytes)
        works.append(plan.workload)
        kind = kind_of(cell.spec)
        kinds[kind] = kinds.get(kind, 0) + (1 + BACKWARD) * seen + looked_at
    rates, judged_by = _rates(runs, set(kinds))
    known = all(kind in rates for kind in kinds)
    return Cost(
        cells=len(keys),
        rounds=rounds,
        steps=steps,
        trained=trained,
        evaluated=evaluated,
        disk_bytes=disk,
        memory_bytes=memory,
        seconds=sum(rates[kind] * work for kind, work in kinds.items()) if known else None,
        judged_by=judged_by,
        gpu_seconds=_gpu_seconds(works),
    )


def _gpu_seconds(works: Sequence[Workload | None]) -> dict[str, float] | None:
    known = [work for work in works if work is not None]
    if not works or len(known) < len(works):
        return None
    return {gpu: sum(work.seconds_of(gpu) for work in known) for gpu in ACCELERATORS}


def kind_of(spec: Spec) -> tuple[str, ...]:
    """Runs of one kind cost about the same for an example."""
    return tuple(spec.slots[slot].use for slot in ("task", "model", "backend"))


def _rates(runs: Path, kinds: Collection[tuple[str, ...]]) -> tuple[dict[tuple[str, ...], float], int]:
    """Median seconds a unit of work of finished runs, by their kind, and how many runs that is."""
    found = dict[tuple[str, ...], list[float]]()
    results = sorted(runs.glob(f"*/*/{RESULT}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in results[:JUDGED_BY]:
        try:
            directory = RunDirectory.open(path.parent)
            tree = directory.spec_tree()
            kind = tuple(str(tree[slot]["use"]) for slot in ("task", "model", "backend"))
            if kind in kinds and (rate := _rate(directory, tree)) is not None:
                found.setdefault(kind, []).append(rate)
        except (BoostLoraError, KeyError, TypeError, ValueError):  # not for this to complain about
            continue
    rates = {kind: statistics.median(values) for kind, values in found.items()}
    return rates, sum(len(values) for values in found.values())


def _rate(directory: RunDirectory, tree: Mapping[str, Any]) -> float | None:
    records = directory.records
    if len(records) < 2:
        return None
    examples = records[0].train.count + records[0].validation.count + records[0].test.count
    seen = (len(records) - 1) * tree["optimizer"]["steps"] * tree["optimizer"]["batch_size"]
    seconds = sum(sum(record.seconds.values()) for record in records)
    return seconds / ((1 + BACKWARD) * seen + len(records) * examples)
