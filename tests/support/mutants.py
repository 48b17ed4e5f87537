"""Specs with faults that people make, and with some that nobody would: mutants of whole specs, drawn from a seed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import tomli
import tomli_w

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e-?\d+)?")
QUOTED = re.compile(r'"[^"\n]*"')
NUMBERS = (
    "0", "-1", "1", "2", "0.0", "-0.0", "1.5", "nan", "-nan", "inf", "-inf", "1e308", "-1e308", "5e-324", "1e-9", "1000000",
    "9223372036854775807", "-9223372036854775808", "9223372036854775808", "99999999999999999999999999", "0x10", "0b2", "1_000",
    "1e999", "true", '"1"', "[]", "[1]", "{}", "1979-05-27", "07:32:00",
)  # fmt: skip
TEXTS = (
    "", " ", "a", "nan", "true", "0", "-", "..", "/", "/dev/null", "/dev/zero", "~", "~nobody/x", "%s", "{0}", "${HOME}", "\u202e", "ß" * 50,
    "🦆", "e\u0301", "\x00", "\x1b[2J", "\r\n", "x" * 300, "x" * 70_000, "quickstart", "../quickstart.toml", "spec.toml", "http://[",
    "[bold]", "a.b.c", "None", "\ufeff", "\ud7ff", "'; --", "*", "**", "[", "(", "\\", "all", "hidden.0", "auto",
)  # fmt: skip
PIECES = (*"\"'[]{}=.,#\\\0\r\t~é", "\n", '"""', "[[", "]]", "\\u0000", "\\x", "use", "extends = ", "\ufeff", "= =", "[task]\n", "[[ablate.when]]\n")  # fmt: skip
KEYS = ("use", "seed", "rounds", "name", "x", "Seed", "", "a b", "extends", "ablate", "start", "lr", "é", "__class__", "task", "grid", "tune", "seeds", "when", "path")  # fmt: skip

Tree = dict[str, Any]
Rng = random.Random


def mutant(text: str, names: Sequence[str], rng: Rng) -> bytes:
    """The spec with one to three mutations; `names` are words that other specs use for plugins."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        text = rng.choice(TEXTUAL)(text, rng) if rng.random() < 0.5 else _structural(text, names, rng)
    return text.encode("utf-8", "surrogatepass")


def _drop_line(text: str, rng: Rng) -> str:
    lines = text.splitlines(keepends=True)
    at = rng.randrange(len(lines) or 1)
    return "".join(lines[:at] + lines[at + 1 :])


def _twice(text: str, rng: Rng) -> str:
    lines = text.splitlines(keepends=True) or [""]
    line = rng.choice(lines)
    lines.insert(rng.randrange(len(lines) + 1), line)
    return "".join(lines)


def _swapped(text: str, rng: Rng) -> str:
    lines = text.splitlines(keepends=True) or [""]
    one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[two] = lines[two], lines[one]
    return "".join(lines)


def _cut(text: str, rng: Rng) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + text[at + rng.choice([1, 1, 3, 40, len(text)]) :]


def _written_in(text: str, rng: Rng) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(PIECES) * rng.choice([1, 1, 1, 2, 500]) + text[at:]


def _other(found: re.Pattern[str], words: Sequence[str]) -> Callable[[str, Rng], str]:
    def other(text: str, rng: Rng) -> str:
        places = list(found.finditer(text))
        if not places:
            return text
        place = rng.choice(places)
        return text[: place.start()] + rng.choice(words) + text[place.end() :]

    return other


TEXTUAL: tuple[Callable[[str, Rng], str], ...] = (
    _drop_line,
    _twice,
    _swapped,
    _cut,
    _written_in,
    _other(NUMBER, NUMBERS),
    _other(NUMBER, NUMBERS),
    _other(QUOTED, NUMBERS),
    _other(QUOTED, [f'"{word}"' for word in TEXTS]),
)


def _structural(text: str, names: Sequence[str], rng: Rng) -> str:
    try:
        tree = tomli.loads(text)
    except (ValueError, RecursionError):
        return text
    tables = list(_tables(tree))
    table = rng.choice(tables)
    rng.choice(STRUCTURAL)(table, tables, names, rng)
    try:
        return tomli_w.dumps(tree)
    except (TypeError, ValueError, RecursionError):
        return text


def _tables(tree: Tree) -> list[Tree]:
    found = [tree]
    for value in tree.values():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                found += _tables(inner)
    return found


def _value(names: Sequence[str], rng: Rng) -> Any:
    return rng.choice(
        [
            lambda: rng.choice(TEXTS),
            lambda: rng.choice(names),
            lambda: rng.choice([0, -1, 1, 2**63 - 1, -(2**63), 2**70, 10**6]),
            lambda: rng.choice([0.0, -1.0, 0.5, 1e308, 5e-324, float("nan"), float("inf"), float("-inf")]),
            lambda: rng.choice([True, False]),
            lambda: [_value(names, rng) for _ in range(rng.randrange(3))],
            lambda: {rng.choice(KEYS): _value(names, rng) for _ in range(rng.randrange(3))},
        ]
    )()


def _key(table: Tree, rng: Rng) -> str:
    return rng.choice([*table, rng.choice(KEYS)])


def _set(table: Tree, _: list[Tree], names: Sequence[str], rng: Rng) -> None:
    table[_key(table, rng)] = _value(names, rng)


def _renamed_plugin(_: Tree, tables: list[Tree], names: Sequence[str], rng: Rng) -> None:
    if used := [table for table in tables if "use" in table]:
        rng.choice(used)["use"] = rng.choice(names)


def _dropped(table: Tree, _: list[Tree], __: Sequence[str], rng: Rng) -> None:
    table.pop(_key(table, rng), None)


def _renamed(table: Tree, _: list[Tree], __: Sequence[str], rng: Rng) -> None:
    key = _key(table, rng)
    if key in table:
        table[rng.choice([*KEYS, key + "s", key[:-1]])] = table.pop(key)


def _moved(table: Tree, tables: list[Tree], _: Sequence[str], rng: Rng) -> None:
    key, target = _key(table, rng), rng.choice(tables)
    if not isinstance(table.get(key), dict | list):
        target[key] = table.get(key, 1)


def _wrapped(table: Tree, _: list[Tree], __: Sequence[str], rng: Rng) -> None:
    key = _key(table, rng)
    table[key] = rng.choice([[table.get(key, 1)], {"use": table.get(key, 1)}, {key: table.get(key, 1)}])


def _list_changed(_: Tree, tables: list[Tree], names: Sequence[str], rng: Rng) -> None:
    if found := [value for table in tables for value in table.values() if isinstance(value, list)]:
        changed = rng.choice(found)
        changed.insert(rng.randrange(len(changed) + 1), _value(names, rng))


STRUCTURAL = (_set, _set, _renamed_plugin, _dropped, _renamed, _moved, _wrapped, _list_changed)
