"""Serialisation of plain data; decoding runs no code that the other process chose.

Both sides of the pipe use this module. The confined side can import little, so it needs only builtins and `struct`.
"""

from __future__ import annotations

import builtins
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

DEEPEST = 100
"""Maximum nesting depth of containers."""

_BUILTINS = """
    int float str bytes bytearray bool list tuple dict set frozenset complex range slice object type abs all any ascii bin chr divmod
    enumerate filter hash hex len map max min oct ord pow repr reversed round sorted sum zip
"""
NAMED = {name: getattr(builtins, name) for name in _BUILTINS.split()}
"""Builtins that are sent by name."""

_NAMES = {id(value): name for name, value in NAMED.items()}

# Classes that are sent as constructor arguments.
_MADE: dict[tuple[str, str], Callable[[Any], tuple[Any, ...]]] = {
    ("collections", "deque"): lambda x: (list(x), x.maxlen),
    ("decimal", "Decimal"): lambda x: (str(x),),
    ("fractions", "Fraction"): lambda x: (x.numerator, x.denominator),
    ("datetime", "date"): lambda x: (x.year, x.month, x.day),
    ("datetime", "datetime"): lambda x: (x.year, x.month, x.day, x.hour, x.minute, x.second, x.microsecond),
    ("datetime", "time"): lambda x: (x.hour, x.minute, x.second, x.microsecond),
    ("datetime", "timedelta"): lambda x: (x.days, x.seconds, x.microseconds),
}


class Unsupported(BaseException):
    """A value cannot be serialised. Not an `Exception`, so that a test that expects one does not catch it."""


class MalformedError(Exception):
    """Bytes that do not encode a value."""


def encode(value: Any, foreign: Callable[[Any], tuple[str, int, str]], most: int) -> bytes:
    """A value as at most `most` bytes; `foreign(object)` gives `(kind, number, class)` for an object that is not plain data.

    Instances of subclasses are sent as the builtin class that they extend. Raises `Unsupported`.
    """
    return _Writer(foreign, most).bytes_of(value)


def decode(data: bytes, native: Callable[[str, int, str], Any]) -> Any:
    """The value; `native(kind, number, class)` gives the object for what is not plain data. Raises `MalformedError`."""
    reader = _Reader(data, native)
    try:
        value = reader.value(0)
    except (
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
        ArithmeticError,
        struct.error,
    ) as error:
        raise MalformedError(f"{type(error).__name__}: {error}"[:200]) from None
    if reader.at != len(data):
        raise MalformedError("trailing bytes")
    return value


class _Writer:
    def __init__(self, foreign: Callable[[Any], tuple[str, int, str]], most: int) -> None:
        self.foreign, self.most, self.size = foreign, most, 0
        self.parts: list[bytes] = []

    def bytes_of(self, value: Any) -> bytes:
        try:
            self.value(value, 0)
        except RecursionError:
            raise Unsupported("the value is nested too deeply") from None
        return b"".join(self.parts)

    def put(self, tag: bytes, payload: bytes) -> None:
        self.size += 5 + len(payload)
        if self.size > self.most:
            raise Unsupported(f"the value takes more than {self.most} bytes")
        self.parts += (tag, len(payload).to_bytes(4, "big"), payload)

    def many(self, tag: bytes, values: Iterable[Any], depth: int) -> None:
        items = list(values)
        self.put(tag, b"")
        self.parts[-2] = len(items).to_bytes(4, "big")
        for item in items:
            self.value(item, depth + 1)

    def value(self, value: Any, depth: int) -> None:
        if depth > DEEPEST:
            raise Unsupported(f"the value is nested more than {DEEPEST} deep, or contains itself")
        if value is None or value is True or value is False:
            self.put({None: b"N", True: b"T", False: b"F"}[value], b"")
        elif id(value) in _NAMES:
            self.put(b"Y", _NAMES[id(value)].encode())
        elif not self.scalar(value) and not self.container(value, depth):
            kind, number, name = self.foreign(value)
            self.many(b"R", (kind, number, name), depth)

    def scalar(self, value: Any) -> bool:
        if isinstance(value, int):
            number = int.__add__(value, 0)
            self.put(b"I", number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))
        elif isinstance(value, float):
            self.put(b"D", struct.pack(">d", value))
        elif isinstance(value, str):
            self.put(b"S", str.encode(value, "utf-8", "surrogatepass"))
        elif isinstance(value, complex):
            self.put(b"Z", struct.pack(">dd", value.real, value.imag))
        elif isinstance(value, bytes | bytearray):
            self.put(b"B" if isinstance(value, bytes) else b"A", bytes(value))
        else:
            return False
        return True

    def container(self, value: Any, depth: int) -> bool:
        if isinstance(value, dict):
            self.many(b"d", (half for pair in dict.items(value) for half in pair), depth)
            return True
        if isinstance(value, range):
            self.many(b"r", (value.start, value.stop, value.step), depth)
            return True
        for cls, tag in _CONTAINERS:
            if isinstance(value, cls):
                self.many(tag, cls.__iter__(value), depth)
                return True
        for (module, name), arguments in _MADE.items():
            known = sys.modules.get(module)
            if known is not None and type(value) is getattr(known, name, None):
                self.many(b"m", (module, name, *arguments(value)), depth)
                return True
        return False


_CONTAINERS: tuple[tuple[type[Any], bytes], ...] = (
    (list, b"l"),
    (tuple, b"t"),
    (set, b"s"),
    (frozenset, b"f"),
    (type({}.keys()), b"k"),
    (type({}.values()), b"v"),
    (type({}.items()), b"i"),
)


class _Reader:
    def __init__(self, data: bytes, native: Callable[[str, int, str], Any]) -> None:
        self.data, self.native, self.at = data, native, 0

    def value(self, depth: int) -> Any:
        tag = self.take(1)
        size = int.from_bytes(self.take(4), "big")
        if depth > DEEPEST + 2:
            raise MalformedError("nested too deeply")
        if tag in _SCALARS:
            return _SCALARS[tag](self.take(size))
        if size > len(self.data) - self.at:
            raise MalformedError("more items than bytes")
        items = [self.value(depth + 1) for _ in range(size)]
        if tag == b"R":
            kind, number, name = items
            return self.native(str(kind), int(number), str(name))
        if tag == b"m":
            return _make(*items)
        return _BUILT[tag](items)

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise MalformedError("truncated")
        self.at += size
        return self.data[self.at - size : self.at]


_SCALARS: dict[bytes, Callable[[bytes], Any]] = {
    b"N": lambda _: None,
    b"T": lambda _: True,
    b"F": lambda _: False,
    b"Y": lambda data: NAMED[data.decode()],
    b"I": lambda data: int.from_bytes(data, "big", signed=True),
    b"D": lambda data: struct.unpack(">d", data)[0],
    b"S": lambda data: data.decode("utf-8", "surrogatepass"),
    b"Z": lambda data: complex(*struct.unpack(">dd", data)),
    b"B": bytes,
    b"A": bytearray,
}


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


_BUILT: dict[bytes, Callable[[list[Any]], Any]] = {
    b"l": lambda items: items,
    b"t": tuple,
    b"s": set,
    b"f": frozenset,
    b"d": _pairs,
    b"r": lambda items: range(*items),
    b"k": lambda items: dict.fromkeys(items).keys(),
    b"v": lambda items: dict(enumerate(items)).values(),
    b"i": lambda items: dict(items).items(),
}


def _make(module: str, name: str, *arguments: Any) -> Any:
    if (module, name) not in _MADE:
        raise MalformedError("a class that cannot be sent")
    return getattr(__import__(module), name)(*arguments)
