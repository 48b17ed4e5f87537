"""The lock that gives one process at a time access to a run directory."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from ..errors import RunError
from .atomic import write_text
from .durable import make_folder

LOCK, HOLDER = "run.lock", "holder.json"


class InUseError(RunError):
    """Another process uses the folder."""


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Hold the folder's lock; the operating system releases it when the process ends, even if it is killed.

    Raises `InUseError`, naming the process, if another one holds the lock, and `RunError` if the folder cannot be locked.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - not needed for --help

    lock = FileLock(folder / LOCK, timeout=0)
    try:
        make_folder(folder)
        lock.acquire()
    except Timeout as error:
        raise InUseError(
            f"{folder}: in use by {_holder(folder)}; wait for it, or stop it, then try again"
        ) from error
    except (OSError, NotImplementedError) as error:  # no permission; a file system without locks
        raise RunError(f"{folder}: cannot be locked ({getattr(error, 'strerror', None) or error})") from error
    try:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
        write_text(folder / HOLDER, json.dumps(holder) + "\n")
        yield
    finally:
        with suppress(OSError):  # the file is only for messages
            (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
