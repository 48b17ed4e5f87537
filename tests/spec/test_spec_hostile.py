from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.registry import Registry
from boostlora.engine.spec import Spec, SpecError
from boostlora.engine.spec.document import MAX_BYTES, load
from boostlora.engine.spec.resolve import load_spec

SECONDS = 20
"""Far more than any of these takes; far less than what quadratic work on a megabyte takes."""
LENGTH = 20_000
"""Characters of a message: 50 faults of a few lines each."""

NEEDED = b'[task]\nuse = "digits"\n[model]\nuse = "mlp"\n'
MEGABYTE = 1_000_000

FILES: dict[str, tuple[bytes, str]] = {
    "dotted key": (b"a." * 20_000 + b"a = 1\n", "1:1: a dotted key of more than 16 parts"),
    "dotted header": (b"[" + b"a." * 20_000 + b"a]\n", "1:2: a dotted key of more than 16 parts"),
    "dotted key in a table": (b"x = {" + b"a." * 20_000 + b"a=1}\n", "1:6: a dotted key of more than 16"),
    "nested arrays": (b"x = " + b"[" * 1000 + b"]" * 1000, "values nested more than 16 deep"),
    "nested open arrays": (b"x = " + b"[" * 900_000, "values nested more than 16 deep"),
    "nested tables": (b"x = " + b"{a=" * 1000 + b"1" + b"}" * 1000, "values nested more than 16 deep"),
    "huge integer": (b"x = " + b"9" * 5000 + b"\n", "1:5: a value of more than 64 characters outside quotes"),
    "huge hexadecimal": (b"x = 0x" + b"f" * 5000, "1:5: a value of more than 64 characters outside quotes"),
    "huge integer in a list": (b"x = [1, " + b"9" * 5000 + b"]", "1:9: a value of more than 64 characters"),
    "huge float": (b"x = 1." + b"9" * 5000, "1:5: a value of more than 64 characters outside quotes"),
    "huge exponent": (b"seed = 1e999999999\n", "1:8: seed: expected a whole number, got inf"),
    "invalid UTF-8": (b'name = "\xff\xfe"\n', "not UTF-8: byte 8 is 0xff"),
    "cut UTF-8": (b'name = "\xe2\x82', "not UTF-8: byte 8 is 0xe2"),
    "encoded surrogate": (b'name = "\xed\xa0\x80"\n', "not UTF-8: byte 8 is 0xed"),
    "escaped surrogate": (b'name = "\\ud800"\n', "1:15: not valid TOML"),
    "UTF-16": ("seed = 1\n".encode("utf-16"), "not UTF-8: byte 0 is 0xff"),
    "too large": (b"#" * 10_000_000, f"10,000,000 bytes; a spec has at most {MAX_BYTES:,}"),
    "unknown keys": (
        b"".join(b"%x=1\n" % i for i in range(100_000)),
        "10001:1: more than 10,000 keys and list items",
    ),
    "unknown keys below the limit": (b"".join(b"seed%x=1\n" % i for i in range(9_000)), "more\n"),
    "unknown options below the limit": (
        NEEDED + b"".join(b"epochs%x=1\n" % i for i in range(9_000)),
        "9000 faults; nothing was run",
    ),
    "wrong items below the limit": (
        b"[sites]\nlayers = [" + b"'a'," * 9_000 + b"]\n" + NEEDED,
        "9000 faults; nothing was run",
    ),
    "tables": (b"".join(b"[%x]\n" % i for i in range(100_000)), "more than 10,000 keys"),
    "deep tables": (
        b"".join(b"[a%d.b.c.d.e.f.g.h.i.j.k.l.m.n]\n" % i for i in range(25_000)),
        "more than 10,000 keys",
    ),
    "list items": (b"x = [" + b"1," * 450_000 + b"]\n", "more than 10,000 keys and list items"),
    "array of tables": (b"[[task]]\n" * 110_000, "more than 10,000 keys and list items"),
    "the same nested table": (b"[[a]]\n" + b"[a.b]\n" * 150_000, "more than 10,000 keys and list items"),
    "long name": (b'name = "' + b"x" * MEGABYTE + b'"\n' + NEEDED, '1:8: "name" must be'),
    "long plugin": (NEEDED + b'[basis]\nuse = "' + b"x" * MEGABYTE + b'"\n', "6:7: unknown basis plugin"),
    "long choice": (
        NEEDED + b'[stop]\non_nonfinite = "' + b"x" * MEGABYTE + b'"\n',
        "6:16: stop.on_nonfinite: expected",
    ),
    "long key": (b'"' + b"x" * MEGABYTE + b'" = 1\n' + NEEDED, '1:1: unknown key "xxx'),
    "long key twice": ((b"x" * 400_000 + b" = 1\n") * 2, "2:400005: not valid TOML: cannot overwrite"),
    "long table twice": ((b"[" + b"x" * 400_000 + b"]\n") * 2, "not valid TOML: cannot declare"),
    "long parent": (b'extends = "' + b"x" * MEGABYTE + b'"\n', "1:11: extends: no spec"),
    "long bare word": (b"x = " + b"a" * MEGABYTE, "1:5: a value of more than 64 characters outside quotes"),
    "NUL in a string": (b'name = "a\0b"\n', "1:10: not valid TOML: illegal character '\\x00'"),
    "NUL in a key": (b"a\0 = 1\n", "1:2: not valid TOML"),
    "escaped NUL": (b'name = "a\\u0000b"\n' + NEEDED, '1:8: "name" must be'),
    "only NUL": (b"\0" * 1000, "1:1: not valid TOML"),
    "terminal codes": (b'"\\u001b[2J" = 1\n' + NEEDED, '1:1: unknown key "\\x1b[2J"'),
    "open string": (b'name = "abc', "1:12: not valid TOML: unterminated string"),
    "long open string": (b'name = "' + b'\\"' * 500_000, "not valid TOML: unterminated string"),
    "open literal": (b"name = 'abc", '1:12: not valid TOML: expected "\'"'),
    "open long string": (b'name = """' + b'"" ' * 300_000, "not valid TOML: unterminated string"),
    "open long string of escapes": (b'name = """' + b'\\"' * 500_000, "not valid TOML: unterminated string"),
    "open long literal": (b"name = '''" + b"'' " * 300_000, "not valid TOML: expected \"'''\""),
    "many open strings": (b'x = """k" = \\\n' * 60_000, "not valid TOML"),
    "open array": (b"x = [1, 2", "1:10: not valid TOML: unclosed array"),
    "open table": (b"x = {a = 1", "1:11: not valid TOML: unclosed inline table"),
    "open header": (b"[task", "1:6: not valid TOML: expected ']'"),
    "open array header": (b"[[task]", "1:7: not valid TOML: expected ']]'"),
    "open key": (b'"abc', "1:5: not valid TOML: unterminated string"),
    "open value": (b"a =" + b" " * MEGABYTE, "not valid TOML: invalid value"),
    "only comments": (b"#\n" * 500_000, 'missing table "[task]"'),
    "only blanks": (b" " * MEGABYTE, 'missing table "[task]"'),
    "only line ends": (b"\r\n" * 500_000, 'missing table "[task]"'),
    "only carriage returns": (b"\r" * MEGABYTE, "1:1: not valid TOML"),
    "deep plugin name": (NEEDED + b"[basis]\nuse = [[[[{a=[1]}]]]]\n", "basis.use: expected a string"),
}


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_load_hostile_file_is_a_short_spec_error(
    registry: Registry, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(content)
    start = time.process_time()
    with pytest.raises(SpecError) as caught:
        load_spec(path, registry)
    assert time.process_time() - start < SECONDS
    assert message.rstrip("\n") in str(caught.value)
    assert len(str(caught.value)) < LENGTH
    assert all(line.isprintable() for line in str(caught.value).split("\n"))


def test_load_joins_hostile_layers_in_bounded_time(registry: Registry, tmp_path: Path) -> None:
    keys = "".join(f"k{i:04} = {i}\n" for i in range(9_000))
    (tmp_path / "base.toml").write_text(keys)
    (tmp_path / "s.toml").write_text('extends = "base.toml"\n' + keys)
    start = time.process_time()
    with pytest.raises(SpecError, match=r's.toml:2:1: unknown key "k0000"'):
        load_spec(tmp_path / "s.toml", registry)
    assert time.process_time() - start < SECONDS


THROUGH_CLI = [
    "dotted key",
    "nested arrays",
    "huge integer",
    "invalid UTF-8",
    "too large",
    "unknown keys",
    "wrong items below the limit",
    "long name",
    "NUL in a string",
    "terminal codes",
    "open string",
]


@pytest.mark.parametrize("kind", THROUGH_CLI)
def test_check_hostile_file_is_exit_2_and_a_short_message(
    boostlora: Callable[..., CompletedProcess[str]], tmp_path: Path, kind: str
) -> None:
    content, message = FILES[kind]
    (tmp_path / "s.toml").write_bytes(content)
    done = boostlora("check", "s.toml")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: s.toml:")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < LENGTH


@pytest.mark.parametrize("name", ["x" * 5000, "no.toml", "."])
def test_check_impossible_name_is_exit_2_without_traceback(
    boostlora: Callable[..., CompletedProcess[str]], name: str
) -> None:
    done = boostlora("check", name)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < LENGTH


VALID = b"""name = "a"
seed = 1
rounds = 2
extends = "quickstart"
[task]
use = "table"
path = "a.csv"
label = 'y'
[model]
use = "mlp"
hidden = [8, 8]
[adapter]
tie = "all"
[optimizer]
use = "sgd"
lr = 0.5
nesterov = true
[sites]
targets = ["a", "b"]
[stop]
min_delta = 1e-3
"""
PIECES = st.sampled_from(
    [
        b'"',
        b"'",
        b'"""',
        b"[",
        b"]",
        b"{",
        b"}",
        b"=",
        b".",
        b",",
        b"\n",
        b"\0",
        b"\\u0000",
        b"\\",
        b"#",
        b"true",
        b"nan",
        b"1979-05-27",
        b"-1",
        b"1e999",
        b"use",
        b"extends = ",
        b"[[task]]\n",
        b"~",
        b"\xff",
    ]
)
EDITS = st.lists(
    st.tuples(st.integers(0, len(VALID)), st.integers(0, 12), PIECES | st.binary(max_size=3)),
    min_size=1,
    max_size=4,
)


def mutated(edits: list[tuple[int, int, bytes]]) -> bytes:
    """The valid spec with some places cut out and others written in."""
    content = VALID
    for place, length, piece in edits:
        content = content[:place] + piece + content[place + length :]
    return content


@pytest.fixture(scope="module")
def load_bytes(registry: Registry, folder: Path) -> Callable[[bytes], Spec]:
    def load(content: bytes) -> Spec:
        path = folder / "fuzz.toml"
        path.write_bytes(content)
        return load_spec(path, registry)

    return load


def test_fuzzing_template_is_a_valid_spec(load_bytes: Callable[[bytes], Spec], folder: Path) -> None:
    (folder / "a.csv").write_text("x,y\n")
    assert load_bytes(VALID).head.seed == 1


@given(content=EDITS.map(mutated))
def test_load_mutated_spec_gives_a_spec_or_a_spec_error(
    load_bytes: Callable[[bytes], Spec], folder: Path, content: bytes
) -> None:
    (folder / "a.csv").write_text("x,y\n")
    with contextlib.suppress(SpecError):
        assert isinstance(load_bytes(content), Spec)


@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "replace")))
def test_load_any_bytes_give_a_spec_error(load_bytes: Callable[[bytes], Spec], content: bytes) -> None:
    with pytest.raises(SpecError):  # 60 bytes at random are never a whole spec
        load_bytes(content)


