"""Tables as other programs and countries write them: separators, encodings, decimal signs, archives, workbooks."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from boostlora.engine.errors import UsageError
from boostlora.plugins.tasks._dialect import Dialect
from boostlora.plugins.tasks._frames import is_numeric, read
from boostlora.plugins.tasks.table import Table

Write = Callable[..., str]
EXPECTED = pd.DataFrame({"a": [1.5, -2.25, 1000.0], "town": ["Köln", "Ürümqi", "x"], "b": [1, 2, 3]})


def same(found: Any, expected: pd.DataFrame = EXPECTED) -> None:
    assert list(found.columns) == list(expected.columns)
    for name in expected:
        assert found[name].tolist() == expected[name].tolist()


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
def test_separator_is_found(write: Write, sep: str) -> None:
    same(read(write(EXPECTED.to_csv(index=False, sep=sep))))


def test_separator_that_is_named_is_used(write: Write) -> None:
    text = EXPECTED.to_csv(index=False, sep="~")
    same(read(write(text), dialect=Dialect(separator="~")))
    same(read(write(EXPECTED.to_csv(index=False, sep="\t")), dialect=Dialect(separator="tab")))


@pytest.mark.parametrize(
    ("encoding", "named"), [("utf-8-sig", ""), ("utf-16", ""), ("cp1252", "cp1252"), ("utf-8", "")]
)
def test_encoding_is_found_by_its_mark_or_named(write: Write, encoding: str, named: str) -> None:
    frame = EXPECTED.replace("Ürümqi", "Umeå")
    path = write(frame.to_csv(index=False).encode(encoding))
    same(read(path, dialect=Dialect(encoding=named or "utf-8")), frame)


def test_bytes_of_another_encoding_are_refused(write: Write) -> None:
    path = write("a,b\nKöln,1\n".encode("cp1252"))
    with pytest.raises(UsageError, match=r"not utf-8: it has the byte 0xf6.*Set task.encoding"):
        read(path)
    with pytest.raises(UsageError, match='"klingon" is no encoding'):
        read(path, dialect=Dialect(encoding="klingon"))


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip), ("bz2", bz2), ("xz", lzma)])
def test_archive_is_the_same_table(tmp_path: Path, suffix: str, pack: Any) -> None:
    path = tmp_path / f"rows.csv.{suffix}"
    path.write_bytes(pack.compress(EXPECTED.to_csv(index=False).encode()))
    same(read(str(path)))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_endings_do_not_change_the_table(write: Write, end: str) -> None:
    same(read(write(EXPECTED.to_csv(index=False, lineterminator=end))))


def numbers(write: Write, cells: list[str], sep: str = ";", **dialect: str) -> Any:
    text = sep.join(["x", "other"]) + "\n" + "".join(f'"{cell}"{sep}w\n' for cell in cells)
    return read(write(text), dialect=Dialect(**dialect))["x"]


@pytest.mark.parametrize(
    ("cells", "sep", "expected"),
    [
        (["1,5", "-2,25", "3"], ";", [1.5, -2.25, 3.0]),
        (["1.234,5", "12.000.000,25", "7"], ";", [1234.5, 12_000_000.25, 7.0]),
        (["1,500", "2,500"], ";", [1.5, 2.5]),
        (["1,500", "2,500"], ",", [1500.0, 2500.0]),
        (["1,234", "999", "1,234,567.5"], ",", [1234.0, 999.0, 1_234_567.5]),
        (["1,5", "2,25"], ",", [1.5, 2.25]),
        (["12.5%", "3 %", "NA"], ",", [12.5, 3.0, np.nan]),
        (["12.5%", "3%", ""], ",", [12.5, 3.0, np.nan]),
        (["$1,234.50", "$-7"], ",", [1234.5, -7.0]),
        (["1\u00a0234,5 €", "7,25 €"], ";", [1234.5, 7.25]),
        (["$1", "€1"], ",", None),
        (["5%", "5"], ",", None),
        (["1,2,3", "4"], ",", None),
        (["12,34", "a"], ",", None),
    ],
)
def test_numbers_in_common_notations_are_read(
    write: Write, cells: list[str], sep: str, expected: list[float] | None
) -> None:
    found = numbers(write, cells, sep)
    assert is_numeric(found) == (expected is not None)
    if expected is not None:
        np.testing.assert_array_equal(found, expected)


def test_decimal_sign_that_is_named_is_used(write: Write) -> None:
    np.testing.assert_array_equal(numbers(write, ["1,500", "2,500"], ",", decimal=","), [1.5, 2.5])
    np.testing.assert_array_equal(numbers(write, ["1.500", "2.500"], decimal="."), [1.5, 2.5])


def test_decimal_commas_of_one_column_leave_decimal_points_of_another(write: Write) -> None:
    found = read(write("a;b;c\n1,5;0.5;1.000\n2,25;1.5;2.000\n"))
    assert found.to_dict("list") == {"a": [1.5, 2.25], "b": [0.5, 1.5], "c": [1000.0, 2000.0]}


def test_label_with_decimal_commas_is_a_value(write: Write) -> None:
    rows = "".join(f"{i};{i},25\n" for i in range(60))
    splits = Table(path=write("x;y\n" + rows), label="y").load(np.random.default_rng(0))
    assert splits.train.values is not None
    assert set(np.round(splits.train.values.original % 1, 9)) == {0.25}


def workbook(path: Path, *sheets: str) -> str:
    with pd.ExcelWriter(path) as book:
        for sheet in sheets:
            EXPECTED.to_excel(book, sheet_name=sheet, index=False)
    return str(path)


def test_workbook_of_one_sheet_is_a_table(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    same(read(workbook(tmp_path / "rows.xlsx", "one")))


def test_workbook_of_several_sheets_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    path = workbook(tmp_path / "rows.xlsx", "north", "south")
    with pytest.raises(UsageError, match=r"it has 2 sheets \(north, south\); save the one to use"):
        read(path)


@pytest.mark.parametrize(("cell", "what"), [("inf", "infinite"), ("-inf", "infinite"), ("1e300", "1e+300, too large to compute with,")])  # fmt: skip
def test_infinite_or_overflowing_number_is_refused(write: Write, cell: str, what: str) -> None:
    path = write(f"x,y\n1,a\n{cell},b\n")
    with pytest.raises(UsageError) as caught:
        Table(path=path, label="y").load(np.random.default_rng(0))
    assert str(caught.value).startswith(f'{path}: column "x" is {what} in line 3; correct the file')
