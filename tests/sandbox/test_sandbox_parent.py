"""What judges and what is judged end with the process that started them, whatever they are at."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..support.commands import PATIENCE
from ..support.places import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="programs are confined on Linux only")

JUDGE = """
import sys
from boostlora.plugins.tasks._code.sandbox import Limits, Program, Sandbox
sandbox = Sandbox(limits=Limits(seconds=3000.0, wall_seconds=3000.0), unconfined=sys.argv[1] == "unconfined")
sandbox.check()
print("ready", flush=True)
sandbox.judge(Program(source=sys.argv[2], tests=sys.argv[3], entry_point="f"))
"""
ENDLESS = "for _ in iter(int, 1): pass"
SITUATIONS = {
    "tests that loop": ("def f(): return 1", ENDLESS),
    "tests that sleep": ("def f(): return 1", "import time\ntime.sleep(3000)"),
    "tests that compute in C": ("def f(): return 1", "x = 10 ** 10 ** 9"),
    "a program that loops": (f"def f():\n    {ENDLESS}", "assert f()"),
    "a program that loops when it is loaded": (f"def f(): pass\n{ENDLESS}", "assert f()"),
    "tests that loop over the program": ("def f(): return 0", "for _ in iter(f, 1): pass"),
}


def children(parent: int) -> list[int]:
    """Processes that a process started and that run."""
    found = list[int]()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, ppid = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(ppid) == parent and state != "Z":
            found.append(int(entry.name))
    return found


def runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("confined", ["confined", "unconfined"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_both_processes_end_when_the_parent_is_killed(
    situation: str, confined: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOSTLORA_ALLOW_UNCONFINED", "1")
    command = [sys.executable, "-c", JUDGE, confined, *SITUATIONS[situation]]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        until = time.monotonic() + PATIENCE
        while len(started := children(parent.pid)) < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(0.3)  # they get to where they loop; earlier they have to end as well
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        while any(map(runs, started)):
            assert time.monotonic() < until, "they outlive their parent"
            time.sleep(0.01)
