from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from boostlora.engine.errors import UsageError
from boostlora.plugins.tasks._frames import MOST_CLASSES
from boostlora.plugins.tasks.table import Table

Write = Callable[..., str]


def message(path: str, **options: object) -> str:
    with pytest.raises(UsageError) as caught:
        Table(**{"path": path, "label": "bought", **options}).load(np.random.default_rng(0))
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"label": "sold"}, 'no column "sold" (label); there are: age, income, town, bought'),
        ({"split": "part"}, 'no column "part" (split); there are: age, income, town, bought'),
        ({"drop": ("town", "name")}, 'no column "name" (drop); there are: age, income, town, bought'),
        ({"drop": ("age", "income", "town")}, "no column is left to predict from"),
        ({"split": "town"}, 'column "town" says "Bonn"; allowed: test, train, validation'),
        ({"validation": 0.01}, "no row is left for validation; every class gives its share of rows to it"),
        ({"test": 0.01}, "no row is left for test; every class gives its share of rows to it"),
        ({"label": "town", "split": "bought"}, 'column "bought" says "no"; allowed: test, train, validation'),
    ],
)
def test_table_option_incompatible_with_the_file_is_refused(
    write: Write, frame: pd.DataFrame, options: dict[str, object], expected: str
) -> None:
    path = write(frame)
    assert message(path, **options) == f"{path}: {expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x,y\n1,a\n2,\n3,b\n", 'column "y" is empty in line 3; every row needs a label'),
        ("x,y\n1,a\n2,a\n", 'column "y" needs at least 2 different values to tell apart, and has 1'),
        ("x,y\n", 'column "y" needs at least 2 different values to tell apart, and has 0'),
        ("x,y\n1,a\ninf,b\n", 'column "x" is infinite in line 3'),
        ("x,y\n1,2,a\n3,4,b\n", "not a readable table: rows have more fields than the header"),
        ("", "not a readable table: No columns to parse from file"),
    ],
)
def test_table_malformed_file_is_refused(write: Write, text: str, expected: str) -> None:
    path = write(text)
    assert message(path, label="y").startswith(f"{path}: {expected}")


def test_table_too_many_classes_are_refused(write: Write) -> None:
    rows = "x,y\n" + "".join(f"{i},c{i}\n" for i in range(MOST_CLASSES + 1))
    path = write(rows)
    assert (
        message(path, label="y") == f'{path}: column "y" has 1001 different values; it is not a class label'
    )


def test_table_split_column_with_a_gap_is_refused(write: Write, frame: pd.DataFrame) -> None:
    path = write(frame.assign(part=["train"] * 59 + [None]))
    assert message(path, split="part") == f'{path}: column "part" says ""; allowed: test, train, validation'


def test_table_split_column_without_a_test_is_refused(write: Write, frame: pd.DataFrame) -> None:
    path = write(frame.assign(part=["train", "validation"] * 30))
    assert (
        message(path, split="part")
        == f"{path}: no row is left for test; every class gives its share of rows to it"
    )


def test_table_unknown_suffix_is_refused(write: Write) -> None:
    path = write("x,y\n", "rows.ods")
    expected = f"{path}: unknown kind of table; allowed: .csv, .tsv, .xlsx, .parquet, .jsonl, and of the text files .gz, .bz2 and .xz"
    assert message(path) == expected


def test_table_absent_file_is_refused(write: Write) -> None:
    path = write("", "there.csv").replace("there", "nowhere")
    expected = f"{path}: not a readable table: [Errno 2] No such file or directory: '{path}'"
    assert message(path) == expected


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("rows.csv", b"x,y\n1,2\n1,2,3\n", "Error tokenizing data"),
        ("rows.parquet", b"not parquet at all", ""),
    ],
)
def test_table_broken_file_is_refused(write: Write, name: str, content: bytes, reason: str) -> None:
    path = write(content, name)
    # The libraries word their reasons anew now and then; ours is the beginning.
    assert message(path).startswith(f"{path}: not a readable table: {reason}")


def test_table_in_another_encoding_is_refused_and_the_option_is_named(write: Write) -> None:
    path = write(b"x,y\nr\xe9sum\xe9,1\n")
    assert message(path) == (
        f"{path}: not utf-8: it has the byte 0xe9, which utf-8 does not allow there. Set task.encoding, for files from Western Europe "
        '"cp1252" or "latin-1"'
    )


def test_table_source_without_a_column_is_refused(write: Write, frame: pd.DataFrame) -> None:
    path, source = write(frame), write(frame.drop(columns="town"), "source.csv")
    assert message(path, source=source) == f'{source}: no column "town", which {path} has'


def test_table_source_without_the_label_is_refused(write: Write, frame: pd.DataFrame) -> None:
    path, source = write(frame), write(frame.drop(columns="bought"), "source.csv")
    assert message(path, source=source) == f'{source}: no column "bought", which {path} has'


def test_table_source_with_an_empty_label_is_refused(write: Write, frame: pd.DataFrame) -> None:
    path = write(frame)
    frame.loc[2, "bought"] = None
    source = write(frame, "source.csv")
    expected = f'{source}: column "bought" is empty in line 4; every row needs a label'
    assert message(path, source=source).startswith(expected)


def test_table_source_with_an_infinite_number_is_refused(write: Write, frame: pd.DataFrame) -> None:
    path, source = write(frame), write(frame.assign(income=-np.inf), "source.csv")
    expected = (
        f'{source}: column "income" is infinite in line 2; correct the file, or add the column to task.drop'
    )
    assert message(path, source=source) == expected


def test_table_source_with_text_for_numbers_is_refused(write: Write, frame: pd.DataFrame) -> None:
    numbers, words = write(frame), write(frame.assign(income="?"), "words.csv")
    assert (
        message(numbers, source=words)
        == f'{words}: column "income" holds text, where {numbers} holds numbers'
    )
    assert (
        message(words, source=numbers)
        == f'{numbers}: column "income" holds numbers, where {words} holds text'
    )
