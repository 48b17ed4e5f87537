"""Errors with messages for users, and their exit codes."""

from __future__ import annotations

import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

ENGINE = __name__.rpartition(".")[0]
"""The engine's package."""


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
    """Convert exceptions raised inside into a `PluginError` that names the plugin, and file, line and function of its code.

    `SystemExit` counts: a plugin must not end the process. Errors for users, interrupts and lack of memory pass through.
    """
    try:
        yield
    except (BoostLoraError, KeyboardInterrupt, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raised = f"raised {type(error).__name__}: {error}{place_of(error)}"
        raise PluginError(kind, name, raised) from error


def place_of(error: BaseException) -> str:
    """The deepest line of the plugin's own package that an error passed, as ` (wine.py:27, in load)`; empty if there is none.

    The plugin's package is that of the first frame outside the engine: the engine calls the plugin, which may call other libraries.
    """
    trace = error.__traceback__
    frames = [
        (_package(frame.f_globals.get("__name__", "")), frame, line)
        for frame, line in traceback.walk_tb(trace)
    ]
    outside = [found for found in frames if found[0] not in {ENGINE, "importlib"}]
    own = [(frame, line) for package, frame, line in outside if package == outside[0][0]]
    if not own:
        return ""
    frame, line = own[-1]
    return f" ({Path(frame.f_code.co_filename).name}:{line}, in {frame.f_code.co_name})"


def _package(module: str) -> str:
    """The package of a module: of this project's packages, such as `boostlora.engine`, the first two names."""
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == ENGINE.partition(".")[0] else 1])
