"""The order of files: the costliest first, so that the workers are busy until the end.

A file's tests stay on one worker. A costly file that comes last would run alone while the other workers have nothing to do.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from .places import ROOT

COSTLIEST = (
    "paper/test_smollm2_improves.py",
    "paper/test_small_twins.py",
    "paper/test_arithmetic_improves.py",
    "real/test_real_models.py",
    "executors/test_ray.py",
    "sandbox/test_hostile_programs.py",
    "robustness/test_power_loss.py",
    "robustness/test_killed_commands.py",
    "verification/test_verify_rollouts.py",
    "backends/test_torch_parallel.py",
    "executors/test_slurm.py",
    "cli/test_ablate_executors.py",
    "sandbox/test_sandbox_benchmarks.py",
    "runs/test_resume_machine.py",
    "runs/test_resume_signals.py",
    "robustness/test_mutated_specs.py",
)
"""Files of `tests` by what their slow tests take, from minutes down to half a minute."""


def costliest_first(items: list[pytest.Item]) -> None:
    """Sort tests by file: those of `COSTLIEST` in its order, then those with the most tests. Tests of a file keep their order."""
    places = {ROOT / "tests" / name: place for place, name in enumerate(COSTLIEST)}
    counts = Counter(item.path for item in items)

    def place(item: pytest.Item) -> tuple[int, int, Path]:
        return places.get(item.path, len(places)), -counts[item.path], item.path

    items.sort(key=place)
