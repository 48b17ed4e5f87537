"""The cache that workers share: of many that ask at once one computes, and one that is killed holds up nobody."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from boostlora.engine.foundation.cache import cached

CALLER = Path(__file__).with_name("cache_caller.py")
PATIENCE = 60.0
"""Seconds after which a test gives up; processes start slowly on a busy machine."""
RESULT = "[0.0, 1.0, 2.0, 3.0, 4.0]\n"


class Callers:
    """Processes that ask the same cache for the same result, when they are told to."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.cache, self.log, self.stack = folder / "cache", folder / "log", stack

    def start(self, mode: str = "work") -> subprocess.Popen[str]:
        command = [sys.executable, str(CALLER), str(self.cache), str(self.log), mode]
        process = self.stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        self.stack.callback(process.kill)
        assert process.stdout is not None
        assert process.stdout.readline() == "asking\n"
        return process

    @property
    def computed(self) -> int:
        return self.log.read_text().count("computed") if self.log.exists() else 0


@pytest.fixture
def callers(tmp_path: Path) -> Iterator[Callers]:
    with ExitStack() as stack:
        yield Callers(tmp_path, stack)


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_result_requested_by_four_processes_is_computed_once(callers: Callers) -> None:
    processes = [callers.start() for _ in range(4)]
    for process in processes:
        go(process)
    assert [process.communicate(timeout=PATIENCE)[0] for process in processes] == [RESULT] * 4
    assert callers.computed == 1


def test_cached_result_of_a_killed_process_is_computed_by_the_next(callers: Callers) -> None:
    first, second = callers.start("hang"), callers.start()
    go(first)
    end = time.monotonic() + PATIENCE
    while callers.computed == 0:
        assert time.monotonic() < end
        time.sleep(0.02)
    go(second)
    time.sleep(0.3)  # it waits for its turn
    assert (second.poll(), callers.computed) == (None, 1)
    first.kill()
    assert second.communicate(timeout=PATIENCE)[0] == RESULT
    assert callers.computed == 2


def test_failed_cached_computation_releases_its_lock(tmp_path: Path) -> None:
    def fail() -> dict[str, np.ndarray]:
        raise ValueError("no result")

    with pytest.raises(ValueError, match="no result"):
        cached(tmp_path, "key", fail)
    assert cached(tmp_path, "key", lambda: {"x": np.ones(2)}).arrays()["x"].tolist() == [1, 1]


def test_damaged_cached_result_is_computed_again(tmp_path: Path) -> None:
    first = cached(tmp_path, "key", lambda: {"x": np.ones(2)})
    first.path.write_bytes(first.path.read_bytes()[:-1])
    again = cached(tmp_path, "key", lambda: {"x": np.zeros(2)})
    assert again.arrays()["x"].tolist() == [0, 0]
    assert cached(tmp_path, "key", lambda: {"x": np.ones(2)}).arrays()["x"].tolist() == [0, 0]


def test_cached_results_of_other_keys_do_not_wait(tmp_path: Path) -> None:
    def inner() -> dict[str, np.ndarray]:
        return {"x": cached(tmp_path, "b", lambda: {"x": np.ones(1)}).arrays()["x"] + 1}

    assert cached(tmp_path, "a", inner).arrays()["x"].tolist() == [2]
