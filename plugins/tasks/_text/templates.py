"""Texts put together from columns: a column's own text, or a template with `{column}` in it."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen
class Template:
    """`pieces` of literal text, each followed by the text of a column, or by nothing (None)."""

    pieces: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template; `{{` and `}}` stand for braces. Raises ValueError for anything but plain `{column}` fields."""
        try:
            parsed = list(string.Formatter().parse(text))
        except ValueError as error:
            raise ValueError(
                f'the template "{text}" cannot be read: {error}; write {{{{ for a brace'
            ) from error
        for _, field, form, conversion in parsed:
            if field is not None and (not field or form or conversion):
                raise ValueError(f'the template "{text}" may hold fields such as {{column}}, nothing else')
        return cls(tuple((literal, field) for literal, field, _, _ in parsed))

    @classmethod
    def column(cls, name: str) -> Template:
        """The text of one column, as it is."""
        return cls((("", name),))

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns it takes, each once."""
        return tuple(dict.fromkeys(field for _, field in self.pieces if field is not None))

    def fill(self, row: Mapping[str, str]) -> str:
        """The text of one row."""
        return "".join(literal + ("" if field is None else row[field]) for literal, field in self.pieces)


def readable(instance: object, attribute: attrs.Attribute[Any], value: str) -> None:
    """A validator: the option holds a template, or the name of a column."""
    if "{" in value or "}" in value:
        found = Template.parse(value)
        if not found.fields:
            raise ValueError(f'"{attribute.name}": the template "{value}" names no column')


def template_or_column(value: str) -> Template:
    """What an option says: a template where it has a brace, else a column's name."""
    return Template.parse(value) if "{" in value or "}" in value else Template.column(value)