@given(
    setting=st.text(max_size=30)
    | EDITS.map(lambda e: b"".join(p for _, _, p in e).decode("utf-8", "replace"))
)
def test_load_any_setting_gives_a_spec_or_a_spec_error(registry: Registry, setting: str) -> None:
    for prefix in ("", "basis.use=", "stop.", "sites.targets="):
        with contextlib.suppress(SpecError):
            assert isinstance(load_spec("quickstart", registry, [prefix + setting]), Spec)


@pytest.mark.parametrize("name", ["passwd", "id_rsa", "spec.toml.bak", "link.toml"])
def test_extends_of_another_file_type_does_not_show_its_content(tmp_path, name):
    (tmp_path / "passwd").write_text("somebody:x:0:0:private\nkey_of_mine = 1\n")
    for other in ("id_rsa", "spec.toml.bak"):
        (tmp_path / other).write_text("somebody:x:0:0:private\nkey_of_mine = 1\n")
    (tmp_path / "link.toml").symlink_to(tmp_path / "passwd")
    (tmp_path / "spec.toml").write_text(f'extends = "{name}"\n')
    with pytest.raises(SpecError, match=r"extends: not the name of a spec, which ends with \.toml") as caught:
        load(tmp_path / "spec.toml")
    assert "somebody" not in str(caught.value)
    assert "key_of_mine" not in str(caught.value)


@pytest.mark.parametrize(("name", "told"), [("spec.toml", True), ("passwd", False), ("link.toml", False)])
def test_messages_quote_lines_of_toml_files_only(tmp_path, name, told):
    (tmp_path / "passwd").write_text("somebody:x:0:0:private\n")
    (tmp_path / "spec.toml").write_text("somebody:x:0:0:private\n")
    (tmp_path / "link.toml").symlink_to(tmp_path / "passwd")
    with pytest.raises(SpecError, match="not valid TOML") as caught:
        load(tmp_path / name)
    assert ("private" in str(caught.value)) is told
