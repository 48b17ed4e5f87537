"""Commands under torchrun: which of them many processes share, and what those do that do not lead."""

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
"""Seconds that an error waits in a process which does not lead: where the leader has met it too, torchrun ends the others
meanwhile, and it is told once."""


def admit(command: str | None) -> None:
    """Sort out what a crew may do: `run` and `resume` together, studies and verification not at all, the rest by its leader.

    Raises `UsageError` for what would waste the others; ends the others where there is nothing for them to do, and takes their voice.
    """
    me = process_info()
    if not me.shared:
        return
    if not me.leads:
        _mute()
    if command in SINGLE:
        better = {
            "ablate": "its cells are shared out by executors (--executor, --workers)",
            "verify": "it holds one process to the reference",
        }
        raise UsageError(f"boostlora {command} is not for torchrun: {better[command]}; start it without")
    if command not in SHARED and not me.leads:
        sys.exit(0)


def meet(spec: Spec) -> ProcessGroup:
    """The processes that were started together, once all are there. Raises `UsageError` where the backend computes in one."""
    me, name = process_info(), spec.slots["backend"].use
    if not me.shared:
        return SingleProcess()
    join: Callable[[], ProcessGroup] | None = getattr(spec.backend, "join", None)
    if join is None:
        raise UsageError(
            f"torchrun has started {me.size} processes (RANK and WORLD_SIZE are set), and backend {name} computes in one: "
            'set backend.use = "torch", or start boostlora without torchrun'
        )
    with blame("backend", name):
        return join()


def follow(spec: Spec, processes: ProcessGroup) -> None:
    """Play along without a word: the same rounds in a folder of its own, which is gone afterwards; no tracker, no listener."""
    from ..boosting.experiment import prepare
    from ..boosting.loop import boost
    from ..foundation.run_context import RunContext
    from ..registry import Registry
    from ..runs.directory import RunDirectory
    from .interrupts import interruptible

    spec = attrs.evolve(spec, trackers={})
    with (
        interruptible(lambda: "the leader says how to go on"),
        TemporaryDirectory(prefix=f"boostlora-rank{processes.rank}-") as folder,
    ):
        directory = RunDirectory.create(Path(folder), spec)
        result = boost(prepare(spec), directory, Registry(), RunContext(processes=processes))
    if result.failed:
        raise RunError(result.reason)


def say_last(message: str) -> None:
    """Tell an error of a process that does not lead, once the leader has had the time to tell its own."""
    time.sleep(PATIENCE)
    if sys.__stderr__ is not None:
        sys.__stderr__.write(f"rank {process_info().rank}: {safe(message)}\n")


def _mute() -> None:
    """Nothing is printed but what nobody foresaw."""

    def show(*what: Any) -> None:
        traceback.print_exception(*what, file=sys.__stderr__)

    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the life of the process
    sys.excepthook = show
