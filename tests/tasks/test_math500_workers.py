"""The worker processes of `math500`: hostile answers, kills, limits, and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boostlora.engine.errors import RunError
from boostlora.plugins.tasks._math import pool
from boostlora.plugins.tasks._math.pool import Verdict, Worker, WorkerPool

pytest.importorskip("math_verify", reason="the workers run math-verify")

HOSTILE = (
    "$10^{10^{10}}$",
    "\\boxed{100000000!}",
    "\\boxed{\\sum_{k=1}^{10^{12}} \\frac{1}{k^{7}}}",
    "\\boxed{" + "(" * 20_000 + "1" + ")" * 20_000 + "}",
    "\\boxed{" * 5_000 + "1" + "}" * 5_000,
    "x" * 1_000_000,
    "1 " * 500_000,
    "\\frac{" * 20_000,
    "\\boxed{" + "9" * 500_000 + "}",
)
SLOW = ("\\boxed{7}", HOSTILE[0])
LIMIT = 3.0
SLACK = 60.0
"""Seconds that killing, starting anew and a busy machine may take."""


@pytest.fixture
def workers() -> Iterator[WorkerPool]:
    found = WorkerPool(most=2)
    yield found
    found.close()
    assert found.processes == []


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ended(process: int) -> bool:
    """Whether a process is gone, or goes within a few seconds."""
    until = time.monotonic() + SLACK
    while alive(process) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(process)


def test_workers_give_every_answer_its_verdict_in_order(workers: WorkerPool) -> None:
    pairs = [("\\boxed{7}", f"It is {i}.") for i in (7, 8, 7)] + [("\\boxed{7}", "no")]
    found = workers.judge(pairs, 5.0)
    assert [v.right for v in found] == [True, False, True, False]
    assert [v.answer for v in found] == ["7", "8", "7", None]
    assert len(workers.processes) == 1  # four answers are not worth a second one
    workers.judge([("\\boxed{7}", str(i)) for i in range(40)], 5.0)
    assert len(workers.processes) == 2
    assert workers.judge([], 5.0) == []


@pytest.mark.parametrize(
    "texts",
    [HOSTILE[::4], pytest.param(HOSTILE, marks=pytest.mark.slow(reason="nine answers, of which most hang"))],
    ids=["few", "all"],
)
def test_workers_end_hostile_answers_within_the_limit(workers: WorkerPool, texts: tuple[str, ...]) -> None:
    workers.judge([("\\boxed{7}", "7")], 5.0)
    start = time.monotonic()
    found = workers.judge([("\\boxed{7}", text) for text in texts], 0.25)
    assert time.monotonic() - start < len(texts) * (0.25 + SLACK)
    assert not any(verdict.right for verdict in found)
    assert {verdict.failure for verdict in found} == {"", "timed-out"}
    assert workers.judge([("\\boxed{7}", "$7$")], 5.0)[0].right


def test_workers_judge_the_others_while_one_answer_hangs(workers: WorkerPool) -> None:
    pairs = [("\\boxed{7}", f"${i}$") for i in range(40)]
    found = workers.judge([pairs[0], SLOW, *pairs[1:], SLOW], LIMIT)
    assert [i for i, verdict in enumerate(found) if verdict.right] == [8]
    assert [i for i, verdict in enumerate(found) if verdict.failure] == [1, 41]
    assert found[1] == Verdict(right=False, failure="timed-out")


def test_workers_stay_within_their_memory_limit(workers: WorkerPool) -> None:
    workers.judge([("\\boxed{7}", "7")], 5.0)
    limits = Path(f"/proc/{workers.processes[0]}/limits").read_text().splitlines()
    assert next(line for line in limits if line.startswith("Max address space")).split()[3] == str(
        pool.MEMORY
    )
    assert next(line for line in limits if line.startswith("Max core file size")).split()[4] == "0"


def test_workers_that_were_killed_while_idle_are_replaced(workers: WorkerPool) -> None:
    workers.judge([("\\boxed{7}", "7")], 5.0)
    (old,) = workers.processes
    os.kill(old, signal.SIGKILL)
    time.sleep(0.2)
    assert workers.judge([("\\boxed{7}", "7"), ("\\boxed{7}", "8")], 5.0)[0].right
    assert old not in workers.processes


DYING = """
import json, os, sys
from multiprocessing.connection import Connection
from pathlib import Path
line, deaths = Connection(int(sys.argv[1])), Path({deaths!r})
line.send_bytes(b'{{"ready": true}}')
while True:
    line.recv_bytes()
    seen = len(deaths.read_text())
    if seen < {times}:
        deaths.write_text("x" * (seen + 1))
        os.kill(os.getpid(), 9)
    line.send_bytes(b'{{"right": true, "answer": "7"}}')
