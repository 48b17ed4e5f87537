"""Plain values arrive as they were sent, and bytes that are no value do no harm."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.plugins.tasks._code.sandbox.plain import MalformedError, Unsupported, decode, encode

HASHABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: st.lists(inner) | st.tuples(inner) | st.sets(HASHABLE) | st.dictionaries(HASHABLE, inner),
    max_leaves=20,
)


def foreign(value: Any) -> Any:
    raise Unsupported(type(value).__name__)


def native(kind: str, number: int, name: str) -> Any:
    return kind, number, name


def round_trip(value: Any) -> Any:
    return decode(encode(value, foreign, 1 << 20), native)


@given(VALUES)
def test_value_round_trips_with_its_class(value: Any) -> None:
    back = round_trip(value)
    assert back == value
    assert (
        repr(back) == repr(value)
        or isinstance(value, set | frozenset)
        or "{" in repr(value)
        or "frozenset" in repr(value)
    )
    assert type(back) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        range(3, 10, 2), 1 << 5000, -(1 << 64), -0.0, math.inf, "\ud800", bytearray(b"a"), int, len,
        decimal.Decimal("1.10"), fractions.Fraction(1, 3), collections.deque([1, 2], maxlen=2),
        dt.date(2024, 2, 29), dt.datetime(2024, 2, 29, 1, 2, 3, 4), dt.time(1, 2), dt.timedelta(days=-1),
    ],
)  # fmt: skip
def test_odd_value_round_trips(value: Any) -> None:
    back = round_trip(value)
    assert back == value
    assert repr(back) == repr(value)


def test_nan_and_views_round_trip() -> None:
    assert math.isnan(round_trip([math.nan])[0])
    table = {1: "a", 2: "b"}
    assert round_trip(table.keys()) == table.keys()
    assert round_trip(table.items()) == table.items()
    assert list(round_trip(table.values())) == ["a", "b"]


def test_subclasses_round_trip_as_their_base_class() -> None:
    class Liar(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    assert type(round_trip(Liar(3))) is int
    assert type(round_trip(collections.Counter("aab"))) is dict
    assert round_trip(collections.Counter("aab")) == {"a": 2, "b": 1}
    assert round_trip(collections.namedtuple("Pair", "a b")(1, 2)) == (1, 2)  # noqa: PYI024 - a plain one


def test_too_large_and_too_deep_values_are_unsupported() -> None:
    with pytest.raises(Unsupported, match="more than 100 bytes"):
        encode("a" * 200, foreign, 100)
    with pytest.raises(Unsupported, match="more than 100 bytes"):
        encode([0] * 200, foreign, 100)
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(Unsupported, match="nested more than 100 deep"):
        encode(loop, foreign, 1 << 20)


@given(st.binary(max_size=200))
def test_noise_is_malformed_or_a_value(noise: bytes) -> None:
    with suppress(MalformedError):
        decode(noise, native)


@given(VALUES, st.data())
def test_damaged_value_is_malformed_or_another_value(value: Any, data: st.DataObject) -> None:
    encoded = bytearray(encode(value, foreign, 1 << 20))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] = data.draw(st.integers(0, 255))
    with suppress(MalformedError):
        decode(bytes(encoded), native)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"N", b"X\0\0\0\0", b"l\xff\xff\xff\xff", b"N\0\0\0\0N\0\0\0\0", b"Y\0\0\0\4eval", b"Y\0\0\0\4exec",
        b"d\0\0\0\1N\0\0\0\0", b"s\0\0\0\1l\0\0\0\0", b"m\0\0\0\2S\0\0\0\2osS\0\0\0\6system", b"l\0\0\0\1" * 500,
    ],
)  # fmt: skip
def test_invalid_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(data, native)
