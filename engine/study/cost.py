"""The cost of a study before it runs: cells, steps, examples, disk, and time estimated from earlier runs."""

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

MAX_REFERENCE_RUNS = 40
"""Maximum number of earlier runs, newest first, for the time estimate."""
BACKWARD_COST = 2
"""Cost of a backward pass in forward passes; a trained example costs as much as three evaluated ones."""


@attrs.frozen(kw_only=True)
class Cost:
    """Cost of cells, summed over cells, if no run stops early."""

    cells: int
    rounds: int
    steps: int
    """Optimiser steps."""
    trained: int
    """Examples in batches, counted with repetition."""
    evaluated: int
    """Examples predicted before the first round and after every round, without trials of merge policies."""
    disk_bytes: int
    memory_bytes: int
    """Weights and what boosting adds to them in the largest cell, without activations."""
    seconds: float | None
    """Time of one worker; None if no earlier run has the same task, model and backend."""
    reference_runs: int
    """Number of earlier runs behind the estimate."""
    gpu_seconds: Mapping[str, float] | None = None
    """Time of one accelerator by its class; None unless all cells train language models."""


def cost_of(study: Study, plans: Mapping[tuple[str, str], Plan], keys: Collection[str], runs: Path) -> Cost:
    """The cost of these cells, from the plans of their arms."""
    rounds = steps = trained = evaluated = disk = memory = 0
    kinds, workloads = dict[tuple[str, ...], int](), list[Workload | None]()
    for key, cell in study.distinct.items():
        if key not in keys:
            continue
        plan, optimizer = plans[cell.record.block, cell.record.arm], cell.spec.optimizer
        most = cell.spec.boosting.rounds_of(plan.capacity) if plan.capacity else cell.spec.rounds
        rounds_run = min(cell.spec.rounds, most)
        rounds_run = max(
            0, rounds_run - max(0, cell.spec.start.round)
        )  # rounds taken over from another run cost nothing
        steps_run = steps_in(cell.spec, rounds_run)
        batch_examples = steps_run * optimizer.batch_size
        evaluated_examples = (rounds_run + (not cell.spec.start.given)) * sum(plan.examples.values())
        rounds, steps = rounds + rounds_run, steps + steps_run
        trained, evaluated = trained + batch_examples, evaluated + evaluated_examples
        disk += rounds_run * plan.update_bytes
        memory = max(memory, plan.weight_bytes + plan.extra_bytes)
        workloads.append(plan.workload)
        kind = kind_of(cell.spec)
        kinds[kind] = kinds.get(kind, 0) + (1 + BACKWARD_COST) * batch_examples + evaluated_examples
    rates, reference_runs = _rates(runs, set(kinds))
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
        reference_runs=reference_runs,
        gpu_seconds=_gpu_seconds(workloads),
    )


def _gpu_seconds(workloads: Sequence[Workload | None]) -> dict[str, float] | None:
    known = [work for work in workloads if work is not None]
    if not workloads or len(known) < len(workloads):
        return None
    return {gpu: sum(work.seconds_of(gpu) for work in known) for gpu in ACCELERATORS}


def kind_of(spec: Spec) -> tuple[str, ...]:
    """Task, model and backend: runs of one kind cost about the same per example."""
    return tuple(spec.slots[slot].use for slot in ("task", "model", "backend"))


def _rates(runs: Path, kinds: Collection[tuple[str, ...]]) -> tuple[dict[tuple[str, ...], float], int]:
    """Median seconds per unit of work of finished runs by kind, and the number of runs."""
    found = dict[tuple[str, ...], list[float]]()
    results = sorted(runs.glob(f"*/*/{RESULT}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in results[:MAX_REFERENCE_RUNS]:
        try:
            directory = RunDirectory.open(path.parent)
            tree = directory.spec_tree()
            kind = tuple(str(tree[slot]["use"]) for slot in ("task", "model", "backend"))
            if kind in kinds and (rate := _rate(directory, tree)) is not None:
                found.setdefault(kind, []).append(rate)
        except (BoostLoraError, KeyError, TypeError, ValueError):  # unreadable runs are reported elsewhere
            continue
    rates = {kind: statistics.median(values) for kind, values in found.items()}
    return rates, sum(len(values) for values in found.values())


def _rate(directory: RunDirectory, tree: Mapping[str, Any]) -> float | None:
    records = directory.records
    if len(records) < 2:
        return None
    examples = records[0].train.count + records[0].validation.count + records[0].test.count
    batch_examples = (len(records) - 1) * tree["optimizer"]["steps"] * tree["optimizer"]["batch_size"]
    seconds = sum(sum(record.seconds.values()) for record in records)
    return seconds / ((1 + BACKWARD_COST) * batch_examples + len(records) * examples)
