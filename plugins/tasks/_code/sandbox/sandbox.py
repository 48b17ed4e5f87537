"""The sandbox: how generated programs are judged, and proof that it holds."""

from __future__ import annotations

import os
import platform
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

import attrs

from .....engine.errors import RunError, UsageError
from .....engine.foundation.run_context import Report, no_report
from . import probes
from .processes import judge
from .programs import Limits, Program, Verdict
from .survey import readable

OVERRIDE = "BOOSTLORA_ALLOW_UNCONFINED"
"""The environment variable that must be 1 before programs run unconfined; asking for it in a spec is not enough."""

_PROVEN: dict[str, Any] = {}
"""What the check found in force in this process; empty before it."""
_PROVING = threading.Lock()


@attrs.frozen(kw_only=True)
class Sandbox:
    """Judges programs that nobody trusts (Linux).

    Every program gets a fresh interpreter that, before it sees the program, gives up for good: writing files, reading any but its
    own library's, sockets, processes and threads, signals to others, and whatever else is no computation (Landlock, seccomp,
    resource limits, no capabilities; namespaces where allowed). The tests run in a second, trusted process and call the program's
    functions through a pipe that carries plain data only: what they expect never enters the program, and the verdict never leaves
    its judge. Both processes are on a clock.

    `unconfined` leaves a fresh process, resource limits and the clock, nothing else; it needs `BOOSTLORA_ALLOW_UNCONFINED=1` too.
    """

    limits: Limits = attrs.field(factory=Limits)
    unconfined: bool = False

    def check(self) -> None:
        """Attack it from inside, once a process. Raises `UsageError` where it cannot be had, or something gets through."""
        self._state()

    def describe(self) -> dict[str, Any]:
        """What confines programs here, for the record of a run; JSON's types. Checks first."""
        limits = attrs.asdict(self.limits)
        return {
            **self._state(),
            "unconfined": self.unconfined,
            "limits": limits,
            "python": platform.python_version(),
        }

    def judge(self, program: Program) -> Verdict:
        """Judge one program. Raises `RunError` where its tests do not compile."""
        self.check()
        return judge(program, self.limits, self._plan())[0]

    def judge_all(
        self, programs: Sequence[Program], workers: int = 0, report: Report = no_report
    ) -> list[Verdict]:
        """Judge several at a time (`workers`; 0: one for every core), in their order; `report` is told how many are done."""
        self.check()
        stop = threading.Event()
        with ThreadPoolExecutor(workers or cores(), thread_name_prefix="sandbox") as pool:
            try:
                plan = self._plan()
                futures = [
                    pool.submit(lambda p=p: judge(p, self.limits, plan, stop.is_set)[0]) for p in programs
                ]
                waiting = set(futures)
                while waiting:
                    report("judging programs", len(futures) - len(waiting), len(futures))
                    ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in ended:
                        future.result()
                report("judging programs", len(futures), len(futures))
                return [future.result() for future in futures]
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _plan(self) -> dict[str, Any]:
        files, folders = ((), ()) if self.unconfined else readable()
        return {
            "unconfined": self.unconfined,
            "seconds": self.limits.seconds,
            "memory_mb": self.limits.memory_mb,
            "answer_bytes": self.limits.answer_bytes,
            "files": files,
            "folders": folders,
        }

    def _state(self) -> Mapping[str, Any]:
        if sys.platform != "linux":
            raise UsageError(
                f"sandbox: programs that a model writes are run on Linux only, not on {sys.platform}"
            )
        if self.unconfined:
            if os.environ.get(OVERRIDE) != "1":
                raise UsageError(
                    "sandbox: programs that a model writes would run unconfined, with your rights; if that is meant, and the machine is "
                    f"one that can be lost, set {OVERRIDE}=1 in the environment too"
                )
            return {"confined": False}
        with _PROVING:
            if not _PROVEN:
                _PROVEN.update(self._prove())
            return _PROVEN

    def _prove(self) -> Mapping[str, Any]:
        # Limits of its own: those of a task may be too tight for probes, and say nothing about the confinement.
        limits = Limits(seconds=10.0, wall_seconds=60.0)
        plan = attrs.evolve(self, limits=limits)._plan()  # noqa: SLF001 - its own
        try:
            found, state = probes.attempt(lambda program: judge(program, limits, plan))
        except RunError as error:
            raise UsageError(f"{error}; programs that a model writes are not run here. {_NEXT}") from error
        if found:
            raise UsageError(f"sandbox: the confinement does not hold here: {found}. {_NEXT}")
        return state


_NEXT = (
    "It needs Linux 5.13 or later on x86-64 or aarch64 with Landlock (CONFIG_SECURITY_LANDLOCK, and landlock among the kernel's lsm=) and "
    f"seccomp, and a container that allows both. To run programs with your own rights instead: unconfined = true, and {OVERRIDE}=1"
)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))
