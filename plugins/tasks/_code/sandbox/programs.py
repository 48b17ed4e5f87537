"""Programs with their tests, limits, and verdicts."""

from __future__ import annotations

from typing import Literal

import attrs

from .....engine.foundation.options import positive, whole

Status = Literal["passed", "failed", "error", "timed-out", "unsupported", "killed"]
"""`failed`: a wrong answer; `error`: the program does not compile, raises, or lacks its entry point; `timed-out`: it exceeded a time
limit; `unsupported`: an answer that is not plain data; `killed`: out of memory, or crashed."""


@attrs.frozen(kw_only=True)
class Program:
    """An untrusted program and its trusted tests."""

    source: str
    """Python code, compiled and run only inside the confinement."""
    tests: str
    """Trusted Python code, run outside: asserts, or a function `check(candidate)` with asserts. Names that neither it, `setup`, Python
    nor the standard library define are the program's."""
    entry_point: str
    """The function that the program must define and the tests call."""
    setup: str = ""
    """Trusted definitions that the tests use, run before them; it may call the program too."""


@attrs.frozen(kw_only=True)
class Verdict:
    """The result of one program."""

    status: Status
    message: str = ""
    """One line of explanation."""
    seconds: float = 0.0
    """Wall-clock time, including the start of both processes."""

    @property
    def passed(self) -> bool:
        """Whether all tests passed."""
        return self.status == "passed"


@attrs.frozen(kw_only=True)
class Limits:
    """Limits of a program and, separately, of its tests."""

    seconds: float = attrs.field(default=3.0, validator=positive)
    """CPU time, which does not depend on the load of the machine."""
    wall_seconds: float = attrs.field(
        default=attrs.Factory(lambda self: 5 * self.seconds + 5, takes_self=True), validator=positive
    )
    """Wall-clock time, for programs that wait; by default `5 * seconds + 5`, so that a busy machine does not matter."""
    memory_mb: int = attrs.field(default=512, validator=whole)
    """Address space in MiB; the tests have four times as much."""
    answer_bytes: int = attrs.field(default=4 << 20, validator=whole)
    """Maximum bytes of one serialised answer. (Printed output is discarded.)"""
