"""Templates whose fields a task fixes."""

from __future__ import annotations

from typing import Any

import attrs

from ....engine.foundation.options import Validator
from .templates import Template


def asks(*names: str, optional: tuple[str, ...] = ()) -> Validator:
    """A validator: the option is a template with each of the fields `names`, and no others but `optional` ones."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: str) -> None:
        given = set(Template.parse(value).fields)
        if given - set(names) - set(optional) or not given >= set(names):
            fields = ", ".join(f"{{{name}}}" for name in names)
            more = "".join(f", {{{name}}}" for name in optional)
            allowed = f"; it may hold{more[1:]} too" if more else ", and no other field"
            raise ValueError(f'"{attribute.name}" must hold {fields}{allowed}; write {{{{ for a brace')

    return check
