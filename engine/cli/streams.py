"""Closed, full or narrow standard streams, and system errors as messages."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

import attrs
import click

from ..errors import BoostLoraError
from .exit_codes import EXIT_FAILED, EXIT_USAGE

BAD_PATH = {
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ELOOP,
    errno.EACCES,
    errno.EPERM,
    errno.EINVAL,
}
"""Error numbers of a path that cannot be used as given: a usage error."""


def prepare() -> None:
    """Open closed streams, so that no file takes their descriptor; print "?" for characters that the terminal lacks."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            if not _is_open(descriptor):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor, which is this one
            setattr(sys, name, open(descriptor, "r+" if descriptor else "r", encoding="utf-8", closefd=False))  # noqa: SIM115 - for the life of the process
    sys.stdout = _named(sys.stdout)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


class _Output(io.FileIO):
    """Standard output, with errors that name it."""

    under: TextIO
    abandoned = False
    """Whether the reader has closed the pipe: `boostlora show … | head`."""

    def write(self, data: Any, /) -> int:
        """Write as a file does."""
        try:
            return super().write(data)
        except OSError as error:
            error.filename = "standard output"
            _Output.abandoned |= isinstance(error, BrokenPipeError)
            raise


def exit_code(code: int | None) -> int:
    """The exit code for that of a command: click exits with 1 for a closed pipe, which is no failure."""
    return 0 if code == 1 and _Output.abandoned else code or 0


def _named(stream: TextIO) -> TextIO:
    """The stream with errors that name it; a stream without a file descriptor is returned as it is."""
    try:
        stream.flush()
        raw = _Output(stream.fileno(), "w", closefd=False)
    except (OSError, ValueError):
        return stream
    raw.under = stream  # kept alive: it closes the file when it is collected
    line_buffering = isinstance(stream, io.TextIOWrapper) and stream.line_buffering
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=stream.encoding, errors="replace", line_buffering=line_buffering
    )


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@attrs.frozen
class UserError:
    """An expected error: its message and exit code."""

    message: str
    code: int
    show: Callable[[io.StringIO], None] | None = None
    """Prints the error, if it has its own way to."""


def user_error(error: Exception) -> UserError | None:  # noqa: PLR0911 - one for each kind of error
    """Message and exit code of an expected error; None for a bug."""
    match error:
        case click.ClickException():
            return UserError(error.format_message(), error.exit_code, error.show)
        case BoostLoraError():
            return UserError(f"error: {error}", error.exit_code)
        case MemoryError():
            return UserError(f"error: out of memory: {error}", EXIT_FAILED)
        case UnicodeEncodeError():
            near = error.object[max(0, error.start - 20) : error.end + 20]
            return UserError(f"error: {near!r}: not valid Unicode, cannot be written as UTF-8", EXIT_USAGE)
        case OSError() if error.errno is not None:
            return _system_error(error)
        case ValueError() if "embedded null" in str(error):
            return UserError("error: a path cannot contain a NUL character", EXIT_USAGE)
        case _:
            return None


def flushed(*, quiet: bool) -> int:
    """Flush standard output, and return the exit code: 0, or that of a failure, which is printed unless `quiet`.

    After a failure the rest of the output is discarded, so that the interpreter does not try again.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard()
    except OSError as error:
        _discard()
        if not quiet:
            with suppress(OSError):
                sys.stderr.write(f"{_system_error(error).message}\n")
        return EXIT_FAILED
    except ValueError:  # already closed
        pass
    return 0


def _discard() -> None:
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _system_error(error: OSError) -> UserError:
    """An operating system error, with its path."""
    places = [_name(place) for place in (error.filename, error.filename2) if place is not None]
    message = ": ".join([" -> ".join(places), error.strerror or str(error)] if places else [str(error)])
    return UserError(f"error: {message}", EXIT_USAGE if error.errno in BAD_PATH else EXIT_FAILED)


def _name(path: object) -> str:
    """A path on one line."""
    text = os.fsdecode(path) if isinstance(path, bytes | str | os.PathLike) else str(path)
    return text if text.isprintable() else repr(text)
