"""The sandbox for generated programs, and the check of its confinement."""

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
"""The environment variable that must be 1 for unconfined programs, in addition to the spec's option."""

_PROVEN: dict[str, Any] = {}
"""The confinement in force, as checked once per process; empty before the check."""
_PROVING = threading.Lock()


@attrs.frozen(kw_only=True)
class Sandbox:
    """Judges untrusted programs (Linux).

    Every program runs in a fresh interpreter. Before it receives the program, it irrevocably loses the right to write files, to read
    files other than its own library, to open sockets, to start processes and threads, to signal other processes, and to make
    any other system call that a computation does not need (Landlock, seccomp, resource limits, no capabilities; namespaces if
    allowed). The tests run in a second, trusted process and call the program's functions through a pipe that carries only plain
    data, so the program sees neither the expected values nor the verdict. Both processes have time limits.

    With `unconfined`, only the fresh process and its resource and time limits remain; it also needs `BOOSTLORA_ALLOW_UNCONFINED=1`.
    """

    limits: Limits = attrs.field(factory=Limits)
    unconfined: bool = False

    def check(self) -> None:
        """Probe the confinement, once per process. Raises `UsageError` if it is not available or a probe succeeds."""
        self._state()

    def describe(self) -> dict[str, Any]:
        """The confinement in force, as JSON types, for a run's provenance. Calls `check` first."""
        limits = attrs.asdict(self.limits)
        return {
            **self._state(),
            "unconfined": self.unconfined,
            "limits": limits,
            "python": platform.python_version(),
        }

    def judge(self, program: Program) -> Verdict:
        """Judge one program. Raises `RunError` if its tests do not compile."""
        self.check()
        return judge(program, self.limits, self._plan())[0]

    def judge_all(
        self, programs: Sequence[Program], workers: int = 0, report: Report = no_report
    ) -> list[Verdict]:
        """Verdicts of several programs, in their order, with `workers` in parallel (0: one per core); `report` receives the progress."""
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
            raise UsageError(f"sandbox: generated programs are run only on Linux, not on {sys.platform}")
        if self.unconfined:
            if os.environ.get(OVERRIDE) != "1":
                raise UsageError(
                    "sandbox: unconfined = true runs generated programs with your rights; if you mean that, and the machine is "
                    f"disposable, also set {OVERRIDE}=1 in the environment"
                )
            return {"confined": False}
        with _PROVING:
            if not _PROVEN:
                _PROVEN.update(self._prove())
            return _PROVEN

    def _prove(self) -> Mapping[str, Any]:
        # A task's limits may be too tight for the probes, and do not matter for the confinement.
        limits = Limits(seconds=10.0, wall_seconds=60.0)
        plan = attrs.evolve(self, limits=limits)._plan()  # noqa: SLF001 - same class
        try:
            found, state = probes.attempt(lambda program: judge(program, limits, plan))
        except RunError as error:
            raise UsageError(f"{error}; generated programs are not run here. {_NEXT}") from error
        if found:
            raise UsageError(f"sandbox: the confinement is not effective here: {found}. {_NEXT}")
        return state


_NEXT = (
    "It needs Linux 5.13 or later on x86-64 or aarch64 with Landlock (CONFIG_SECURITY_LANDLOCK, and landlock among the kernel's lsm=) and "
    f"seccomp, and a container that allows both. To run programs with your own rights instead: unconfined = true, and {OVERRIDE}=1"
)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
