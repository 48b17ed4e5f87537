"""The filter of system calls, run on paper for both architectures."""

from __future__ import annotations

import pytest

from boostlora.plugins.tasks._code.sandbox.seccomp import ARCHITECTURES, assemble

ALLOW, KILL, DENY = 0x7FFF0000, 0x80000000, 0x00050001
PID = 4321
X86 = {"read": 0, "openat": 257, "mmap": 9, "mprotect": 10, "fcntl": 72, "ioctl": 16, "prlimit": 302, "kill": 62, "tgkill": 234,
       "socket": 41, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "ptrace": 101, "clone3": 435, "io_uring": 425, "prctl": 157}  # fmt: skip
ARM = {"read": 63, "openat": 56, "mmap": 222, "mprotect": 226, "fcntl": 25, "ioctl": 29, "prlimit": 261, "kill": 129, "tgkill": 131,
       "socket": 198, "clone": 220, "execve": 221, "ptrace": 117, "clone3": 435, "io_uring": 425, "prctl": 167}  # fmt: skip
NUMBERS = {"x86_64": X86, "aarch64": ARM}


def decided(architecture: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """What the filter returns: the four kinds of instructions it is made of, interpreted."""
    values = [*arguments, *[0] * (6 - len(arguments))]
    words = {0: number, 4: ARCHITECTURES[architecture] if arch is None else arch}
    for i, value in enumerate(values):
        words[16 + 8 * i], words[20 + 8 * i] = value & 0xFFFFFFFF, (value >> 32) & 0xFFFFFFFF
    code, at, loaded = assemble(architecture, PID), 0, 0
    while True:
        operation, yes, no, k = code[at]
        at += 1
        if operation == 0x20:
            loaded = words[k]
        elif operation == 0x15:
            at += yes if loaded == k else no
        elif operation == 0x45:
            at += yes if loaded & k else no
        else:
            assert operation == 0x06
            return k


@pytest.mark.parametrize("architecture", ARCHITECTURES)
class TestFilter:
    def call(self, architecture: str, name: str, *arguments: int) -> int:
        return decided(architecture, NUMBERS[architecture][name], *arguments)

    def test_foreign_architecture_is_killed(self, architecture: str) -> None:
        assert decided(architecture, NUMBERS[architecture]["read"], arch=0x40000003) == KILL

    def test_x32_system_calls_are_denied(self, architecture: str) -> None:
        assert decided(architecture, NUMBERS[architecture]["read"] | 0x40000000) == DENY

    @pytest.mark.parametrize("name", ["socket", "clone", "execve", "ptrace", "clone3", "io_uring", "prctl"])
    def test_dangerous_call_is_denied(self, architecture: str, name: str) -> None:
        assert self.call(architecture, name) == DENY

    def test_open_allows_reading_but_not_writing(self, architecture: str) -> None:
        assert self.call(architecture, "read", 3) == ALLOW
        assert self.call(architecture, "openat", 0, 0, 0o2000000) == ALLOW  # O_CLOEXEC
        for flags in (0o1, 0o2, 0o100, 0o1000, 0o2000, 0o20000000):
            assert self.call(architecture, "openat", 0, 0, flags) == DENY, oct(flags)

    def test_memory_is_never_made_executable(self, architecture: str) -> None:
        assert self.call(architecture, "mmap", 0, 0, 3, 0x22) == ALLOW  # read, write; private, anonymous
        assert self.call(architecture, "mmap", 0, 0, 5, 0x02) == ALLOW  # read, execute; private, of a file
        assert self.call(architecture, "mmap", 0, 0, 5, 0x22) == DENY
        assert self.call(architecture, "mmap", 0, 0, 5, 0x01) == DENY
        assert self.call(architecture, "mmap", 0, 0, 7, 0x02) == DENY
        assert self.call(architecture, "mprotect", 0, 0, 1) == ALLOW
        assert self.call(architecture, "mprotect", 0, 0, 5) == DENY

    def test_process_can_signal_only_itself(self, architecture: str) -> None:
        for name in ("kill", "tgkill"):
            assert self.call(architecture, name, PID, 6) == ALLOW
            for other in (PID + 1, 1, 0, 2**32 - 1, 2**64 - 1, 2**32 - PID):
                assert self.call(architecture, name, other, 6) == DENY

    def test_limits_can_be_read_but_not_set(self, architecture: str) -> None:
        assert self.call(architecture, "prlimit", 0, 7, 0, 1) == ALLOW
        assert self.call(architecture, "prlimit", 0, 7, 1, 0) == DENY
        assert self.call(architecture, "prlimit", 0, 7, 1 << 32, 0) == DENY

    def test_descriptors_are_not_controlled(self, architecture: str) -> None:
        assert self.call(architecture, "fcntl", 3, 1) == ALLOW
        assert self.call(architecture, "fcntl", 3, 8) == DENY  # F_SETOWN
        assert self.call(architecture, "ioctl", 1, 0x5401) == ALLOW
        assert self.call(architecture, "ioctl", 1, 0x5412) == DENY  # TIOCSTI


def test_every_other_call_of_x86_is_denied() -> None:
    allowed = {number for number in range(1024) if decided("x86_64", number) == ALLOW}
    named = {"socket", "clone", "fork", "vfork", "execve", "ptrace", "clone3", "io_uring", "prctl"}
    assert not allowed & {X86[name] for name in named}
    assert len(allowed) < 80
