"""System calls without a Python function, by number."""

from __future__ import annotations

import ctypes
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x04000000, 0x08000000, 0x10000000, 0x40000000
CAPSET = {"x86_64": 126, "aarch64": 91}


def machine() -> str:
    """The architecture, as `uname` reports it."""
    return os.uname().machine


def syscall(number: int, *arguments: Any) -> int:
    """Make a system call. Integers are passed as 64 bits, since ctypes would truncate them to 32. Raises `OSError`."""
    wide = [ctypes.c_long(x) if isinstance(x, int) else x for x in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *wide), f"system call {number}")


def prctl(option: int, *arguments: Any) -> None:
    """Call `prctl`. Raises `OSError`."""
    wide = [ctypes.c_ulong(x) if isinstance(x, int) else x for x in (*arguments, 0, 0, 0, 0)[:4]]
    _checked(_libc.prctl(option, *wide), f"prctl {option}")


def end_with(parent: int) -> None:
    """Have this process killed when its parent, the process `parent`, ends. Raises `OSError`."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent has ended already
        os.kill(os.getpid(), signal.SIGKILL)


def unshare(flags: int) -> None:
    """Enter new namespaces. Raises `OSError`."""
    _checked(_libc.unshare(flags), "unshare")


def drop_capabilities() -> None:
    """Drop all capabilities for good. Raises `OSError`."""

    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: twice 32 bits each
    syscall(CAPSET[machine()], ctypes.byref(Header(0x20080522, 0)), ctypes.byref(sets))


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
    return result
