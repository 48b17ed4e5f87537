"""Tables of a spec are structured into attrs objects: without coercion, and with all faults of a table at once."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
import cattrs
from cattrs import AttributeValidationNote, IterableValidationNote

from ..foundation.options import HUB_ID, SHOWN, DatasetPath, FilePath, ModelPath, shortened
from .document import Document
from .faults import Fault, Span, did_you_mean, listed
from .key_hints import key_hint
from .spans import Path as KeyPath

T = TypeVar("T")

SCALARS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    FilePath: "a file's path, as a string",
    ModelPath: "a folder's path or a Hugging Face id, as a string",
    DatasetPath: "a folder's path or a Hugging Face id, as a string",
}
PATHS = (FilePath, ModelPath, DatasetPath)


class InvalidValueError(ValueError):
    """A value that its option does not allow."""


def describe(kind: Any) -> str:
    """The values that a type allows, in words."""
    if kind in SCALARS:
        return SCALARS[kind]
    if kind is Any:
        return "a table"
    arguments = get_args(kind)
    if get_origin(kind) is Literal:
        return "one of " + listed(f'"{a}"' if isinstance(a, str) else str(a) for a in arguments)
    if get_origin(kind) is tuple:
        return f"a list, each item {describe(arguments[0])}"
    if _is_union(kind):
        lists_last = sorted(arguments, key=lambda a: get_origin(a) is tuple)
        return " or ".join(describe(a) for a in lists_last)
    return getattr(kind, "__name__", str(kind))


def show(value: Any) -> str:
    """A TOML value as TOML text, shortened."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        # Every item takes at least two characters, so no more than this many can be shown.
        return shortened("[" + ", ".join(show(item) for item in value[:SHOWN]) + "]")
    text = f'"{value}"' if isinstance(value, str) else str(value)  # dates print as TOML writes them
    return shortened(text.lower() if isinstance(value, bool) else text)


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in {Union, types.UnionType}


def _type_error(value: Any, kind: Any) -> InvalidValueError:
    return InvalidValueError(f"expected {describe(kind)}, got {show(value)}")


def _scalar(value: Any, kind: Any) -> Any:
    wanted = str if kind in PATHS else kind
    if wanted is float and type(value) is int:
        value = float(value)
    if wanted is float and type(value) is float:
        value += 0.0  # -0.0 is 0.0, and must hash like it
    if type(value) is not wanted:
        raise _type_error(value, kind)
    if wanted is float and not math.isfinite(value):
        raise InvalidValueError(f"expected a finite number, got {value}")
    if wanted is int and not -(2**63) <= value < 2**63:
        raise InvalidValueError("a whole number must fit into 64 bits")
    return value


def _literal(value: Any, kind: Any) -> Any:
    if any(type(value) is type(a) and value == a for a in get_args(kind)):
        return value
    hint = (
        did_you_mean(value, [a for a in get_args(kind) if isinstance(a, str)])
        if isinstance(value, str)
        else ""
    )
    raise InvalidValueError(f"expected {describe(kind)}, got {show(value)}" + (f"; {hint}" if hint else ""))


def _union(value: Any, kind: Any) -> Any:
    lists = [choice for choice in get_args(kind) if get_origin(choice) is tuple]
    if isinstance(value, list) and len(lists) == 1:
        return converter.structure(value, lists[0])  # its faults name the item
    for choice in get_args(kind):
        try:
            return converter.structure(value, choice)
        except (InvalidValueError, cattrs.BaseValidationError):
            continue
    raise _type_error(value, kind)


def _list(value: Any, kind: Any) -> Any:
    if not isinstance(value, list):
        raise _type_error(value, kind)
    item = get_args(kind)[0]
    return tuple(cattrs.Converter.structure(converter, value, list[item]))


converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
for _kind in SCALARS:
    converter.register_structure_hook(
        _kind, _scalar
    )  # by type: cattrs' own hooks for types outrank predicates
converter.register_structure_hook_func(lambda k: get_origin(k) is Literal, _literal)
converter.register_structure_hook_func(_is_union, _union)
converter.register_structure_hook_func(lambda k: get_origin(k) is tuple, _list)


