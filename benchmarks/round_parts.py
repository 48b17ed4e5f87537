"""Where a round of the quickstart spends its time, and what the cache of singular directions saves.

The parts are the engine's own clock, which every round's record holds; writing to disk is timed around the commit, and
`rest` is what lies between two commits and in no part (sampling, batches, events). The rounds of several runs are pooled,
those that take new directions apart from those that train earlier cores again, and each part's median is compared with the
median of a whole round of the same kind. In the second table the cold call starts from an empty folder and computes, hashes
and writes; the cached call hashes the weight, reads and checks; they take turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
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
from boostlora.engine.contracts import Site
from boostlora.engine.contracts.records import RoundRecord
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.resolve import load_spec

RUNS, REPEATS, DEPTH = 5, 5, 64
PARTS = ("evaluate", "factorise", "train", "merge", "measure", "record", "rest")
KINDS = ("new directions", "earlier cores again")
SHAPES = ((128, 64), (128, 128), (576, 576), (1024, 1024))


class TimedDirectory(RunDirectory):
    """A run directory that notes when each commit began and ended."""

    spans: list[tuple[float, float]]

    def commit(self, *what: Any, **more: Any) -> RoundRecord:
        """Commit, and note the time."""
        start = time.perf_counter()
        sealed = super().commit(*what, **more)
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


def rounds_of_one_run(folder: Path, number: int) -> list[tuple[str, dict[str, float]]]:
    """The kind of each round, and the seconds of its parts."""
    registry = Registry.load()
    spec = load_spec("quickstart", registry)
    directory = TimedDirectory.create(folder / f"run-{number}", spec)
    directory.spans = []
    boost(prepare(spec), directory, registry, RunContext(cache=folder / "cache"))
    found = []
    for record, (before, after) in zip(directory.records[1:], pairwise(directory.spans), strict=True):
        parts = {**record.seconds, "record": after[1] - after[0]}
        whole = after[1] - before[1]
        seconds = {**parts, "rest": whole - sum(parts.values()), "whole": whole}
        found.append((KINDS[bool(record.refit)], seconds))
    return found


def parts_table(folder: Path) -> None:
    """The first table."""
    seconds = {kind: defaultdict[str, list[float]](list) for kind in KINDS}
    for number in range(RUNS):
        for kind, found in rounds_of_one_run(folder, number):
            for part, value in found.items():
                seconds[kind][part].append(value)
    unknown = {part for found in seconds.values() for part in found} - {*PARTS, "whole"}
    if unknown:
        raise SystemExit(f"the clock has parts that this table leaves out: {unknown}")
    medians = {kind: {p: statistics.median(v) for p, v in seconds[kind].items()} for kind in KINDS}
    rows = [
        [part, *(cell for kind in KINDS for cell in _cells(medians[kind], part))]
        for part in (*PARTS, "whole")
    ]
    counts = " and ".join(f"{len(seconds[kind]['whole'])} of {kind}" for kind in KINDS)
    print(f"A round of the quickstart, medians of {RUNS} runs' rounds: {counts}\n")
    show(["part", *(title for kind in KINDS for title in (f"{kind}, ms", "share"))], rows)


def _cells(medians: dict[str, float], part: str) -> list[str]:
    """A part's milliseconds and its share of the whole; nothing where a kind of round has no such part."""
    if part not in medians:
        return ["", ""]
    return [milliseconds(medians[part]), f"{100 * medians[part] / medians['whole']:.0f} %"]


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

        took = interleaved({"cold": cold, "cached": cached}, REPEATS)
        name = "x".join(str(n) for n in shape)
        ratio = f"{took['cold'] / took['cached']:.1f}"
        rows.append([name, milliseconds(took["cold"]), milliseconds(took["cached"]), ratio])
    print(f"\nThe {DEPTH} leading directions of a weight, one BLAS thread, medians of {REPEATS}\n")
    show(["shape", "cold ms", "cached ms", "cold / cached"], rows)


def main() -> None:
    """Both tables."""
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        parts_table(Path(folder))
        cache_table(Path(folder))


if __name__ == "__main__":
    main()
