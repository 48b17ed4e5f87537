"""Commands under torchrun: which of them run in several processes, and what processes other than 0 do."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import attrs

from ..errors import RunError, UsageError, blame
from ..foundation.process_group import ProcessGroup, SingleProcess, process_info
from .terminal import safe

if TYPE_CHECKING:
    from ..spec import Spec

SHARED = ("run", "resume")
SINGLE = ("ablate", "verify")
PATIENCE = 5.0
"""Seconds before a process other than 0 prints an error. If process 0 has the same error, torchrun ends the others first, so
it is printed once."""


def admit(command: str | None) -> None:
    """Let `run` and `resume` run in all processes, refuse studies and verification, and run other commands in process 0 alone.

    Processes other than 0 print nothing; they exit here if the command is not for them. Raises `UsageError` for a refused command.
    """
    me = process_info()
    if not me.shared:
        return
    if not me.leads:
        _mute()
    if command in SINGLE:
        better = {
            "ablate": "executors run its cells in parallel (--executor, --workers)",
            "verify": "it compares a single process with the reference",
        }
        raise UsageError(
            f"boostlora {command} does not run under torchrun: {better[command]}; start it without torchrun"
        )
    if command not in SHARED and not me.leads:
        sys.exit(0)


def meet(spec: Spec) -> ProcessGroup:
    """The process group, once all processes have joined. Raises `UsageError` for a backend that computes in one process."""
    me, name = process_info(), spec.slots["backend"].use
    if not me.shared:
        return SingleProcess()
    join: Callable[[], ProcessGroup] | None = getattr(spec.backend, "join", None)
    if join is None:
        raise UsageError(
            f"torchrun started {me.size} processes (RANK and WORLD_SIZE are set), but backend {name} computes in one: "
            'set backend.use = "torch", or start boostlora without torchrun'
        )
    with blame("backend", name):
        return join()


def follow(spec: Spec, processes: ProcessGroup) -> None:
    """Run the same rounds in a temporary folder, without output, trackers or listeners."""
    from ..boosting.experiment import prepare
    from ..boosting.loop import boost
    from ..foundation.run_context import RunContext
    from ..registry import Registry
    from ..runs.directory import RunDirectory
    from .interrupts import interruptible

    spec = attrs.evolve(spec, trackers={})
    with (
        interruptible(lambda: "process 0 says how to resume"),
        TemporaryDirectory(prefix=f"boostlora-process{processes.index}-") as folder,
    ):
        directory = RunDirectory.create(Path(folder), spec)
        result = boost(prepare(spec), directory, Registry(), RunContext(processes=processes))
    if result.failed:
        raise RunError(result.reason)


def print_late(message: str) -> None:
    """Print an error of a process other than 0, after process 0 has had time to print its own."""
    time.sleep(PATIENCE)
    if sys.__stderr__ is not None:
        sys.__stderr__.write(f"process {process_info().index}: {safe(message)}\n")


def _mute() -> None:
    """Print nothing but tracebacks of unexpected errors."""

    def show(*what: Any) -> None:
        traceback.print_exception(*what, file=sys.__stderr__)

    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the life of the process
    sys.excepthook = show
