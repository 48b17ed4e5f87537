"""`text-regression`: its suite, the values it reads, and what it refuses."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest

from boostlora.engine.contracts import NewRows, Predictions, Splits
from boostlora.engine.testing import TaskContract, assert_close
from boostlora.plugins.tasks.text_classification import TextClassification
from boostlora.plugins.tasks.text_regression import TextRegression

from .text_cases import PARTS, Write, jsonl, load, message, reviews


def scores(n: int = 60) -> pd.DataFrame:
    return reviews(n).assign(label=[10.0 + i * 0.25 for i in range(n)])


def values_by_text(splits: Splits) -> dict[str, float]:
    found = dict[str, float]()
    for part in PARTS:
        examples = getattr(splits, part)
        texts = [row[0] for row in examples.inputs.rows]
        found |= dict(zip(texts, examples.values.original.tolist(), strict=True))
    return found


def new_rows(task: TextRegression, splits: Splits, path: str) -> NewRows:
    (rows,) = task.new_rows(path, splits)
    return rows


class TestTextRegression(TaskContract):
    @pytest.fixture(autouse=True)
    def _file(self, write: Write) -> None:
        self.path = write(scores(), "scores.csv")

    def make(self):
        return TextRegression(path=self.path)


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.parquet", "rows.jsonl"])
def test_values_of_every_kind_of_file_are_the_same(write: Write, name: str) -> None:
    frame = scores()
    splits = load(TextRegression(path=write(jsonl(frame) if name.endswith("jsonl") else frame, name)))
    assert (splits.classes, splits.outputs) == ((), 1)
    expected = dict(zip(frame["text"], frame["label"], strict=True))
    found = values_by_text(splits)
    assert found.keys() == expected.keys()
    for text, value in expected.items():
        assert_close(found[text], value, atol=1e-12, what=text)
    assert [len(getattr(splits, part)) for part in PARTS] == [36, 12, 12]
    assert set(splits.train.labels.tolist()) == {0}


@pytest.mark.parametrize("labels", ["{:,.2f}", "{:.2f} %", "${:.2f}"])
def test_values_with_thousands_and_units_are_numbers(write: Write, labels: str) -> None:
    numbers = [1000.25 + 7 * i for i in range(60)]
    path = write(reviews().assign(label=[labels.format(v) for v in numbers]))
    expected = dict(zip(reviews()["text"], numbers, strict=True))
    assert values_by_text(load(TextRegression(path=path))) == pytest.approx(expected)


def test_values_are_standardised_by_the_training_rows_or_by_the_source(write: Write) -> None:
    path = write(scores())
    train = load(TextRegression(path=path)).train.values
    assert train is not None
    assert_close(train.standardised.mean(), 0.0, atol=1e-13, what="mean")
    assert_close(train.standardised.std(), 1.0, atol=1e-13, what="standard deviation")
    source = write(reviews(20).assign(label=np.arange(20) * 3.0), "source.csv")
    splits = load(TextRegression(path=path, source=source))
    assert splits.source is not None
    assert splits.source.values is not None
    assert_close(splits.source.values.standardised.std(), 1.0, atol=1e-13, what="of the source")
    for part in PARTS:
        assert getattr(splits, part).values.mean == pytest.approx(28.5)


def test_values_in_another_order_of_rows_are_the_same_splits(write: Write) -> None:
    frame = scores()
    for limit in (0, 31):
        one = load(TextRegression(path=write(frame, "one.csv"), limit=limit))
        two = load(TextRegression(path=write(frame.sample(frac=1.0, random_state=3), "two.csv"), limit=limit))
        assert values_by_text(one) == values_by_text(two)
        for part in PARTS:
            np.testing.assert_array_equal(getattr(one, part).ids, getattr(two, part).ids)
            np.testing.assert_array_equal(
                getattr(one, part).values.standardised, getattr(two, part).values.standardised
            )


def test_prediction_is_right_within_the_tolerance(write: Write) -> None:
    task = TextRegression(path=write(scores()), tolerance=0.25)
    examples = load(task).test
    assert examples.values is not None
    off = np.resize([0.0, 0.2, -0.3], len(examples))
    z = examples.values.standardised + off
    given = Predictions(output=np.zeros(len(z), dtype=np.int64), loss=off**2, logits=z[:, None])
    outcome = task.judge(examples, given)
    np.testing.assert_array_equal(outcome.correct, np.abs(off) < 0.25)
    assert_close(outcome.prediction.view(np.float64), examples.values.restored(z), atol=0.0, what="values")


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("many", 'column "label" is "many" in row 4, no finite number'),
        ("inf", 'column "label" is "inf" in row 4, no finite number'),
        ("nan", 'column "label" is "nan" in row 4, no finite number'),
        ("", 'column "label" is empty in row 4; every row needs a label'),
    ],
)
def test_label_that_is_no_number_is_refused_with_its_row(write: Write, label: str, expected: str) -> None:
    labels = [str(v) for v in scores()["label"]]
    path = write(reviews().assign(label=[*labels[:3], label, *labels[4:]]))
    assert message(lambda: TextRegression(path=path)) == f"{path}: {expected}"


def test_files_with_different_decimal_signs_are_refused(write: Write) -> None:
    path = write(scores(), "path.csv")
    other = write(reviews(20).assign(label=[f"{v},5" for v in range(20)]), "test.csv")
    said = message(lambda: TextRegression(path=path, test_path=other))
    assert "has another decimal sign or unit in one file than in another" in said


def test_too_few_rows_of_values_are_refused_without_talk_of_classes(write: Write) -> None:
    path = write(scores(2))
    assert message(lambda: TextRegression(path=path)) == (
        f"{path}: no row is left for validation; there are too few rows"
    )


@pytest.mark.parametrize(
    "labels", [[0.25 * (i % 20) for i in range(60)], list(range(60)), [f"{i},5" for i in range(60)]]
)
def test_classification_of_values_is_refused_and_names_the_other_task(write: Write, labels: Any) -> None:
    path = write(reviews().assign(label=labels))
    said = message(lambda: TextClassification(path=path))
    assert "values and not classes" in said
    assert 'set task.use = "text-regression"' in said


@pytest.mark.parametrize(
    "labels",
    [[i % 40 for i in range(200)], [i % 5 for i in range(200)], [0.5 * (i % 10) for i in range(200)]],
)
def test_classification_of_numbered_classes_is_none_of_values(write: Write, labels: Any) -> None:
    splits = load(TextClassification(path=write(reviews(200).assign(label=labels))))
    assert len(splits.classes) == len(set(labels))


def test_new_rows_have_values_where_they_are_known(write: Write) -> None:
    task = TextRegression(path=write(scores()))
    splits = load(task)
    frame = pd.DataFrame({"text": ["a", "b", "c"], "label": ["12.5", "", "unknown"]})
    rows = new_rows(task, splits, write(frame, "new.csv"))
    assert rows.known.tolist() == [True, False, False]
    assert rows.examples.values is not None
    assert_close(rows.examples.values.original[0], 12.5, atol=1e-12, what="value")
    without = new_rows(task, splits, write(frame[["text"]], "bare.csv"))
    assert not without.known.any()


def test_new_rows_are_read_with_the_decimal_sign_of_the_training_rows(write: Write) -> None:
    labels = [f"{1000 + i}".replace("1", "1.", 1) + ",5" for i in range(60)]
    task = TextRegression(path=write(reviews().assign(label=labels)))
    splits = load(task)
    rows = new_rows(
        task, splits, write(pd.DataFrame({"text": ["a", "b"], "label": ["1.007", "2,25"]}), "n.csv")
    )
    assert rows.examples.values is not None
    assert_close(rows.examples.values.original, [1007.0, 2.25], atol=1e-9, what="values")


def test_lines_of_standard_input_are_new_rows(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    task = TextRegression(path=write(scores()))
    splits = load(task)
    monkeypatch.setattr("sys.stdin", io.StringIO("one text\nanother\n"))
    rows = new_rows(task, splits, "-")
    assert rows.examples.inputs.rows == (("one text",), ("another",))
    assert not rows.known.any()
    assert rows.examples.values is not None
