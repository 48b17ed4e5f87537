"""Irreversible restrictions that a process applies to itself before it runs an untrusted program."""

from __future__ import annotations

import os
import resource
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ConfinementError(Exception):
    """The confinement is not available here."""


def confine(plan: dict[str, Any]) -> dict[str, Any]:
    """Apply resource limits; then, unless `plan["unconfined"]`, namespaces if allowed, Landlock, no capabilities, seccomp.

    Returns the mechanisms in force, as plain data. Raises `ConfinementError` if Landlock or seccomp is not available.
    """
    limit(plan["seconds"], plan["memory_mb"])
    limit_all(NOTHING)
    if plan["unconfined"]:
        return {"confined": False}
    from . import kernel, landlock, seccomp  # noqa: PLC0415 - slow to import, and not needed when unconfined

    if kernel.machine() not in seccomp.ARCHITECTURES:
        raise ConfinementError(
            f"no system call filter for {kernel.machine()}, only for {', '.join(seccomp.ARCHITECTURES)}"
        )
    step = "no_new_privs"
    try:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        step = "namespaces"
        namespaces = leave_namespaces()
        step = "Landlock"
        abi = landlock.restrict(plan["files"], plan["folders"])
        step = "capabilities"
        kernel.drop_capabilities()
        step = "prctl"
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        step = "seccomp"
        seccomp.install()
    except OSError as error:
        raise ConfinementError(f"{step}: {error.strerror}") from None
    return {"confined": True, "landlock": abi, "seccomp": True, "namespaces": namespaces}


NOTHING = dict.fromkeys(("CORE", "FSIZE", "NPROC", "MEMLOCK", "MSGQUEUE"), (0, 0)) | {"NOFILE": (32, 32)}
"""Soft and hard limits on resources that a computation does not need."""


def limit(seconds: float, memory_mb: int) -> None:
    """Limit CPU time, with a margin (the parent process enforces the exact limit), and address space."""
    cpu = int(seconds) + 2
    limit_all({"CPU": (cpu, cpu + 1), "AS": (memory_mb << 20, memory_mb << 20)})


def limit_all(bounds: dict[str, tuple[int, int]]) -> None:
    """Set soft and hard limits by name, never above the current hard limits."""
    for name, (soft, hard) in bounds.items():
        which = getattr(resource, f"RLIMIT_{name}", None)
        if which is None:
            continue
        ceiling = resource.getrlimit(which)[1]
        most = hard if ceiling == resource.RLIM_INFINITY else min(hard, ceiling)
        resource.setrlimit(which, (min(soft, most), most))


def leave_namespaces() -> list[str]:
    """Enter new network, UTS and IPC namespaces if allowed; returns their names. The system call filter denies their use anyway."""
    from . import kernel  # noqa: PLC0415 - Linux only

    spaces = {"ipc": kernel.CLONE_NEWIPC, "net": kernel.CLONE_NEWNET, "uts": kernel.CLONE_NEWUTS}
    if os.geteuid() != 0:
        spaces["user"] = kernel.CLONE_NEWUSER
    try:
        kernel.unshare(sum(spaces.values()))
    except OSError:
        return []
    return list(spaces)
