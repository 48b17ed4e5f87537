"""Studies on disk with planted effects: every cell is a real run folder, written as a run writes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import attrs
import numpy as np
import tomli_w

from boostlora.engine.contracts import Outcome
from boostlora.engine.contracts.records import RoundRecord
from boostlora.engine.foundation.rng import Streams
from boostlora.engine.records.run_result import RESULT
from boostlora.engine.runs.directory import ORIGINAL, PROVENANCE, SPEC, RunDirectory
from boostlora.engine.sdk.judge import metrics_of
from boostlora.engine.study.record import Arm, Block, CellRecord, StudyRecord
from boostlora.engine.study.states import failure_path, study_folder

SITES = ("layers.0.weight", "layers.1.weight")
RANK, NUMBERS, STEPS = 4, 16, 40
TUNED = "optimizer.lr"
SPLITS = ("train", "validation", "test")
BASE = 0.3
"""Accuracy of the base model in every cell."""

Which = Callable[[CellRecord], bool]


@attrs.frozen(kw_only=True)
class Plan:
    """What is planted."""

    arms: Mapping[str, float]
    blocks: Mapping[str, float]
    tunings: Mapping[float, float]
    rounds: int
    examples: int
    spread: float
    stops: Mapping[tuple[str, int], int]
    peaks: Mapping[str, int]
    test_shift: Mapping[float, float]


def make_study(
    runs: Path,
    *,
    arms: Mapping[str, float] | None = None,
    seeds: int | Sequence[int] = 5,
    blocks: Sequence[str] | Mapping[str, float] = ("",),
    tunings: Sequence[float] | Mapping[float, float] = (),
    rounds: int = 4,
    examples: int = 200,
    failed: Which | None = None,
    pending: Which | None = None,
    stops: Mapping[tuple[str, int], int] | None = None,
    peaks: Mapping[str, int] | None = None,
    test_shift: Mapping[float, float] | None = None,
    spread: float = 0.01,
    **record: Any,
) -> StudyRecord:
    """Write a study and all its runs.

    Args:
        runs: the folder of all runs; the study goes to `runs/toy/study` unless `name` says else.
        arms: final accuracy (on every split) by label; the first arm is the baseline unless `baseline` says else.
        seeds: how many, or which.
        blocks: labels, or what each adds to the accuracy.
        tunings: learning rates, or what each adds to the accuracy.
        rounds: rounds of every cell; accuracy grows from 0.3 to the planted one.
        examples: of every split; each seed draws them from a pool of twice as many, whose difficulty is shared.
        failed, pending: which cells failed before round 1, or have not begun.
        stops: the last round of a run that stopped early, by arm and seed.
        peaks: the round after which an arm gets worse again, by arm.
        test_shift: what a tuning adds to the accuracy on the test split alone.
        spread: standard deviation of a cell's accuracy.
        record: further fields of `StudyRecord`: `metric`, `split`, `at`, `confidence`, `excluded`, `baseline`, …
    """
    planted = Plan(
        arms=arms or {"a": 0.7, "b": 0.8},
        blocks=blocks if isinstance(blocks, Mapping) else dict.fromkeys(blocks, 0.0),
        tunings=tunings if isinstance(tunings, Mapping) else dict.fromkeys(tunings, 0.0),
        rounds=rounds,
        examples=examples,
        spread=spread,
        stops=stops or {},
        peaks=peaks or {},
        test_shift=test_shift or {},
    )
    numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    name = record.pop("name", "toy")
    cells = tuple(_cell(name, planted, place) for place in _grid(planted, numbers))
    study = StudyRecord(
        name=name,
        sha256=hashlib.sha256("".join(c.key for c in cells).encode()).hexdigest(),
        arms=tuple(Arm(label=label, values={"basis.use": label}) for label in planted.arms),
        blocks=tuple(
            Block(label=label, values={"task.angle": label} if label else {}) for label in planted.blocks
        ),
        seeds=numbers,
        cells=cells,
        **{"baseline": next(iter(planted.arms)), **record},
    )
    study.write(study_folder(runs, name))
    with mock.patch(
        "boostlora.engine.foundation.atomic.os.fsync"
    ):  # test folders need no protection from power loss
        for cell in study.cells:
            if pending is not None and pending(cell):
                continue
            if failed is not None and failed(cell):
                _fail(runs, study, cell)
            else:
                write_run(runs / cell.folder, cell, planted)
    return study


Place = tuple[str, str, int, float | None]
"""Arm, block, seed, tuning."""


def _grid(planted: Plan, seeds: Sequence[int]) -> list[Place]:
    tunings = list(planted.tunings) or [None]
    return [(a, b, s, t) for b in planted.blocks for a in planted.arms for t in tunings for s in seeds]


def _text(name: str, planted: Plan, place: Place) -> str:
    """A cell's spec."""
    arm, block, seed, tuning = place
    tree = {
        "name": name,
        "seed": seed,
        "rounds": planted.rounds,
        "task": {"use": "digits", "angle": block},
        "model": {"use": "mlp"},
        "adapter": {"use": "tinylora", "rank": RANK, "u": NUMBERS // 2},
        "basis": {"use": arm},
        "optimizer": {"use": "adam", "lr": 0.03 if tuning is None else tuning, "steps": STEPS},
    }
    return tomli_w.dumps(tree)


def _cell(name: str, planted: Plan, place: Place) -> CellRecord:
    arm, block, seed, tuning = place
    key = hashlib.sha256(_text(name, planted, place).encode()).hexdigest()[:12]
    tuned = {} if tuning is None else {TUNED: tuning}
    return CellRecord(
        key=key, arm=arm, block=block, seed=seed, tuning=tuned, folder=f"{name}/{key}", rounds=planted.rounds
    )


def _fail(runs: Path, study: StudyRecord, cell: CellRecord) -> None:
    path = failure_path(study_folder(runs, study.name), cell.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    cause = "round 1 was refused: loss is not finite"
    path.write_text(json.dumps({"cause": cause, "traceback": "", "at": "2026-01-01T00:00:00+00:00"}))


def write_run(folder: Path, cell: CellRecord, planted: Plan) -> RunDirectory:
    """Write one finished run as the boosting loop does: outcomes, then the line, then the result."""
    text = _text(folder.parent.name, planted, (cell.arm, cell.block, cell.seed, cell.tuning.get(TUNED)))
    folder.mkdir(parents=True)
    (folder / SPEC).write_text(text)
    (folder / ORIGINAL).write_text(text)
    directory = RunDirectory(folder)
    hashes = {"spec": cell.key, "train": "0" * 64}
    versions = {"python": "3.11", "numpy": np.__version__}
    directory.write_json(PROVENANCE, {"seed": cell.seed, "hashes": hashes, "versions": versions, "git": None})
    last = planted.stops.get((cell.arm, cell.seed), planted.rounds)
    accuracies, before = _course(cell, planted), None
    shifts = {"test": planted.test_shift.get(cell.tuning.get(TUNED, 0.0), 0.0)}
    for number in range(last + 1):
        outcomes = {
            split: outcome_of(cell, split, accuracies[number] + shifts.get(split, 0.0), planted.examples)
            for split in SPLITS
        }
        directory.commit(_record(number, outcomes, before), outcomes)
        before = outcomes["train"]
    best = max(directory.records, key=lambda r: (r.validation.accuracy, -r.round)).round
    status = "completed" if last == planted.rounds else "patience"
    end = {
        "status": status,
        "reason": "planted",
        "rounds": last,
        "best_round": best,
        "digest": directory.digest,
    }
    directory.write_json(RESULT, end)
    return directory


def _course(cell: CellRecord, planted: Plan) -> list[float]:
    """Accuracy after every round: from the base's to the cell's own, falling again after the arm's peak."""
    tuning = cell.tuning.get(TUNED)
    noise = planted.spread * Streams(cell.seed)("noise", site=cell.arm + cell.block).standard_normal()
    top = planted.arms[cell.arm] + planted.blocks[cell.block] + noise
    top += planted.tunings[tuning] if tuning is not None else 0.0
    peak = planted.peaks.get(cell.arm, planted.rounds)
    course = [BASE + (top - BASE) * min(number, peak) / max(1, peak) for number in range(planted.rounds + 1)]
    return [value - 0.05 * max(0, number - peak) for number, value in enumerate(course)]


def outcome_of(cell: CellRecord, split: str, accuracy: float, examples: int) -> Outcome:
    """Exactly the planted share of a split's examples right: those that are easiest, all arms agreeing more or less."""
    pool = 2 * examples
    offset = 1_000_000 * SPLITS.index(split)
    difficulty = Streams(0)("difficulty", site=split).standard_normal(pool)
    ids = Streams(cell.seed)("split", site=split).permutation(pool)[:examples]
    noise = Streams(cell.seed)("luck", site=cell.arm + cell.block + split).standard_normal(examples)
    score = difficulty[ids] + 0.5 * noise
    right = min(examples, max(0, round(accuracy * examples)))
    correct = np.zeros(examples, dtype=np.bool_)
    correct[np.argsort(score, kind="stable")[:right]] = True
    loss = np.where(correct, 0.2, 1.7) + 0.05 * np.abs(noise)
    prediction = np.where(correct, 0, 1).astype(np.int64)
    return Outcome(
        ids=(ids + offset).astype(np.int64),
        prediction=prediction,
        loss=loss,
        correct=correct,
        reward=correct.astype(float),
    )


def _record(number: int, outcomes: Mapping[str, Outcome], before: Outcome | None) -> RoundRecord:
    metrics = {split: metrics_of(outcomes[split]) for split in SPLITS}
    ranks: dict[str, Any] = {"rank": dict.fromkeys(SITES, RANK * number)}
    ranks["effective_rank"] = dict.fromkeys(SITES, 0.75 * RANK * number)
    now = outcomes["train"].correct
    if before is None:
        return RoundRecord(
            round=0, status="base", failures=int(np.sum(~now)), seconds={"evaluate": 0.1}, **metrics, **ranks
        )
    return RoundRecord(
        round=number,
        status="merged",
        scale=1.0,
        failures=int(np.sum(~before.correct)),
        selected=50,
        trained_on=50,
        lost=int(np.sum(before.correct & ~now)),
        gained=int(np.sum(~before.correct & now)),
        parameters=NUMBERS,
        loss_first=1.0,
        loss_last=0.5,
        overlap=1e-15 if number > 1 else None,
        seconds={"train": 0.5, "evaluate": 0.1},
        memory_bytes=2**27,
        **metrics,
        **ranks,
    )
