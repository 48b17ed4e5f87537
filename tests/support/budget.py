"""Every test has a budget of CPU time: above it a test is marked `slow`, with a reason, or is made faster.

CPU seconds of the process and of the children it has waited for are counted, so a busy machine changes little. Imports, and
the setup of fixtures of a wider scope than one test, are left out, since whichever test comes first would pay for all; so are
teardowns, in which the last one would. A slower machine takes more seconds for the same work, so the limit grows with the
time that a loop takes here: a test that is within its budget on one machine is so on every other. On a shared machine the same
test may still take half as long again from one minute to the next, so what is above the limit is measured once more, alone.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import os
import resource
import subprocess
import sys
import time
from collections.abc import Generator
from types import ModuleType
from typing import Any

import pytest

LIMIT = 5.0
"""CPU seconds that a test may take without the mark `slow`, on a machine that takes `LOOP` for the loop of `slowness`."""
NEAR = 2.5
"""CPU seconds from which the suite names a test at its end, on the same machine."""
LOOP = 0.05
"""CPU seconds of a million additions in Python."""
PROPERTY = "cpu_seconds"
ALONE = "BOOSTLORA_TESTS_ALONE"
"""Set in the process that measures tests once more."""


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)


def slowness() -> float:
    """How many times longer than `LOOP` a million additions take, the fastest of five times; at least 1."""

    def loop() -> float:
        begin, total = time.process_time(), 0
        for i in range(1_000_000):
            total += i * i
        return time.process_time() - begin

    return max(1.0, min(loop() for _ in range(5)) / LOOP)


class Budget:
    """Measures each test where it runs, and judges all of them where the session is reported."""

    def __init__(
        self, config: pytest.Config, limit: float = LIMIT, near: float = NEAR, pace: float | None = None
    ) -> None:
        self.judges = not hasattr(config, "workerinput")
        pace = pace or (slowness() if self.judges else 1.0)
        self.limit, self.near = pace * limit, pace * near
        self.shared = 0.0  # seconds within the present test that are not its own
        self.nested = False  # within something that is put aside
        self.taken: dict[str, tuple[float, bool]] = {}
        self._put_imports_aside(config)

    def _put_imports_aside(self, config: pytest.Config) -> None:
        loader: Any = importlib.machinery.SourceFileLoader
        execute = loader.exec_module

        def exec_module(this: Any, module: ModuleType) -> None:
            with self._aside():
                execute(this, module)

        loader.exec_module = exec_module
        config.add_cleanup(lambda: setattr(loader, "exec_module", execute))

    @contextlib.contextmanager
    def _aside(self) -> Generator[None]:
        """Put aside what this takes, once where such things nest: the clock itself is not cheap."""
        if self.nested:
            yield
            return
        start, self.nested = cpu_seconds(), True
        try:
            yield
        finally:
            self.shared += cpu_seconds() - start
            self.nested = False

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        """Put the setup of fixtures aside that several tests may share."""
        with contextlib.nullcontext() if fixturedef.scope == "function" else self._aside():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Start the clock of a test."""
        item.stash[_START] = cpu_seconds()
        self.shared = 0.0
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Stop it; the report of the teardown carries the seconds to the process that judges."""
        item.user_properties.append((PROPERTY, cpu_seconds() - item.stash[_START] - self.shared))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect what the tests took."""
        seconds = dict(report.user_properties).get(PROPERTY)
        if self.judges and report.when == "teardown" and isinstance(seconds, float):
            self.taken[report.nodeid] = (seconds, "slow" in report.keywords)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Refuse a mark without a reason."""
        bare = {
            item.nodeid
            for item in items
            for mark in item.iter_markers("slow")
            if not mark.kwargs.get("reason")
        }
        if bare:
            raise pytest.UsageError("slow needs a reason, as in slow(reason=…): " + ", ".join(sorted(bare)))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name the tests that come near the limit, the costliest first."""
        near = sorted(
            ((s, name) for name, (s, slow) in self.taken.items() if not slow and s > self.near), reverse=True
        )
        if near:
            terminalreporter.section(f"CPU seconds near or above the limit of {self.limit:.1f}")
        for seconds, name in near:
            terminalreporter.line(f"{seconds:7.2f}  {name}", red=seconds > self.limit)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """In CI a test above the limit, alone too, fails the session, unless its properties are tried on more examples than by default."""
        if session.config.getoption("--hypothesis-profile", None):
            return
        above = [name for name, (seconds, slow) in self.taken.items() if not slow and seconds > self.limit]
        if (
            above
            and "CI" in os.environ
            and session.exitstatus == pytest.ExitCode.OK
            and above_again(above, session)
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def above_again(names: list[str], session: pytest.Session) -> bool:
    """Whether one of the tests is above the limit in a process of its own too."""
    if ALONE in os.environ:
        return True
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *names]
    done = subprocess.run(
        command,
        cwd=session.config.rootpath,
        env=os.environ | {ALONE: "1"},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    sys.stdout.write(f"\nmeasured once more, alone:\n{done.stdout}\n")
    return done.returncode != 0


_START = pytest.StashKey[float]()
