"""Frames on a pipe: a length in four bytes, then the content."""

from __future__ import annotations

import os


class ClosedError(Exception):
    """The other process has closed the pipe."""


class FloodedError(Exception):
    """The other process announced a frame above the limit."""


def send(fd: int, data: bytes) -> None:
    """Write one frame. Raises `ClosedError`."""
    view = memoryview(len(data).to_bytes(4, "big") + data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        raise ClosedError from None


def receive(fd: int, most: int) -> bytes:
    """Read one frame of at most `most` bytes. Raises `ClosedError`; for a longer frame, `FloodedError` before its content is read."""
    size = int.from_bytes(_exactly(fd, 4), "big")
    if size > most:
        raise FloodedError
    return _exactly(fd, size)


def _exactly(fd: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        try:
            part = os.read(fd, min(size, 1 << 20))
        except OSError:
            raise ClosedError from None
        if not part:
            raise ClosedError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