def structure_table(
    cls: type[T], table: Mapping[str, Any], path: KeyPath, document: Document, faults: list[Fault]
) -> T | None:
    """An object of `cls` from a table's keys; None, with the faults added, if there are any."""
    reader = _TableReader(cls, path, document)
    found = reader.read(table)
    faults.extend(reader.faults)
    return None if reader.faults else found


class _TableReader:
    """Reads one table field by field and collects all faults."""

    def __init__(self, cls: type[Any], path: KeyPath, document: Document) -> None:
        attrs.resolve_types(cls)
        self.cls, self.path, self.document = cls, path, document
        self.fields = {field.name: field for field in attrs.fields(cls)}
        self.faults: list[Fault] = []

    def read(self, table: Mapping[str, Any]) -> Any:
        """The object, or None if there are faults."""
        self.faults.extend(self._unknown(key) for key in table if key not in self.fields)
        values = dict[str, Any]()
        for name, field in self.fields.items():
            if name in table:
                values[name] = self._value(field, table[name])
            elif field.default is attrs.NOTHING:
                self._missing(field)
        if self.faults:
            return None
        try:
            return self.cls(**values)
        except (ValueError, TypeError) as error:
            self._fault(str(error), self.document.location(self.path).key)
            return None

    def _fault(self, message: str, span: Span, **more: Any) -> None:
        self.faults.append(Fault(message=message, span=span, **more))

    def _unknown(self, key: str) -> Fault:
        known = list(self.fields)
        return Fault(
            message=f'unknown key "{shortened(key)}"',
            span=self.document.location((*self.path, key)).key,
            allowed=listed(known) or "no key but use",
            hint=key_hint(key, known),
        )

    def _missing(self, field: attrs.Attribute[Any]) -> None:
        text = field.metadata.get("help", "")
        allowed = f"{field.name} = {describe(field.type)}" + (f"  # {text}" if text else "")
        self._fault(f'missing key "{field.name}"', self.document.location(self.path).key, allowed=allowed)

    def _value(self, field: attrs.Attribute[Any], raw: Any) -> Any:
        """Structure one value and run its field's validators."""
        path = (*self.path, field.name)
        location = self.document.location(path)
        try:
            value: Any = converter.structure(raw, field.type or object)
        except Exception as error:
            self.faults.extend(_leaf_faults(error, path, self.document))
            return None
        if field.type in PATHS and (value or field.default is attrs.NOTHING):
            found = self._resolve_path(field, value, location.value)
            if found is None:
                return None
            value = found
        try:
            if field.validator is not None:
                field.validator(None, field, value)
        except (ValueError, TypeError) as error:
            self._fault(str(error.args[0]), location.value)
        return value

    def _resolve_path(self, field: attrs.Attribute[Any], name: str, span: Span) -> str | None:
        """The value of a path option: an absolute path or a Hugging Face id; None, with a fault added, for neither."""
        folder, is_file = span.source.folder, field.type is FilePath
        found = _existing_path(folder, name, Path.is_file if is_file else Path.is_dir) if name else None
        if found is not None or (not is_file and HUB_ID.fullmatch(name)):
            return found or name
        place = shortened(str(folder / name), 200)
        what, id_too = ("file", "") if is_file else ("folder", ', or a Hugging Face id such as "owner/name"')
        self._fault(f'no {what} "{place}"', span, allowed=f"an existing {what}{id_too}")
        return None


def _existing_path(folder: Path, name: str, exists: Callable[[Path], bool]) -> str | None:
    """The absolute path if it exists; None otherwise, or for an invalid path (NUL, too long, `~nobody`)."""
    try:
        path = (folder / Path(name).expanduser()).resolve()
        return str(path) if exists(path) else None
    except (OSError, ValueError, RuntimeError):
        return None


def _leaf_faults(error: BaseException, path: KeyPath, document: Document) -> list[Fault]:
    """The leaves of cattrs' exception groups, each with its path."""
    if isinstance(error, BaseExceptionGroup):
        found = list[Fault]()
        for inner in error.exceptions:
            step: KeyPath = ()
            for note in getattr(inner, "__notes__", []):
                if isinstance(note, AttributeValidationNote):
                    step = (note.name,)
                elif isinstance(note, IterableValidationNote):
                    step = (note.index,)
            found.extend(_leaf_faults(inner, (*path, *step), document))
        return found
    dotted = ".".join(str(part) for part in path)
    return [Fault(message=f"{dotted}: {error}", span=document.location(path).value)]
