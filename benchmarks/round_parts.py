"""Where a round of the quickstart spends its time, and what the cache of singular directions saves.

The parts are the engine's own clock, which every round's record holds; writing to disk is timed around the commit, and
`rest` is what lies between two commits and in no part (sampling, batches, events). The rounds of several runs are pooled,
and each part's median is compared with the median of a whole round of the same runs. In the second table the cold call
starts from an empty folder and computes, hashes and writes; the cached call hashes the weight, reads and checks; they
take turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import interleaved, milliseconds, show
from threadpoolctl import threadpool_limits

from boostlora.backends.reference.factorise import leading_triplets
from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.boosting.views import DirectionCache
from boostlora.engine.contracts import Outcome, Site, Training
from boostlora.engine.record.directory import RunDirectory
from boostlora.engine.record.rounds import RoundRecord
from boostlora.engine.registry import Registry
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.workplace import Workplace

RUNS, REPEATS, DEPTH = 5, 5, 64
PARTS = ("evaluate", "factorise", "train", "merge", "measure", "record", "rest")
SHAPES = ((128, 64), (128, 128), (576, 576), (1024, 1024))


class TimedDirectory(RunDirectory):
    """A run directory that notes when each commit began and ended."""

    spans: list[tuple[float, float]]

    def commit(
        self, record: RoundRecord, outcomes: Mapping[str, Outcome], training: Training | None = None
    ) -> RoundRecord:
        """Commit, and note the time."""
        start = time.perf_counter()
        sealed = super().commit(record, outcomes, training)
        self.spans.append((start, time.perf_counter()))
        return sealed


class OneWeight:
    """As much of a model as the cache asks for."""

    def __init__(self, W: np.ndarray) -> None:
        self.W = W

    def weight(self, site: str) -> np.ndarray:
        """The weight."""
        del site
        return self.W

    def directions(self, site: str, count: int) -> Any:
        """Its leading triplets."""
        del site
        return leading_triplets(self.W, count)


def rounds_of_one_run(folder: Path, number: int) -> list[dict[str, float]]:
    """Seconds of each part, round by round."""
    registry = Registry.load()
    spec = load_spec("quickstart", registry)
    directory = TimedDirectory.create(folder / f"run-{number}", spec)
    directory.spans = []
    boost(prepare(spec), directory, registry, Workplace(cache=folder / "cache"))
    found = []
    for record, (before, after) in zip(directory.records[1:], pairwise(directory.spans), strict=True):
        parts = {**record.seconds, "record": after[1] - after[0]}
        whole = after[1] - before[1]
        found.append({**parts, "rest": whole - sum(parts.values()), "whole": whole})
    return found


def parts_table(folder: Path) -> None:
    """The first table."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(RUNS):
        for found in rounds_of_one_run(folder, number):
            for part, value in found.items():
                seconds[part].append(value)
    medians = {part: statistics.median(values) for part, values in seconds.items()}
    unknown = set(medians) - {*PARTS, "whole"}
    if unknown:
        raise SystemExit(f"the clock has parts that this table leaves out: {unknown}")
    rows = [
        [part, milliseconds(medians[part]), f"{100 * medians[part] / medians['whole']:.0f} %"]
        for part in PARTS
    ]
    print(f"One round of quickstart, medians over {len(seconds['whole'])} rounds of {RUNS} runs\n")
    show(["part", "ms", "share of the round"], [*rows, ["round", milliseconds(medians["whole"]), "100 %"]])


def cache_table(folder: Path) -> None:
    """The second table."""
    rows = []
    for shape in SHAPES:
        W = np.random.default_rng(0).standard_normal(shape) / np.sqrt(shape[1])
        site, model = Site(name="layers.0.weight", shape=shape), OneWeight(W)
        warm = DirectionCache(model, "reference", folder / "warm")  # type: ignore[arg-type] - all that is asked

        def cold(site: Site = site, model: OneWeight = model) -> None:
            with tempfile.TemporaryDirectory(dir=folder) as empty:
                DirectionCache(model, "reference", Path(empty)).leading(site, DEPTH)  # type: ignore[arg-type]

        def cached(site: Site = site, warm: DirectionCache = warm) -> None:
            warm.leading(site, DEPTH)

        with threadpool_limits(1):
            took = interleaved({"cold": cold, "cached": cached}, REPEATS)
        name = "x".join(str(n) for n in shape)
        ratio = f"{took['cold'] / took['cached']:.1f}"
        rows.append([name, milliseconds(took["cold"]), milliseconds(took["cached"]), ratio])
    print(f"\nThe {DEPTH} leading directions of a weight, one BLAS thread, medians of {REPEATS}\n")
    show(["shape", "cold ms", "cached ms", "cold / cached"], rows)


def main() -> None:
    """Both tables."""
    with tempfile.TemporaryDirectory() as folder:
        parts_table(Path(folder))
        cache_table(Path(folder))


if __name__ == "__main__":
    main()
