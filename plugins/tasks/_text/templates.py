"""Templates with `{column}` fields."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

import attrs

from ....engine.foundation.options import Validator


@attrs.frozen
class Template:
    """`pieces` of literal text, each followed by a column's text, or by nothing (None)."""

    pieces: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Parse a template; `{{` and `}}` are literal braces. Raises `ValueError` for anything but plain `{column}` fields."""
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
        """The template of a single column."""
        return cls((("", name),))

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns it uses, each once."""
        return tuple(dict.fromkeys(field for _, field in self.pieces if field is not None))

    def fill(self, row: Mapping[str, str]) -> str:
        """The text for one row."""
        return "".join(literal + ("" if field is None else row[field]) for literal, field in self.pieces)


def readable(instance: object, attribute: attrs.Attribute[Any], value: str) -> None:
    """Validate a template or a column name."""
    if "{" in value or "}" in value:
        found = Template.parse(value)
        if not found.fields:
            raise ValueError(f'"{attribute.name}": the template "{value}" names no column')


def template_or_column(value: str) -> Template:
    """The option as a template if it has a brace, else as a column name."""
    return Template.parse(value) if "{" in value or "}" in value else Template.column(value)


def requires_fields(*names: str, optional: tuple[str, ...] = ()) -> Validator:
    """A validator: the option is a template with all fields in `names` and no others but `optional` ones."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: str) -> None:
        given = set(Template.parse(value).fields)
        if given - set(names) - set(optional) or not given >= set(names):
            fields = ", ".join(f"{{{name}}}" for name in names)
            more = "".join(f", {{{name}}}" for name in optional)
            allowed = f"; it may hold{more[1:]} too" if more else ", and no other field"
            raise ValueError(f'"{attribute.name}" must hold {fields}{allowed}; write {{{{ for a brace')

    return check
