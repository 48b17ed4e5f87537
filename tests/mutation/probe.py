"""What an instrumented expression asks: whether its mutant is active. Copied beside the instrumented package.

The environment says which mutant is active (MUTANT, a number; none: 0), and where to note which test reached which mutant
(MUTATION_LOG; none: nowhere). Processes that a test starts inherit both, and the name of the test.
"""

from __future__ import annotations

import os

_ACTIVE = int(os.environ.get("MUTANT") or 0)
_LOG = os.environ.get("MUTATION_LOG")
_noted: set[tuple[int, str]] = set()


def active(number: int) -> bool:
    """Whether the mutant is active, without a note: for what is evaluated when a module is imported."""
    return number == _ACTIVE


def touch(*numbers: int) -> None:
    """Note that the current test reaches the mutants: once for each process, mutant and test.

    A line is written at once and at the end of the file, so that many processes may write.
    """
    if _LOG is None:
        return
    # MUTATION_TEST is the plugin's; some tests start commands without the variables that begin with PYTEST.
    test = os.environ.get("MUTATION_TEST") or os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    for number in numbers:
        if (number, test) not in _noted:
            _noted.add((number, test))
            file = os.open(_LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(file, f"{number}\t{test}\n".encode())
            finally:
                os.close(file)


def _noting(number: int) -> bool:
    touch(number)
    return number == _ACTIVE


on = active if _LOG is None else _noting
"""Whether the mutant is active; notes the test."""
