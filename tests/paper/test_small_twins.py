"""The small twins of the paper's experiments, run whole: every arm, on real data. What a model of this size learns is not the question."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import attrs
import pytest

from boostlora.engine.boosting.tokens import SPLITS
from boostlora.engine.foundation.rng import Streams
from boostlora.engine.registry import Registry
from boostlora.engine.study.study_loader import Study, load_study

from ..support.commands import Command
from ..support.stand_ins import settings

pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("transformers", reason="needs transformers")

pytestmark = pytest.mark.slow(reason="every arm of every experiment, on real data")

FEW = ("boosted", "zero-shot")
"""Arms of the language twins whose other arms another twin runs."""
SEEDS = 3
"""Of the protein twin; one of them runs."""
DASH = "-"
"""What stands between the chains of a side here: no residue."""


def study_of(folder: Path, spec: str, given: list[str]) -> Study:
    return load_study(spec, Registry.load(), folder / "runs", given[1::2])


def records_of(folder: Path, study: Study, arm: str) -> list[list[dict[str, Any]]]:
    """Every seed's rounds of one arm, as they are on disk."""
    cells = [cell.record for cell in study.cells if cell.record.arm == arm]
    found = [(folder / "runs" / study.record.name).glob(f"{cell.key[:12]}*/rounds.jsonl") for cell in cells]
    return [[json.loads(line) for path in paths for line in path.read_text().splitlines()] for paths in found]


def check_all_ran(folder: Path, study: Study, done: Any, arms: Collection[str]) -> None:
    """Exit code, every cell of these arms, and a table with all of them."""
    assert done.returncode == 0, done.stdout + done.stderr
    results = list((folder / "runs" / study.record.name).glob("*/result.json"))
    assert len(results) == len({cell.record.key for cell in study.cells if cell.record.arm in arms})
    assert {json.loads(path.read_text())["status"] for path in results} <= {"completed", "converged"}
    assert len(study.record.arms) == 9
    table = done.stdout.splitlines()
    for arm in arms:
        assert any(line.startswith(arm) for line in table), arm


@pytest.mark.parametrize(
    ("task", "arms"), [("gsm8k", ()), ("math500", FEW), ("mbpp", FEW), ("humaneval", FEW)]
)
def test_small_language_twin_runs_its_arms_and_answers_training_examples(
    *, boostlora: Command, short_data: Path, smollm2: Path, tmp_path: Path, task: str, arms: tuple[str, ...]
) -> None:
    """The twins share their arms: one runs all of them, the others a few on their own task."""
    spec = f"paper/{task}-small"
    given = settings(spec, short_data, smollm2)
    study = study_of(tmp_path, spec, given)
    labels = [arm.label for arm in study.record.arms]
    left_out = [label for label in labels if arms and label not in arms]
    done = boostlora("ablate", spec, *given, *(word for label in left_out for word in ("--exclude", label)))
    check_all_ran(tmp_path, study, done, arms or labels)
    (rounds,) = records_of(tmp_path, study, "boosted")
    assert [r["round"] for r in rounds] == [0, 1, 2]
    group_size = study.cells[0].spec.objective.group_size
    steps, prompts = (getattr(study.cells[0].spec.optimizer, n) for n in ("steps", "batch_size"))
    for record in rounds[1:]:
        facts = record["rollouts"]
        assert facts["answers"] == steps * prompts * group_size
        assert 0 <= facts["zero_variance"] <= facts["groups"] == steps * prompts
        assert facts["tokens"] >= facts["answers"]
        assert 0.0 <= facts["reward"] <= 1.0
    (zero,) = records_of(tmp_path, study, "zero-shot")
    assert [r["round"] for r in zero] == [0]
    assert zero[0]["test"] == rounds[0]["test"]


def test_small_protein_twin_runs_every_arm_with_groups_kept_apart(
    boostlora: Command, short_data: Path, tmp_path: Path
) -> None:
    spec = "paper/protein-binding-small"
    given = settings(spec, short_data, None)
    whole = study_of(tmp_path, spec, given)
    assert len(whole.record.seeds) == SEEDS
    for cell in whole.cells:
        if cell.record.arm == "boosted":
            check_chains_apart(cell.spec)
    given += ["--set", "ablate.seeds=1"]
    study = study_of(tmp_path, spec, given)
    done = boostlora("ablate", spec, *given)
    check_all_ran(tmp_path, study, done, [arm.label for arm in study.record.arms])
    for rounds in records_of(tmp_path, study, "boosted"):
        assert [r["round"] for r in rounds] == list(range(9))
        for record in rounds:
            measures = record["test"]["measures"]
            assert 0.0 <= measures["auroc"] <= 1.0
            assert -1.0 <= measures["mcc"] <= 1.0


def check_chains_apart(spec: Any) -> None:
    """No chain of a complex, read whole, is in two parts of the data."""
    task = attrs.evolve(spec.task, max_residues=0, linker=DASH)
    splits = task.load(Streams(spec.head.seed)("split"))
    chains = [
        {chain for row in getattr(splits, split).inputs.rows for side in row for chain in side.split(DASH)}
        for split in SPLITS
    ]
    assert all(chains)
    assert sum(map(len, chains)) == len(set.union(*chains))
