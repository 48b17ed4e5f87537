"""The errors users meet, each with the exit code the command line gives it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


class BoostLoraError(Exception):
    """An error whose message is written for the user; no traceback is shown for it."""

    exit_code = 3


class UsageError(BoostLoraError):
    """The request cannot be met as it was made: a missing file, an unknown run, a wrong argument."""

    exit_code = 2


class RunError(BoostLoraError):
    """A run stopped before its end for a reason that lies in the run."""


class NonFiniteError(RunError):
    """A loss, a gradient, a weight or an update contains NaN or Inf."""


class DepartedError(RunError):
    """What was made does not compute what it was made from."""

    exit_code = 4


class ExhaustedError(UsageError):
    """A basis has fewer unused directions than the spec's rounds need."""


class PluginError(RunError):
    """A plugin raised, or returned something that breaks its contract."""

    def __init__(self, kind: str, name: str, problem: str) -> None:
        self.kind, self.name, self.problem = kind, name, problem
        super().__init__(f'{kind} plugin "{name}": {problem}')

    def __reduce__(self) -> tuple[type[PluginError], tuple[str, str, str]]:
        """Let it be sent to another process."""
        return type(self), (self.kind, self.name, self.problem)


@contextmanager
def blame(kind: str, name: str) -> Generator[None]:
    """Turn any foreign exception raised inside into a `PluginError` that names the culprit."""
    try:
        yield
    except (BoostLoraError, KeyboardInterrupt, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(kind, name, f"raised {type(error).__name__}: {error}") from error
