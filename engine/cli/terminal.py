"""Everything that commands print: no character of a name or a file can control the terminal, and no credential is shown."""

from __future__ import annotations

import errno
import unicodedata
from typing import Any

import click

from ..foundation.redaction import without_credentials


def inert(text: str) -> str:
    r"""A text whose characters a terminal shows and does not obey: others are escaped, as `\x1b`; lines and tabs stay."""
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" or _shown(c) else ascii(c)[1:-1] for c in text)


def _shown(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def safe(text: object) -> str:
    """What is printed of a text."""
    return inert(without_credentials(str(text)))


def echo(message: object = "", *, err: bool = False, nl: bool = True, **style: Any) -> None:
    """Print one message on standard output or standard error, in a style of click's; nothing where the terminal is gone."""
    text = safe(message)
    try:
        click.echo(click.style(text, **style) if style else text, err=err, nl=nl)
    except OSError as error:
        if error.errno != errno.EIO:  # what a closed terminal answers
            raise
