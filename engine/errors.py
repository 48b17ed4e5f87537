"""Errors with messages for users, and their exit codes."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


class BoostLoraError(Exception):
    """An error whose message is for the user; the command line shows no traceback."""

    exit_code = 3


class UsageError(BoostLoraError):
    """An invalid request: a missing file, an unknown run, a wrong argument."""

    exit_code = 2


class RunError(BoostLoraError):
    """A run failed while it was running."""


class NonFiniteError(RunError):
    """A loss, a gradient, a weight or an update contains NaN or Inf."""


class MismatchError(RunError):
    """An export or a rebuilt ensemble does not compute what its run computed."""

    exit_code = 4


class ExhaustedError(UsageError):
    """A basis has fewer unused directions than the spec's rounds need."""


class PluginError(RunError):
    """A plugin raised, or returned something that breaks its contract."""

    def __init__(self, kind: str, name: str, problem: str) -> None:
        self.kind, self.name, self.problem = kind, name, problem
        super().__init__(f'{kind} plugin "{name}": {problem}')

    def __reduce__(self) -> tuple[type[PluginError], tuple[str, str, str]]:
        """Pickle by the arguments of `__init__`: the default passes the message alone, and unpickling would fail."""
        return type(self), (self.kind, self.name, self.problem)


@contextmanager
def blame(kind: str, name: str) -> Generator[None]:
    """Convert exceptions raised inside into a `PluginError` that names the plugin.

    `SystemExit` counts: a plugin must not end the process. Errors for users, interrupts and lack of memory pass through.
    """
    try:
        yield
    except (BoostLoraError, KeyboardInterrupt, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(kind, name, f"raised {type(error).__name__}: {error}") from error
