"""Output of commands: control characters are escaped, and credentials are cut out."""

from __future__ import annotations

import errno
import unicodedata
from typing import Any

import click

from ..foundation.redaction import without_credentials


def inert(text: str) -> str:
    r"""A text with control characters escaped, as `\x1b`; newlines and tabs stay."""
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" or _shown(c) else ascii(c)[1:-1] for c in text)


def _shown(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def safe(text: object) -> str:
    """A text as it may be printed."""
    return inert(without_credentials(str(text)))


def echo(message: object = "", *, err: bool = False, nl: bool = True, **style: Any) -> None:
    """Print a message on standard output or standard error, in a click style. A closed terminal is no error."""
    text = safe(message)
    try:
        click.echo(click.style(text, **style) if style else text, err=err, nl=nl)
    except OSError as error:
        if error.errno != errno.EIO:  # the terminal was closed
            raise
