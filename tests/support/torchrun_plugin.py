"""A task whose rewards differ, and ways for one process of many to misbehave: `CREW_FAULT` says which."""

import os
import sys
import time
from pathlib import Path

import attrs
import numpy as np

from boostlora.engine.contracts import Selection
from boostlora.engine.hookspecs import hookimpl
from boostlora.plugins.objectives.cross_entropy import CrossEntropy
from boostlora.plugins.tasks.arithmetic import Arithmetic

FAULT, RANK = os.environ.get("CREW_FAULT", ""), int(os.environ.get("RANK", "0"))


@attrs.frozen(kw_only=True)
class Weighed(Arithmetic):
    """Sums whose answers are rewarded by the digits they have, right or wrong; who judges is noted."""

    def judge(self, examples, predictions):
        if "CREW_LOG" in os.environ:
            with Path(os.environ["CREW_LOG"]).open("a") as log:
                log.write(f"{RANK}\n")
        if FAULT == "judge":
            raise ZeroDivisionError("no verdict")
        outcome = super().judge(examples, predictions)
        k = len(predictions.texts) // len(examples)
        points = np.array([sum(map(ord, text)) % 7 for text in predictions.texts], dtype=np.float64)
        return attrs.evolve(outcome, reward=points.reshape(-1, k).mean(axis=1) / 6.0)


@attrs.frozen(kw_only=True)
class Wayward:
    """Draws with a generator of its own, which is another in every process."""

    def select(self, outcome, history, rng):
        count = 8 + RANK if FAULT == "wayward" and len(history) == 1 else 8
        return Selection.equal(np.arange(count, dtype=np.int64))


@attrs.frozen(kw_only=True)
class Frail(CrossEntropy):
    """Breaks in one process alone."""

    def batches(self, selection, steps, batch_size, rng):
        if FAULT == "frail" and RANK == 1:
            raise OSError("my disk is gone")
        return super().batches(selection, steps, batch_size, rng)


@hookimpl
def register_tasks(register):
    register("weighed", Weighed)


@hookimpl
def register_samplers(register):
    register("wayward", Wayward)


@hookimpl
def register_objectives(register):
    register("frail", Frail)


@hookimpl
def round_finished(record):
    if FAULT == "pause" and record.round == 1:
        sys.stdout.write("paused\n")
        sys.stdout.flush()
        time.sleep(60)
