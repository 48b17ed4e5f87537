"""A program for the tests: two cells on a cluster that is started for them; the worker of one is killed."""

import json
import os
import signal
import sys
from pathlib import Path

from boostlora.engine.testing.cells import Cells, is_waiting, worker_of
from boostlora.plugins.executors.ray import Ray


def children():
    """Processes that this one has started."""
    stats = [
        (p.parent.name, p.read_text().rpartition(")")[2].split()) for p in Path("/proc").glob("[0-9]*/stat")
    ]
    return [int(pid) for pid, stat in stats if int(stat[1]) == os.getpid()]


def handler(number, frame):
    """What the command line does about SIGTERM."""


def main():
    signal.signal(signal.SIGTERM, handler)
    os.environ.pop("RAY_ADDRESS", None)
    cells = Cells(Path(sys.argv[1]))
    victim, other = cells.job(0, gated=True), cells.job(1)
    ended, processes = [], []
    for event in Ray(address="local").run([victim, other]):
        ended += [event.status] if event else []
        if not processes and is_waiting(victim):
            processes = [*children(), worker_of(victim)]
            os.kill(worker_of(victim), signal.SIGKILL)
    import ray

    kept = signal.getsignal(signal.SIGTERM) is handler
    facts = {
        "statuses": ended,
        "processes": processes,
        "handler_kept": kept,
        "connected": ray.is_initialized(),
    }
    print(json.dumps(facts))  # noqa: T201 - the tests read it


if __name__ == "__main__":
    main()
