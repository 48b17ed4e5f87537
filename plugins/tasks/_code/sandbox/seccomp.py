"""A seccomp filter that allows the system calls a computation needs, and fails all others with EPERM."""

from __future__ import annotations

import ctypes
import os
import struct

from .kernel import PR_SET_SECCOMP, machine, prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63),
    "write": (1, 64),
    "futex": (202, 98),
    "brk": (12, 214),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "close": (3, 57),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "stat": (4, None),
    "lstat": (6, None),
    "statx": (332, 291),
    "lseek": (8, 62),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "getdents64": (217, 61),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getcwd": (79, 17),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "pause": (34, None),
    "alarm": (37, None),
    "getitimer": (36, 102),
    "setitimer": (38, 103),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "getrusage": (98, 165),
    "getrlimit": (97, 163),
    "sysinfo": (99, 179),
    "uname": (63, 160),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "restart_syscall": (219, 128),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
"""Numbers on x86-64 and aarch64. None of these creates a process, a thread, a socket or a file, or affects another process."""

OPEN, OPENAT, MMAP, MPROTECT, FCNTL, IOCTL, PRLIMIT = (
    (2, None),
    (257, 56),
    (9, 222),
    (10, 226),
    (72, 25),
    (16, 29),
    (302, 261),
)
KILL, TKILL, TGKILL = (62, 129), (200, 130), (234, 131)

_LOAD, _JUMP_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_DENY = _ERROR | 1  # EPERM
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data

Instruction = tuple[int, int, int, int]


def install() -> None:
    """Irrevocably restrict this process to the allowed calls. Needs `no_new_privs`. Raises `OSError`."""
    code = assemble(machine(), os.getpid())
    data = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_void_p)]

    prctl(PR_SET_SECCOMP, 2, ctypes.byref(Filter(len(code), ctypes.addressof(data))))


def assemble(architecture: str, pid: int) -> list[Instruction]:
    """The filter as BPF. Calls of another architecture (32-bit ones by `int 0x80`) kill the process.

    Calls of the x32 ABI are denied, since their numbers have a bit that no allowed number has. `pid` may signal itself.
    """
    column = list(ARCHITECTURES).index(architecture)
    code = [
        _load(_ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, ARCHITECTURES[architecture]),
        (_RETURN, 0, 0, _KILL_PROCESS),
    ]
    code.append(_load(_NUMBER))
    for numbers in ALLOWED.values():
        code += _block(numbers[column], [(_RETURN, 0, 0, _ALLOW)])
    writing = (
        os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | (os.O_TMPFILE & ~os.O_DIRECTORY)
    )
    guarded = {
        OPEN: _without(1, writing),
        OPENAT: _without(2, writing),
        MMAP: _mapping(),
        MPROTECT: _without(2, 4),
        # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC; others lock, signal or seal.
        FCNTL: _one_of(1, (0, 1, 2, 3, 1030)),
        # TCGETS (used by isatty), and the close-on-exec flags FIOCLEX and FIONCLEX
        IOCTL: _one_of(1, (0x5401, 0x5451, 0x5450)),
        # Limits can be read, not set: the pointer to new limits must be null.
        PRLIMIT: [
            _load(_argument(2)),
            (_JUMP_EQUAL, 1, 0, 0),
            (_RETURN, 0, 0, _DENY),
            _load(_argument(2) + 4),
            *_equal(0),
        ],
        **{call: _one_of(0, (pid,)) for call in (KILL, TKILL, TGKILL)},
    }
    for numbers, lines in guarded.items():
        code += _block(numbers[column], lines)
    return [*code, (_RETURN, 0, 0, _DENY)]


def _argument(index: int) -> int:
    """Offset of the low half of an argument (both architectures are little-endian)."""
    return 16 + 8 * index


def _load(offset: int) -> Instruction:
    return (_LOAD, 0, 0, offset)


def _block(number: int | None, lines: list[Instruction]) -> list[Instruction]:
    """Apply `lines`, which always return, to one system call."""
    return [] if number is None else [(_JUMP_EQUAL, 0, len(lines), number), *lines]


def _equal(value: int) -> list[Instruction]:
    return [(_JUMP_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _DENY)]


def _one_of(argument: int, values: Iterable[int]) -> list[Instruction]:
    tests = [line for value in values for line in _equal(value)[:2]]
    return [_load(_argument(argument)), *tests, (_RETURN, 0, 0, _DENY)]


def _without(argument: int, bits: int) -> list[Instruction]:
    return [
        _load(_argument(argument)),
        (_JUMP_ANY_BIT, 0, 1, bits),
        (_RETURN, 0, 0, _DENY),
        (_RETURN, 0, 0, _ALLOW),
    ]


def _mapping() -> list[Instruction]:
    """Executable memory must be a private, read-only mapping of a file, so that no new code can be created."""
    executable, write, shared_or_anonymous = 4, 2, 0x01 | 0x20
    return [
        _load(_argument(2)),
        (_JUMP_ANY_BIT, 1, 0, executable),
        (_RETURN, 0, 0, _ALLOW),
        (_JUMP_ANY_BIT, 0, 1, write),
        (_RETURN, 0, 0, _DENY),
        *_without(3, shared_or_anonymous),
    ]
