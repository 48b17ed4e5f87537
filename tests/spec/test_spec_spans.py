from __future__ import annotations

import contextlib
import datetime as dt
import string
from pathlib import Path
from typing import Any

import pytest
import tomli
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.spec import SpecError
from boostlora.engine.spec.faults import Source
from boostlora.engine.spec.spans import MAX_DEPTH, MAX_KEY_PARTS, MAX_KEYS, MAX_NUMBER, Location, locate

Path_ = tuple[str | int, ...]


def paths(tree: Any, path: Path_ = ()) -> dict[Path_, Any]:
    """Every path of a parsed tree with its value."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    found = {} if path == () else {path: tree}
    for key, value in inner:
        found |= paths(value, (*path, key))
    return found


def locations_of(text: str) -> dict[Path_, Location]:
    return locate(Source("s.toml", text, Path()))


def slices(text: str, path: Path_) -> tuple[str, str]:
    mark = locations_of(text)[path]
    return text[mark.key.start : mark.key.end], text[mark.value.start : mark.value.end]


def check(text: str) -> None:
    """Every path has a mark, and its slices parse to that key and that value on their own."""
    tree = tomli.loads(text)
    marks, found = locations_of(text), paths(tree)
    assert set(marks) == set(found)
    for path, value in found.items():
        key = text[marks[path].key.start : marks[path].key.end]
        shown = text[marks[path].value.start : marks[path].value.end]
        if key.startswith("[") and key == shown and not isinstance(path[-1], int):
            header = key.strip("[]")  # a table named by its header, or on the way to it
            names = [str(part) for part in path if isinstance(part, str)]
            assert _names(tomli.loads(f"{header} = 0"))[: len(names)] == names
            continue
        if isinstance(path[-1], str):
            assert path[-1] in _names(tomli.loads(f"{key} = 0"))
        if not isinstance(value, dict) or shown.startswith("{"):
            assert tomli.loads(f"x = {shown}") == {"x": value} or shown.startswith("[[")


def _names(tree: dict[str, Any]) -> list[str]:
    (name, inner), *_ = tree.items()
    return [name, *(_names(inner) if isinstance(inner, dict) else [])]


EVERYTHING = r'''# comment = "not a key"
title = "a # b" # c = 1
'literal.key' = 'C:\no'
"quoted.key" = "x=\"1\""
"\u00e9\"" = 1
"" = 0
a.b . "c.d" = 2
1.5 = 3
int = +1_000
hex = 0xDEAD_beef
float = -1.5e-3
infinite = -inf
day = 1979-05-27
moment = 1979-05-27 07:32:00.5-07:00
moment_t = 1979-05-27T07:32:00Z
time = 07:32:00
list = [ 1, # one ]
  2,
  [ "]", '}' , """
] = [""" ],
]
empty = []
inline = { a = 1, "b.c" = [ {d = 2}, {} ], e.f = @x@ }
multi = """
[not.a.table]
x = "y" \
   and ""two"" quotes"""
quotes = """"four""""
literal = @
it''s 'raw'\@

[table] # comment
key = true
[table."sub.table"]
x = 1
[ spaced . out ]
x = 2
[[array]]
x = 1
[array.table]
y = 1
[[array.nested]]
z = 1
[[array.nested]]
z = 2
[[array]]
[[array.nested]]
z = 3
w = [[1], [2]]
'''.replace("@", "'''")


def test_locate_finds_every_path_of_all_toml_syntax() -> None:
    check(EVERYTHING)
    check(EVERYTHING.replace("\n", "\n\n\t "))


EXAMPLES = {
    ("title",): ("title", '"a # b"'),
    ("literal.key",): ("'literal.key'", r"'C:\no'"),
    ("quoted.key",): ('"quoted.key"', r'"x=\"1\""'),
    ('é"',): (r'"\u00e9\""', "1"),
    ("a", "b", "c.d"): ('a.b . "c.d"', "2"),
    ("a", "b"): ('a.b . "c.d"', "2"),
    ("moment",): ("moment", "1979-05-27 07:32:00.5-07:00"),
    ("list", 1): ("2", "2"),
    ("list", 2, 1): ("'}'", "'}'"),
    ("inline", "b.c", 0, "d"): ("d", "2"),
    ("inline", "b.c", 1): ("{}", "{}"),
    ("inline", "e", "f"): ("e.f", "'''x'''"),
    ("quotes",): ("quotes", '""""four""""'),
    ("table",): ("[table]", "[table]"),
    ("table", "sub.table"): ('[table."sub.table"]', '[table."sub.table"]'),
    ("spaced", "out", "x"): ("x", "2"),
    ("array", 0, "nested", 1, "z"): ("z", "2"),
    ("array", 1, "nested", 0, "z"): ("z", "3"),
    ("array", 1, "nested", 0, "w", 1, 0): ("2", "2"),
}


@pytest.mark.parametrize("path", EXAMPLES, ids=str)
def test_locate_gives_the_exact_characters_of_a_path(path: Path_) -> None:
    assert slices(EVERYTHING, path) == EXAMPLES[path]


def test_locate_distinguishes_repeated_words() -> None:
    text = "a = 1\n[b]\na = 1\n[c]\na = 1\n"
    marks = locations_of(text)
    assert [marks[path].key.start for path in (("a",), ("b", "a"), ("c", "a"))] == [0, 10, 20]


KEYS = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=4) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=5
)
SCALARS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.booleans(),
    st.dates(),
    st.datetimes(timezones=st.just(dt.UTC)),
    st.times(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(tree=st.dictionaries(KEYS, VALUES, max_size=5), multiline=st.booleans())
def test_locate_any_written_tree_finds_every_path(tree: dict[str, Any], multiline: bool) -> None:
    check(tomli_w.dumps(tree, multiline_strings=multiline))


TOKENS = st.sampled_from([*"ab.,=[]{}\"'#\\ \n1-", '"""', "'''", "[[", "=1\n", "b=["])


@given(text=st.lists(TOKENS, max_size=40).map("".join))
def test_locate_scans_any_valid_text_to_its_end(text: str) -> None:
    try:
        tree = tomli.loads(text)
    except ValueError:
        with contextlib.suppress(SpecError):
            locations_of(text)
        return
    assert set(locations_of(text)) == set(paths(tree))


LIMITS = {
    "key parts": (
        lambda n: ".".join("a" * n) + " = 1\n",
        MAX_KEY_PARTS,
        f"a dotted key of more than {MAX_KEY_PARTS} parts",
    ),
    "header parts": (
        lambda n: "[" + ".".join("a" * n) + "]\n",
        MAX_KEY_PARTS,
        f"a dotted key of more than {MAX_KEY_PARTS} parts",
    ),
    "nested lists": (
        lambda n: "a = " + "[" * n + "]" * n + "\n",
        MAX_DEPTH + 1,
        f"values nested more than {MAX_DEPTH} deep",
    ),
    "nested tables": (
        lambda n: "a = " + "{a=" * (n - 1) + "{}" + "}" * (n - 1) + "\n",
        MAX_DEPTH + 1,
        f"values nested more than {MAX_DEPTH} deep",
    ),
    "digits": (
        lambda n: "a = " + "9" * n + "\n",
        MAX_NUMBER,
        f"a value of more than {MAX_NUMBER} characters outside quotes",
    ),
    "keys": (
        lambda n: "".join(f"k{i} = 1\n" for i in range(n)),
        MAX_KEYS,
        f"more than {MAX_KEYS:,} keys and list items",
    ),
    "items": (
        lambda n: "a = [" + "1," * (n - 1) + "]\n",
        MAX_KEYS,
        f"more than {MAX_KEYS:,} keys and list items",
    ),
    "tables": (
        lambda n: "[[a]]\n" * (n - 1),
        MAX_KEYS,
        f"more than {MAX_KEYS:,} keys and list items",
    ),
}


@pytest.mark.parametrize(("make", "most", "message"), LIMITS.values(), ids=LIMITS)
def test_locate_refuses_sizes_above_the_limit(make: Any, most: int, message: str) -> None:
    check(make(most))
    with pytest.raises(SpecError) as caught:
        locations_of(make(most + 1))
    assert [fault.message for fault in caught.value.faults] == [message]
