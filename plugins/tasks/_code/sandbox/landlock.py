"""Landlock (Linux 5.13 and later): restricts a process to reading listed files."""

from __future__ import annotations

import ctypes
import os
import struct

from .kernel import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
READ_FILE, READ_DIR = 1 << 2, 1 << 3
_FILES = ((1, 13), (2, 14), (3, 15), (5, 16))
"""ABI version, and the number of file access rights that it introduced up to then."""
_NET_BIND, _NET_CONNECT = 1, 2
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2


def version() -> int:
    """The ABI version. Raises `OSError` if the kernel has no Landlock."""
    return syscall(CREATE_RULESET, None, 0, 1)


def restrict(files: Iterable[str], folders: Iterable[str]) -> int:
    """Deny every access that Landlock controls, except reading `files` (and files in folders among them) and listing `folders`.

    Missing paths are skipped. Needs `no_new_privs`. Returns the ABI version. Raises `OSError`.
    """
    abi = version()
    access = max((1 << bits) - 1 for since, bits in _FILES if abi >= since)
    words = [access]
    if abi >= 4:
        words.append(_NET_BIND | _NET_CONNECT)
    if abi >= 6:
        words.append(_SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS)
    attributes = struct.pack(f"={len(words)}Q", *words)
    ruleset = syscall(CREATE_RULESET, attributes, len(attributes), 0)
    for path in files:
        _allow(ruleset, path, READ_FILE)
    for path in folders:
        _allow(ruleset, path, READ_DIR)
    syscall(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return abi


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        syscall(ADD_RULE, ruleset, 1, ctypes.c_char_p(struct.pack("=Qi", access, fd)), 0)
    finally:
        os.close(fd)
