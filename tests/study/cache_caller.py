"""Asks the cache for a result, as a worker of a study does; what it counts is told in a file."""

import sys
import time
from pathlib import Path

import numpy as np

from boostlora.engine.foundation.cache import cached

folder, log, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]


def compute() -> dict[str, np.ndarray]:
    """A result that takes a while, or for ever."""
    with log.open("a") as file:
        file.write("computed\n")
    if mode == "hang":
        time.sleep(600)
    time.sleep(0.5)
    return {"x": np.arange(5.0)}


sys.stdout.write("asking\n")
sys.stdout.flush()
sys.stdin.readline()
found = cached(folder, "key", compute).arrays()["x"]
sys.stdout.write(f"{found.tolist()}\n")
