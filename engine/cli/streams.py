"""Standard streams that are closed, full or narrow, and what the system says in words."""

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

NO_PLACE = {
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
"""What the system says of a path that cannot be what the command line takes it for: a usage error."""


def prepare() -> None:
    """Open what is closed, so that no file of ours becomes a standard stream; a terminal that lacks a character gets a "?"."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            if not _is_open(descriptor):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            setattr(sys, name, open(descriptor, "r+" if descriptor else "r", encoding="utf-8", closefd=False))  # noqa: SIM115 - for the life of the process
    sys.stdout = _named(sys.stdout)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


class _Output(io.FileIO):
    """Standard output, whose errors say that it is that."""

    under: TextIO
    deserted = False
    """Whether its reader has left: `boostlora show … | head`."""

    def write(self, data: Any, /) -> int:
        """Write as a file does."""
        try:
            return super().write(data)
        except OSError as error:
            error.filename = "standard output"
            _Output.deserted |= isinstance(error, BrokenPipeError)
            raise


def ended(code: int | None) -> int:
    """What a command's own exit means: click ends with 1 where nobody reads on, which is no failure."""
    return 0 if code == 1 and _Output.deserted else code or 0


def _named(stream: TextIO) -> TextIO:
    """The same stream with errors that name it; one that is no file of the system stays what it is."""
    try:
        stream.flush()
        raw = _Output(stream.fileno(), "w", closefd=False)
    except (OSError, ValueError):
        return stream
    raw.under = stream  # which closes the file when nobody has it any more
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
class Message:
    """An error as a user is told of it."""

    message: str
    code: int
    show: Callable[[io.StringIO], None] | None = None
    """How it is told, where it has a way of its own."""


def in_words(error: Exception) -> Message | None:  # noqa: PLR0911 - one for each kind of error
    """A sentence and an exit code for what is no fault of the program; None for what is."""
    match error:
        case click.ClickException():
            return Message(error.format_message(), error.exit_code, error.show)
        case BoostLoraError():
            return Message(f"error: {error}", error.exit_code)
        case MemoryError():
            return Message(f"error: out of memory: {error}", EXIT_FAILED)
        case UnicodeEncodeError():
            near = error.object[max(0, error.start - 20) : error.end + 20]
            return Message(f"error: {near!r}: no valid Unicode, and cannot be written as UTF-8", EXIT_USAGE)
        case OSError() if error.errno is not None:
            return _of_the_system(error)
        case ValueError() if "embedded null" in str(error):
            return Message("error: a path with a NUL character in it is none", EXIT_USAGE)
        case _:
            return None


def flushed(*, quiet: bool) -> int:
    """Flush what was printed; the exit code if that fails, which it says unless another error was told.

    What is left is thrown away then, so that the interpreter does not try again.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _throw_away()
    except OSError as error:
        _throw_away()
        if not quiet:
            with suppress(OSError):
                sys.stderr.write(f"{_of_the_system(error).message}\n")
        return EXIT_FAILED
    except ValueError:  # closed by whoever printed last
        pass
    return 0


def _throw_away() -> None:
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _of_the_system(error: OSError) -> Message:
    """A system's error with its path."""
    places = [_name(place) for place in (error.filename, error.filename2) if place is not None]
    message = ": ".join([" -> ".join(places), error.strerror or str(error)] if places else [str(error)])
    return Message(f"error: {message}", EXIT_USAGE if error.errno in NO_PLACE else EXIT_FAILED)


def _name(path: object) -> str:
    """A path on one line."""
    text = os.fsdecode(path) if isinstance(path, bytes | str | os.PathLike) else str(path)
    return text if text.isprintable() else repr(text)