"""


@pytest.mark.parametrize(
    ("times", "verdict"),
    [(1, Verdict(right=True, answer="7")), (2, Verdict(right=False, failure="crashed"))],
)
def test_workers_that_die_on_an_answer_retry_it_once(
    workers: WorkerPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, times: int, verdict: Verdict
) -> None:
    program, deaths = tmp_path / "dying.py", tmp_path / "deaths"
    program.write_text(DYING.format(deaths=str(deaths), times=times))
    deaths.write_text("")
    monkeypatch.setattr(pool, "WORKER", program)
    assert workers.judge([("7", "7")], 5.0) == [verdict]
    assert workers.judge([("7", "8")], 5.0)[0].right  # the next one is none the worse
    assert len(deaths.read_text()) == times


def test_workers_that_never_start_are_reported(
    workers: WorkerPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(3)")
    monkeypatch.setattr(pool, "WORKER", broken)
    with pytest.raises(RunError) as caught:
        workers.judge([("\\boxed{7}", "7")], 5.0)
    assert str(caught.value) == "5 worker processes for math-verify ended at once (the last with code 3)"


def test_workers_without_math_verify_report_it(
    workers: WorkerPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "math_verify.py").write_text("raise ImportError('no such thing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(
        RunError, match=r"^math-verify cannot be loaded by a worker process: ImportError: no such"
    ):
        workers.judge([("\\boxed{7}", "7")], 5.0)


def test_workers_end_on_an_interrupt(workers: WorkerPool) -> None:
    workers.judge([("\\boxed{7}", "7")], 5.0)
    (busy,) = workers.processes
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.5, signal.pthread_kill, [main, signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        workers.judge([SLOW], 30.0)
    assert ended(busy)
    assert workers.judge([("\\boxed{7}", "7")], 5.0)[0].right  # no stale reply


PROGRAM = """
import os, sys, time
from boostlora.plugins.tasks._math.pool import WorkerPool
workers = WorkerPool(most=1)
workers.judge([("7", "7")], 5.0)
print(*workers.processes, flush=True)
if sys.argv[1] == "dies":
    os.kill(os.getpid(), 9)
if sys.argv[1] == "forks":
    child = os.fork()
    if not child:
        sys.exit(0)
    os.waitpid(child, 0)
    assert workers.judge([("7", "$7$")], 5.0)[0].right
    assert len(workers.processes) == 1
"""


@pytest.mark.parametrize("how", ["ends", "dies", "forks"])
def test_workers_end_with_their_program(how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, how], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode == (-signal.SIGKILL if how == "dies" else 0)
    assert ended(int(done.stdout))


@pytest.mark.slow(reason="computes until the clock of the worker ends it")
def test_busy_workers_exit_when_their_parent_is_gone() -> None:
    worker = Worker.start(pool.MEMORY)
    worker.connection.recv_bytes()  # ready
    worker.connection.send_bytes(b'{"gold": "7", "text": "$10^{10^{10}}$", "seconds": 0.5}')
    assert ended(worker.process.pid)
    assert worker.process.wait() == -signal.SIGALRM
    worker.end()


BUSY = """
import sys, threading, time
from boostlora.plugins.tasks._math.pool import WorkerPool
workers = WorkerPool(most=1)
workers.judge([("7", "7")], 5.0)
print(*workers.processes, flush=True)
workers.judge([("7", sys.argv[1])], 3000.0)
"""


def test_busy_workers_exit_when_their_program_is_killed() -> None:
    endless = "\\boxed{\\sum_{k=1}^{10^{12}} \\frac{1}{k^{7}}}"
    with subprocess.Popen(
        [sys.executable, "-c", BUSY, endless], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        worker = int(program.stdout.readline())
        time.sleep(1.0)  # it gets to work
        assert alive(worker)
        program.kill()
        program.wait()
        assert ended(worker)
