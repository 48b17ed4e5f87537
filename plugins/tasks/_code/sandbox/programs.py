"""What is judged, within which bounds, and what came of it."""

from __future__ import annotations

from typing import Literal

import attrs

from .....engine.foundation.options import positive, whole

Status = Literal["passed", "failed", "error", "timed-out", "unsupported", "killed"]
"""`failed`: a wrong answer; `error`: the program does not compile, raises, or lacks its entry point; `timed-out`: its clock ran out;
`unsupported`: an answer that cannot travel as plain data; `killed`: out of memory, or crashed."""


@attrs.frozen(kw_only=True)
class Program:
    """A program that nobody trusts, and the tests that somebody does."""

    source: str
    """Python; it is compiled and run inside the confinement only."""
    tests: str
    """Trusted Python, run outside: asserts, or a function `check(candidate)` that has some. Names that neither it, `setup`, Python nor
    the standard library defines are the program's."""
    entry_point: str
    """The function that the program must define; in the tests this name calls it."""
    setup: str = ""
    """Trusted definitions that the tests use, run before them; it may call the program too."""


@attrs.frozen(kw_only=True)
class Verdict:
    """What became of one program."""

    status: Status
    message: str = ""
    """One line for people."""
    seconds: float = 0.0
    """Wall-clock time, start of both processes included."""

    @property
    def passed(self) -> bool:
        """Whether every test held."""
        return self.status == "passed"


@attrs.frozen(kw_only=True)
class Limits:
    """Bounds on one program and, separately, on the tests that call it."""

    seconds: float = attrs.field(default=3.0, validator=positive)
    """CPU time, which does not depend on how busy the machine is."""
    wall_seconds: float = attrs.field(
        default=attrs.Factory(lambda self: 5 * self.seconds + 5, takes_self=True), validator=positive
    )
    """Time by the clock, for programs that wait; generous, for busy machines: five times `seconds`, and five more."""
    memory_mb: int = attrs.field(default=512, validator=whole)
    """Address space in MiB; the tests may use four times as much."""
    answer_bytes: int = attrs.field(default=4 << 20, validator=whole)
    """Size of one answer, encoded. (What a program prints is thrown away.)"""
