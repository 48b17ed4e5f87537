"""The use of every column of a table, by its content or by the spec."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from boostlora.engine.contracts import InputColumn, Splits
from boostlora.engine.testing import assert_close
from boostlora.plugins.tasks._table.steps import MAX_CATEGORIES, CategoryStep, NumberStep
from boostlora.plugins.tasks.table import Table

from .text_cases import message

Write = Callable[..., str]
N = 120
ORDER = np.random.default_rng(0)


def load(path: str, **options: Any) -> Splits:
    return Table(path=path, label="y", **options).load(np.random.default_rng(0))


def found(write: Write, values: Sequence[Any], name: str = "x", **options: Any) -> InputColumn:
    """What a column becomes, beside one of numbers."""
    frame = pd.DataFrame({name: values, "other": np.arange(len(values)) * 0.5, "y": [0, 1] * (len(values) // 2)})  # fmt: skip
    splits = load(write(frame), **options)
    assert splits.preprocessing
    assert sum(c.width for c in splits.preprocessing.columns) == splits.train.inputs.shape[1]
    assert np.isfinite(splits.train.inputs).all()
    return next(c for c in splits.preprocessing.columns if c.name == name)


DAYS = pd.date_range("2023-01-31", periods=N, freq="31h")
WORDS = [f"{a} {b} of {c}" for a, b, c in zip("abcdef" * 20, range(N), "xyz" * 40, strict=True)]


@pytest.mark.parametrize(
    ("values", "kind", "width"),
    [
        ([0.5 * i for i in range(N)], "number", 1),
        ([None, *range(N - 1)], "number", 2),
        ([1, 2, 3] * 40, "number", 1),
        ([True, False] * 60, "boolean", 1),
        (["Yes", "no", "YES"] * 40, "boolean", 1),
        (["t", "f", None] * 40, "boolean", 2),
        (["red", "green", "blue"] * 40, "category", 3),
        ([f"k{i % 50}" for i in range(N)], "category", MAX_CATEGORIES),
        (WORDS, "text", 30),
        ([f"user-{i}" for i in range(N)], "left out", 0),
        (["same"] * N, "left out", 0),
        ([None] * N, "left out", 0),
        ([7] * N, "left out", 0),
    ],
)
def test_column_is_used_by_its_content(write: Write, values: list[Any], kind: str, width: int) -> None:
    column = found(write, values)
    assert (column.kind, column.width) == (kind, width)


@pytest.mark.parametrize(
    "form",
    [
        *("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%b-%Y", "%B %d, %Y", "%Y-%m-%dT%H:%M:%S"),
        *("%Y-%m-%d %H:%M:%S+02:00", "%Y-%m-%d %H:%M UTC", "%m/%d/%Y %I:%M %p"),
    ],
)  # fmt: skip
def test_column_of_dates_gives_their_parts(write: Write, form: str) -> None:
    frame = pd.DataFrame({"d": DAYS.strftime(form), "n": np.arange(N), "y": [0, 1] * 60})
    splits = load(write(frame), scale="none")
    assert splits.preprocessing
    assert [(c.kind, c.width) for c in splits.preprocessing.columns] == [("date", 6), ("number", 1)]
    rows = splits.train.inputs
    days = DAYS[rows[:, 6].astype(int)]
    if "+02:00" in form:
        days = days - pd.Timedelta(hours=2)
    np.testing.assert_array_equal(
        rows[:, :4], np.column_stack([days.year, days.month, days.day, days.day_of_week])
    )


def test_dates_that_two_formats_read_are_day_first(write: Write) -> None:
    days = [f"{d:02d}/{m:02d}/2024" for d in range(1, 11) for m in range(1, 13)]
    frame = pd.DataFrame({"d": days, "y": [0, 1] * 60})
    rows = load(write(frame), scale="none").train.inputs
    assert set(rows[:, 1]) == set(range(1, 13))
    assert rows[:, 2].max() == 10


def test_dates_with_gaps_have_one_input_for_gaps(write: Write) -> None:
    values = [None if i % 7 == 0 else day for i, day in enumerate(DAYS.strftime("%Y-%m-%d"))]
    column = found(write, values)
    assert (column.kind, column.width, column.note) == ("date", 7, "with an input for gaps")


@pytest.mark.parametrize("name", ["id", "customer_id", "customerId", "Unnamed: 0", "row"])
def test_row_numbers_are_omitted_by_their_column_name(write: Write, name: str) -> None:
    numbers = ORDER.permutation(N).tolist()
    assert found(write, numbers, name).kind == "left out"
    assert found(write, numbers, "paid").kind == "number"
    assert found(write, [*numbers[:-1], numbers[0]], name).kind == "number"


@pytest.mark.parametrize(
    ("values", "options", "kind", "width"),
    [
        ([1, 2, 3] * 40, {"categories": ("x",)}, "category", 3),
        ([f"user-{i}" for i in range(N)], {"texts": ("x",)}, "text", 30),
        ([f"user-{i}" for i in range(N)], {"categories": ("x",)}, "category", MAX_CATEGORIES),
        (["2024", "2025"] * 60, {"numbers": ("x",)}, "number", 1),
        ([20240101 + i % 28 for i in range(N)], {"dates": ("x",)}, "date", 6),
        ([7] * N, {"numbers": ("x",)}, "number", 1),
        ([None] * N, {"texts": ("x",)}, "text", 1),
        ([None] * N, {"numbers": ("x",)}, "number", 1),
    ],
)
def test_column_is_used_as_the_spec_sets(
    write: Write, values: list[Any], options: dict[str, Any], kind: str, width: int
) -> None:
    column = found(write, values, **options)
    assert (column.kind, column.width, column.note) == (kind, width, "as the spec says")


def test_identifier_named_in_the_spec_is_a_number(write: Write) -> None:
    assert found(write, list(range(N)), "id", numbers=("id",)).kind == "number"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"numbers": ("x",)}, 'column "x" cannot be a number: it holds "'),
        ({"dates": ("x",)}, 'column "x" cannot be a date: its values do not share one format'),
        ({"texts": ("z",)}, 'no column "z" (texts); there are: x, y'),
        ({"drop": ("x",)}, "no column is left to predict from"),
    ],
)
def test_option_incompatible_with_the_column_is_refused(
    write: Write, options: dict[str, Any], expected: str
) -> None:
    path = write(pd.DataFrame({"x": ["red", "blue"] * 60, "y": [0, 1] * 60}))
    assert expected in message(lambda: Table(path=path, label="y", **options))


def test_column_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match='column "x" is named twice'):
        Table(path="rows.csv", label="y", numbers=("x",), drop=("x",))


def test_numbers_are_scaled_as_scikit_learn_does() -> None:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    values = np.random.default_rng(3).normal(5.0, 3.0, (N, 1))
    values[::9] = np.nan
    for scale, scaler in (("standard", StandardScaler()), ("minmax", MinMaxScaler())):
        expected = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), scaler)
        actual = NumberStep.fit(values, scale).encode(values)
        # A sum of 120 float64 numbers of size 5, in another order.
        assert_close(actual, expected.fit_transform(values), atol=1e-13, what=scale)


@pytest.mark.parametrize("count", [3, MAX_CATEGORIES, MAX_CATEGORIES + 1, 70])
def test_categories_are_one_hot_as_in_scikit_learn(count: int) -> None:
    from sklearn.preprocessing import OneHotEncoder

    words = [f"w{i:03d}" for i in range(count) for _ in range(count - i)]  # each has its own frequency
    expected = OneHotEncoder(
        handle_unknown="infrequent_if_exist" if count > MAX_CATEGORIES else "ignore",
        max_categories=MAX_CATEGORIES,
        sparse_output=False,
    ).fit(np.array(words)[:, None])
    step = CategoryStep.fit(words)
    asked = [*words, "unknown"]
    np.testing.assert_array_equal(step.encode(asked), expected.transform(np.array(asked)[:, None]))


def test_columns_with_odd_names_are_columns(write: Write) -> None:
    names = ["a b", "c, d", 'e "f"', "g\nh", "日本"]
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 5)), columns=names).assign(y=[0, 1] * 30)
    splits = load(write(frame))
    assert splits.preprocessing
    assert [c.name for c in splits.preprocessing.columns] == names
