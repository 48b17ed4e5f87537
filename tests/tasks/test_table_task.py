from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from boostlora.engine.contracts import Examples, Predictions, Splits
from boostlora.engine.testing.assertions import assert_close
from boostlora.plugins.tasks.table import Table

Write = Callable[..., str]
ROUNDING = 1e-12
"""Float64, sums over at most sixty scaled values."""
PARTS = ("train", "validation", "test")
"""What these tables are about needs only two different rows; `test_equal_inputs.py` has the warning."""


def load(path: str, seed: int = 0, label: str = "bought", **options: object) -> Splits:
    return Table(path=path, label=label, **options).load(np.random.default_rng(seed))


def assert_same(actual: Examples, expected: Examples) -> None:
    """Bit for bit, in the same order."""
    np.testing.assert_array_equal(actual.ids, expected.ids)
    np.testing.assert_array_equal(actual.inputs, expected.inputs)
    np.testing.assert_array_equal(actual.labels, expected.labels)


def everything(splits: Splits) -> Examples:
    parts = [getattr(splits, part) for part in PARTS]
    return Examples(
        ids=np.concatenate([part.ids for part in parts]),
        inputs=np.vstack([part.inputs for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
    )


# What files look like


def test_table_numbers_and_words_become_scaled_and_one_hot_columns(write: Write, frame: pd.DataFrame) -> None:
    splits = load(write(frame))
    assert splits.classes == ("no", "yes")
    assert [len(getattr(splits, part)) for part in PARTS] == [36, 12, 12]
    assert splits.source is None
    inputs = splits.train.inputs
    assert inputs.shape == (36, 5)
    assert inputs.dtype == np.float64
    assert_close(inputs[:, :2].mean(axis=0), [0.0, 0.0], atol=ROUNDING, what="means")
    assert_close(inputs[:, :2].std(axis=0), [1.0, 1.0], atol=ROUNDING, what="deviations")
    np.testing.assert_array_equal(inputs[:, 2:].sum(axis=1), 1.0)


@pytest.mark.parametrize("name", ["rows.tsv", "rows.parquet", "ROWS.CSV"])
def test_table_in_another_format_gives_the_same_examples(
    write: Write, frame: pd.DataFrame, name: str
) -> None:
    expected, actual = load(write(frame)), load(write(frame, name))
    for part in PARTS:
        assert_same(getattr(actual, part), getattr(expected, part))


def test_table_rows_in_another_order_give_the_same_splits_bit_for_bit(
    write: Write, frame: pd.DataFrame
) -> None:
    frame.loc[5] = frame.loc[3]  # equal rows must not confuse it
    domain = frame.assign(income=frame["income"] * 2)
    expected = load(write(frame), source=write(domain, "source.csv"))
    shuffled, other = (f.sample(frac=1, random_state=3) for f in (frame, domain))
    actual = load(write(shuffled, "shuffled.csv"), source=write(other, "other.csv"))
    for part in (*PARTS, "source"):
        assert_same(getattr(actual, part), getattr(expected, part))
    assert len(np.unique(everything(expected).ids)) == 60


def test_table_another_seed_gives_another_split(write: Write, frame: pd.DataFrame) -> None:
    path = write(frame)
    assert set(load(path, seed=0).test.ids) != set(load(path, seed=1).test.ids)
    assert set(everything(load(path, seed=0)).ids) == set(everything(load(path, seed=1)).ids)


def test_table_missing_numbers_become_the_median_of_training(write: Write) -> None:
    rows = "x,split,y\n" + "".join(f"{x},train,{x % 2}\n" for x in (1, 2, 3, 4, 100))
    splits = load(write(rows + ",validation,1\n99,test,0\n"), label="y", split="split", scale="none")
    np.testing.assert_array_equal(splits.validation.inputs, [[3.0]])


def test_table_missing_words_are_a_value_of_their_own(write: Write) -> None:
    rows = "town,split,y\nRome,train,0\n,train,1\nRome,validation,0\n,test,1\n"
    splits = load(write(rows), label="y", split="split")
    np.testing.assert_array_equal(np.sort(splits.train.inputs, axis=0), [[0.0, 0.0], [1.0, 1.0]])
    assert not np.array_equal(splits.validation.inputs, splits.test.inputs)
    np.testing.assert_array_equal(splits.test.inputs.sum(axis=1), [1.0])


def test_table_word_column_may_be_empty_in_training(write: Write) -> None:
    rows = "town,x,split,y\n,1,train,0\n,2,train,1\nRome,3,validation,0\n,4,test,1\n"
    splits = load(write(rows), label="y", split="split", scale="none")
    np.testing.assert_array_equal(splits.validation.inputs, [[0.0, 3.0]])
    np.testing.assert_array_equal(splits.test.inputs, [[1.0, 4.0]])


def test_table_unseen_category_becomes_zeros(write: Write) -> None:
    rows = "town,split,y\nRome,train,0\nOslo,train,1\nBonn,validation,0\nOslo,test,1\n"
    splits = load(write(rows), label="y", split="split")
    np.testing.assert_array_equal(splits.validation.inputs, [[0.0, 0.0]])


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_table_truth_values_become_zero_and_one(write: Write, name: str) -> None:
    truth = np.arange(40) % 4 == 0
    frame = pd.DataFrame({"member": truth, "y": truth.astype(int)})
    rows = everything(load(write(frame, name), label="y", scale="none"))
    np.testing.assert_array_equal(rows.inputs[:, 0], rows.labels)


def test_table_nullable_parquet_columns_are_numbers(write: Write) -> None:
    frame = pd.DataFrame(
        {
            "count": pd.array([3, None] * 20, dtype="Int64"),
            "flag": pd.array([True, None] * 20, dtype="boolean"),
            "y": [0, 0, 1, 1] * 10,
        }
    )
    rows = everything(load(write(frame, "rows.parquet"), label="y", scale="none"))
    np.testing.assert_array_equal(rows.inputs[:, [0, 2]], np.tile([3.0, 1.0], (40, 1)))
    np.testing.assert_array_equal(rows.inputs[:, 1], rows.inputs[:, 3])  # gaps of both columns
    assert rows.inputs[:, 1].sum() == 20


def test_table_parquet_lists_become_words_and_row_names_are_ignored(write: Write) -> None:
    frame = pd.DataFrame({"tags": [[1, 2], [3, 4]] * 20, "y": [0, 1] * 20}, index=[7] * 40)
    rows = everything(load(write(frame, "rows.parquet"), label="y"))
    np.testing.assert_array_equal(rows.inputs[:, 1], rows.labels)


@pytest.mark.parametrize("scale", ["standard", "minmax", "none"])
def test_table_column_that_is_constant_in_training_stays_finite(
    write: Write, frame: pd.DataFrame, scale: str
) -> None:
    part = np.repeat(PARTS, 20)
    rows = load(
        write(frame.assign(one=np.where(part == "train", 1, 2), part=part)), split="part", scale=scale
    )
    inputs = everything(rows).inputs
    assert np.isfinite(inputs).all()
    assert len(np.unique(inputs[:20, -1])) == 1


def test_table_column_that_is_constant_or_empty_is_left_out(write: Write, frame: pd.DataFrame) -> None:
    splits = load(write(frame.assign(one=1, none=np.nan)))
    assert splits.preprocessing
    found = {column.name: (column.kind, column.note) for column in splits.preprocessing.columns}
    assert found["one"] == ("left out", "all rows have the same value")
    assert found["none"] == ("left out", "it is empty")
    assert splits.train.inputs.shape == (36, 5)


def test_table_minmax_puts_training_into_the_unit_interval(write: Write, frame: pd.DataFrame) -> None:
    inputs = load(write(frame), scale="minmax").train.inputs
    assert_close(inputs.min(axis=0), np.zeros(5), atol=ROUNDING, what="smallest values")
    assert_close(inputs.max(axis=0), np.ones(5), atol=ROUNDING, what="largest values")


def test_table_dropped_columns_do_not_change_the_data(write: Write, frame: pd.DataFrame) -> None:
    splits = load(write(frame), drop=("town", "age"))
    assert splits.train.inputs.shape == (36, 1)


def test_table_labels_that_are_numbers_are_classes(write: Write) -> None:
    frame = pd.DataFrame({"x": np.arange(60.0), "y": np.arange(60) % 3})
    assert load(write(frame), label="y").classes == ("0", "1", "2")


def test_table_labels_kept_as_floats_in_the_source_are_the_same_classes(write: Write) -> None:
    frame = pd.DataFrame({"x": np.arange(60.0), "y": np.arange(60) % 3})
    source = write(frame.assign(y=frame["y"].astype(float)), "source.csv")
    splits = load(write(frame), label="y", source=source)
    assert splits.classes == ("0", "1", "2")
    assert splits.source is not None
    np.testing.assert_array_equal(np.bincount(splits.source.labels), [20, 20, 20])


def test_table_label_of_the_source_alone_is_a_class(write: Write, frame: pd.DataFrame) -> None:
    other = frame.assign(bought="maybe")
    assert load(write(frame), source=write(other, "source.csv")).classes == ("maybe", "no", "yes")


# Splits, source, leaks


def test_table_split_column_sets_the_splits_and_is_not_a_feature(write: Write, frame: pd.DataFrame) -> None:
    split = np.array(["train"] * 30 + ["validation"] * 10 + ["test"] * 20)
    splits = load(write(frame.assign(part=split)), split="part", drop=("town",), scale="none")
    assert [len(getattr(splits, part)) for part in PARTS] == [30, 10, 20]
    for part in PARTS:
        wanted = frame.loc[split == part, ["age", "income"]].to_numpy()
        got = getattr(splits, part).inputs
        np.testing.assert_array_equal(got[got[:, 1].argsort()], wanted[wanted[:, 1].argsort()])


@pytest.mark.parametrize("with_source", [False, True])
def test_table_validation_and_test_values_do_not_reach_the_scaler(
    write: Write, frame: pd.DataFrame, with_source: bool
) -> None:
    frame = frame.assign(part=["train"] * 30 + ["validation"] * 15 + ["test"] * 15)
    source = write(frame.iloc[:20], "source.csv") if with_source else ""
    before = load(write(frame), split="part", source=source)
    frame.loc[30:, "income"] *= 1e6
    frame.loc[30:, "town"] = "Elsewhere"
    after = load(write(frame), split="part", source=source)
    assert_same(after.train, before.train)
    assert np.abs(after.test.inputs).max() > 1e5


def test_table_scaler_is_fitted_on_the_source_when_given(write: Write, frame: pd.DataFrame) -> None:
    shifted = frame.assign(income=frame["income"] + 1000.0)
    splits = load(write(shifted), source=write(frame, "source.csv"), drop=("town", "age"))
    assert splits.source is not None
    assert_close(splits.source.inputs.mean(), 0.0, atol=ROUNDING, what="mean of the source")
    gap = 1000.0 / frame["income"].std(ddof=0)
    assert_close(everything(splits).inputs.mean(), gap, atol=0.0, rtol=ROUNDING, what="mean of the target")


def test_table_source_may_have_other_columns_in_another_order(write: Write, frame: pd.DataFrame) -> None:
    domain = frame.assign(extra=1.0)[["extra", "bought", "town", "income", "age"]]
    expected = load(write(frame), source=write(frame, "same.csv"))
    actual = load(write(frame), source=write(domain, "source.csv"))
    assert_same(actual.train, expected.train)


def test_table_judges_by_the_class(write: Write, frame: pd.DataFrame, rng: np.random.Generator) -> None:
    task = Table(path=write(frame), label="bought")
    examples = task.load(rng).test
    answer = examples.labels.copy()
    answer[0] = 1 - answer[0]
    outcome = task.judge(examples, Predictions(output=answer, loss=np.ones(12)))
    np.testing.assert_array_equal(outcome.correct, [False] + [True] * 11)
