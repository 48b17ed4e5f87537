"""Many programs at a time: in order, told as they come, and nothing left when it is broken off."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from boostlora.plugins.tasks._code.sandbox import Limits, Program, Sandbox

from .hostile import left_over

DESCRIPTORS = Path("/proc/self/fd")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs are confined on Linux only")


def programs(count: int, body: str = "return {i}") -> list[Program]:
    return [
        Program(
            source="def f(): " + body.format(i=i),
            tests=f"assert f() == {i if i % 3 else -1}",
            entry_point="f",
        )
        for i in range(count)
    ]


def test_verdicts_come_in_the_order_of_the_programs() -> None:
    told = list[tuple[str, int, int]]()
    verdicts = Sandbox().judge_all(programs(12), 3, lambda *progress: told.append(progress))
    assert [verdict.passed for verdict in verdicts] == [i % 3 != 0 for i in range(12)]
    assert told[0] == ("judging programs", 0, 12)
    assert told[-1] == ("judging programs", 12, 12)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_no_programs_have_no_verdicts() -> None:
    assert Sandbox().judge_all([]) == []


def test_interruption_ends_every_process() -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if threading.active_count() > 1:
            raise KeyboardInterrupt

    endless = programs(4, "return [0 for _ in iter(int, 1)]")
    with pytest.raises(KeyboardInterrupt):
        Sandbox(limits=Limits(seconds=60.0)).judge_all(endless, 2, interrupt)
    assert left_over() == []


def test_descriptors_and_threads_are_released() -> None:
    Sandbox().judge_all(programs(2))
    before = len(list(DESCRIPTORS.iterdir())), threading.active_count()
    Sandbox().judge_all(programs(6), 2)
    assert (len(list(DESCRIPTORS.iterdir())), threading.active_count()) == before
