"""What a second worker buys: the cells of one study on one local worker and on two, taking turns.

Cells are bound by the CPU: the quickstart with ten times the steps, two rounds each. Every study runs in folders of its own;
models are pretrained and factorised before the clock starts, and every worker has one thread, so that the second brings a second
core and nothing else. Timed is the executor's own work, its processes' start included.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import show

from boostlora.engine.boosting.experiment import open_experiment, prepare
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.study.scheduler import jobs_of, run_jobs
from boostlora.engine.study.study_loader import Study, load_study

SPEC = """
extends = "quickstart"
name = "cells"
rounds = 2
optimizer.steps = {steps}
[ablate]
grid."basis.use" = ["rotate", "fixed"]
seeds = {seeds}
executor = {{ use = "local", workers = {workers}, threads = 1 }}
"""
REPEATS, STEPS, SEEDS = 3, 1500, 4


def study_on(folder: Path, workers: int) -> Study:
    """The study with so many workers."""
    path = folder / f"cells-{workers}.toml"
    path.write_text(SPEC.format(steps=STEPS, seeds=SEEDS, workers=workers))
    return load_study(path, Registry.load(), folder)


def seconds(workers: int) -> float:
    """Seconds that all cells take, in fresh folders."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = study_on(folder, workers)
        jobs = jobs_of(study, folder, set(study.distinct))
        start = time.perf_counter()
        ended = [answer for answer in run_jobs(study.executor, jobs) if answer is not None]
        taken = time.perf_counter() - start
        if [answer.status for answer in ended] != ["finished"] * len(jobs):
            sys.exit(f"cells failed: {ended}")
        return taken


def main() -> None:
    """Print both times and their ratio."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["BOOSTLORA_CACHE"] = cache
        for cell in study_on(Path(cache), 1).cells:
            open_experiment(prepare(cell.spec), RunContext())
        pairs = [(seconds(1), seconds(2)) for _ in range(REPEATS)]
    one, two = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratios = [a / b for a, b in pairs]
    print(f"{2 * SEEDS} cells, {REPEATS} repetitions, {os.cpu_count()} cores\n")
    show(
        ["workers", "seconds (median)", "times as fast"],
        [[1, f"{one:.1f}", ""], [2, f"{two:.1f}", f"{one / two:.2f}"]],
    )
    print("\nratio of each pair: " + ", ".join(f"{ratio:.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
