"""What the basis does for accuracy: rotate, random, fixed, and one long round instead of many.

Every arm runs the quickstart spec with the same data, pretrained model and 640 optimiser steps in all: 16 rounds of 40, or one
round of 640. One round sees all the training data, since the failures of the base alone would be a straw man; it comes with
as many numbers as *a round* trains, with as many as *all rounds* train, and as full fine-tuning of the same two weights. Each
arm chooses among four learning rates of its own grid by mean accuracy on validation over the seeds; the test split is only
read at that rate. A seed changes the split, the pretrained model, the projections and the batches; arms share them.
Pretraining is not counted in the seconds, and the arms take turns on each seed.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from side_by_side import show

from boostlora.engine.boosting.experiment import open_experiment, prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.record.directory import RunDirectory
from boostlora.engine.registry import Registry
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.workplace import Workplace

ROUNDS, STEPS = 16, 40
ONE_ROUND = ["basis.use=rotate", "sampler.use=all", "rounds=1", f"optimizer.steps={ROUNDS * STEPS}"]
TINY_RATES, FULL_RATES = (0.03, 0.1, 0.3, 1.0), (0.001, 0.003, 0.01, 0.03)
ARMS = {
    "rotate": (["basis.use=rotate"], TINY_RATES),
    "random": (["basis.use=random"], TINY_RATES),
    "fixed": (["basis.use=fixed"], TINY_RATES),
    "one round, as many numbers as a round": (ONE_ROUND, TINY_RATES),
    "one round, as many numbers in all": (
        [*ONE_ROUND, "adapter.rank=64", "adapter.directions=128"],
        TINY_RATES,
    ),
    "full fine-tuning": ([*ONE_ROUND, "adapter.use=full"], FULL_RATES),
}
CASES = [(arm, rate) for arm, (_, rates) in ARMS.items() for rate in rates]
SEEDS = range(5)
ANGLE = 90
Case = tuple[str, float]


def measure(angle: int, seed: int) -> dict[Case, dict[str, float]]:
    """Every arm at every rate, on one seed."""
    registry = Registry.load()
    found: dict[Case, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        workplace = Workplace(cache=Path(folder) / "cache")
        for arm, rate in CASES:
            settings = [f"task.angle={angle}.0", f"seed={seed}", f"optimizer.lr={rate}", f"rounds={ROUNDS}"]
            spec = load_spec("quickstart", registry, [*settings, f"optimizer.steps={STEPS}", *ARMS[arm][0]])
            prepared = prepare(spec)
            open_experiment(prepared, workplace)  # pretrain and factorise, where that was not done yet
            directory = RunDirectory.create(Path(folder) / spec.short_hash, spec)
            start = time.perf_counter()
            boost(prepared, directory, registry, workplace)
            seconds = time.perf_counter() - start
            last, played = directory.records[-1], directory.records[1:]
            right = [last.train.count - record.failures for record in played]
            lost = [record.forgotten / max(1, n) for record, n in zip(played, right, strict=True)]
            found[arm, rate] = {
                "base": 100 * directory.records[0].test.accuracy,
                "validation": 100 * last.validation.accuracy,
                "test": 100 * last.test.accuracy,
                "rank": min(last.rank.values()),
                "numbers": sum(record.parameters for record in played),
                "forgotten": 100 * statistics.mean(lost),
                "seconds": seconds,
            }
    return found


def study(angle: int, by_seed: list[dict[Case, dict[str, float]]]) -> None:
    """Print the table of one angle."""

    def values(arm: str, rate: float, what: str) -> list[float]:
        return [found[arm, rate][what] for found in by_seed]

    rows, reference = [], None
    for arm in ARMS:
        rate = max(ARMS[arm][1], key=lambda r: statistics.mean(values(arm, r, "validation")))
        accuracy, ranks = values(arm, rate, "test"), sorted({int(r) for r in values(arm, rate, "rank")})
        reference = accuracy if reference is None else reference
        gaps = [mine - theirs for mine, theirs in zip(accuracy, reference, strict=True)]
        rows.append(
            [
                arm,
                f"{rate:g}",
                f"{statistics.mean(values(arm, rate, 'validation')):.1f}",
                f"{statistics.mean(accuracy):.1f} ± {statistics.stdev(accuracy):.1f}",
                "" if arm == "rotate" else f"{statistics.mean(gaps):+.1f} ± {statistics.stdev(gaps):.1f}",
                "-".join(str(r) for r in ranks),
                int(values(arm, rate, "numbers")[0]),
                f"{statistics.mean(values(arm, rate, 'forgotten')):.1f}",
                f"{statistics.median(values(arm, rate, 'seconds')):.2f}",
            ]
        )
    base = statistics.mean(values("rotate", TINY_RATES[0], "base"))
    print(
        f"\nDigits turned by {angle} degrees, {len(by_seed)} seeds; before boosting, test accuracy is {base:.1f} %\n"
    )
    show(
        [
            "arm",
            "chosen lr",
            "validation %",
            "test % (mean ± sd)",
            "against rotate, by seed",
            "final rank",
            "numbers trained",
            "forgotten a round, % of right",
            "seconds a run",
        ],
        rows,
    )


def main() -> None:
    """The angles of the command line, such as `bases.py 90 45`, else 90."""
    angles = [int(word) for word in sys.argv[1:]] or [ANGLE]
    start = time.perf_counter()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {angle: [pool.submit(measure, angle, seed) for seed in SEEDS] for angle in angles}
        for angle, seeds in waiting.items():
            study(angle, [job.result() for job in seeds])
    print(f"\n{time.perf_counter() - start:.0f} s in all, on 2 processes")


if __name__ == "__main__":
    main()
