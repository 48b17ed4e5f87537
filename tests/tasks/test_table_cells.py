"""Cells of a table keep their spelling: labels, words, numbers and gaps."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from boostlora.engine.contracts import Splits
from boostlora.plugins.tasks._frames import is_numeric, read
from boostlora.plugins.tasks.table import Table

from .text_cases import Write, message

NAMES = ("rows.csv", "rows.tsv", "rows.csv.gz", "rows.tsv.gz")
NOTHING = ("NA", "N/A", "NaN", "nan", "None", "null", "NULL", "n/a", "#N/A", "<NA>")


def table(columns: dict[str, list[Any]], name: str = "rows.csv") -> str:
    separator = "\t" if ".tsv" in name else ","
    lines = [list(columns), *zip(*columns.values(), strict=True)]
    return "".join(separator.join(map(str, line)) + "\n" for line in lines)


def load(path: str, **options: Any) -> Splits:
    return Table(path=path, label="y", **options).load(np.random.default_rng(0))


def classes(write: Write, labels: list[str], name: str = "rows.csv") -> tuple[str, ...]:
    many = labels * 10
    return load(write(table({"x": list(range(len(many))), "y": many}, name), name)).classes


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "labels",
    [
        ["01", "1", "2"],
        ["007", "7"],
        ["1.1", "1.10"],
        ["1000", "1e3"],
        ["+1", "1"],
        ["0", "-0"],
        ["18446744073709551616", "18446744073709551617"],
        ["9007199254740992.5", "9007199254740993"],
        ["false", "true"],
        ["TRUE", "false"],
        ["inf", "Infinity"],
        ["2020-01-01", "2020-01-02"],
        ["1", "NA", "2"],
        ["True", "NA"],
        *([word, "DE"] for word in NOTHING),
        [*NOTHING],
    ],
)
def test_table_labels_keep_their_spelling(write: Write, name: str, labels: list[str]) -> None:
    assert classes(write, labels, name) == tuple(sorted(labels))


@pytest.mark.parametrize("labels", [["0", "1"], ["0.0", "1.0"], ["0", "1.00"], [" 0", "1 "]])
def test_table_integer_labels_have_one_name(write: Write, labels: list[str]) -> None:
    assert classes(write, labels) == ("0", "1")


@pytest.mark.parametrize("empty", [" ", ""])
def test_table_label_is_missing_only_when_empty(write: Write, empty: str) -> None:
    path = write(table({"x": [1, 2, 3, 4], "y": ["NA", "b", empty, "b"]}))
    if empty:
        assert "no row is left" in message(lambda: Table(path=path, label="y"))
    else:
        expected = f'{path}: column "y" is empty in line 4; every row needs a label. Remove these rows'
        assert message(lambda: Table(path=path, label="y")).startswith(expected)


def column(write: Write, values: list[str], name: str = "rows.csv") -> Any:
    return read(write(table({"x": values, "z": ["w"] * len(values)}, name), name))["x"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("word", NOTHING)
def test_table_null_words_are_values_among_words_and_gaps_among_numbers(
    write: Write, name: str, word: str
) -> None:
    assert column(write, [word, "EU", ""], name).tolist() == [word, "EU", None]
    assert column(write, [word, ""], name).tolist() == [word, None]
    assert column(write, [word, "other"], name).tolist() == [word, "other"]
    numbers = column(write, [word, "2.5", "1", ""], name)
    assert is_numeric(numbers)
    np.testing.assert_array_equal(numbers, [np.nan, 2.5, 1.0, np.nan])


def test_table_different_null_words_are_different_values(write: Write) -> None:
    assert column(write, ["NA", "None"]).tolist() == ["NA", "None"]
    assert column(write, ["NA", "NA"]).isna().all()


def test_table_word_column_keeps_zeros_and_spelling(write: Write) -> None:
    values = ["01", "1", "TRUE", "1e3", "x", "1.50"]
    assert column(write, values).tolist() == values


@pytest.mark.parametrize("values", [[2**64, 2**70, -1], [2**63, -(2**63) - 1, 5], [10**40, "", 1]])
def test_table_integers_beyond_64_bits_are_numbers(write: Write, values: list[Any]) -> None:
    found = column(write, values)
    assert is_numeric(found)
    np.testing.assert_array_equal(found, [np.nan if v == "" else float(v) for v in values])
    rows = "".join(json.dumps({"x": None if v == "" else v}) + "\n" for v in values)
    np.testing.assert_array_equal(read(write(rows, "rows.jsonl"))["x"], found)


def test_table_label_beyond_64_bits_keeps_its_digits(write: Write) -> None:
    rows = "".join(json.dumps({"x": i, "y": 2**70 + i % 2}) + "\n" for i in range(20))
    assert load(write(rows, "rows.jsonl")).classes == (str(2**70), str(2**70 + 1))


def test_table_mixed_column_writes_integers_without_a_point(write: Write) -> None:
    rows = "".join(json.dumps({"x": v}) + "\n" for v in (1.0, "a", 2, True, None))
    assert read(write(rows, "rows.jsonl"))["x"].tolist() == ["1", "a", "2", "True", None]


def test_table_source_labels_keep_their_spelling(write: Write) -> None:
    x = list(range(30))
    path = write(table({"x": x, "y": ["01", "1", "NA"] * 10}))
    source = write(table({"x": x, "y": ["1.0", "2.0", "3.0"] * 10}), "source.csv")
    splits = load(path, source=source)
    assert splits.classes == ("01", "1", "2", "3", "NA")
    assert splits.source is not None
    assert np.bincount(splits.source.labels).tolist() == [0, 10, 10, 10]


def test_table_ids_of_numbers_do_not_depend_on_the_file_format(write: Write, frame: pd.DataFrame) -> None:
    frame["bought"] = (frame["bought"] == "yes").astype(int)
    ids = [Table(path=write(frame, name), label="bought").load(np.random.default_rng(0)).train.ids for name in ("a.csv", "b.tsv", "c.parquet")]  # fmt: skip
    np.testing.assert_array_equal(ids[0], ids[1])
    np.testing.assert_array_equal(ids[0], ids[2])
