"""`text-classification` and `language-modelling`: their suites, files and splits."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.testing import TaskContract
from boostlora.plugins.tasks._text.data import stratified_sample
from boostlora.plugins.tasks.language_modelling import LanguageModelling
from boostlora.plugins.tasks.text_classification import TextClassification

from .text_cases import PARTS, Write, contents, everything, jsonl, load, reviews, sums


class Written(TaskContract):
    @pytest.fixture(autouse=True)
    def _file(self, write: Write) -> None:
        self.reviews, self.sums = write(reviews(), "reviews.csv"), write(jsonl(sums()), "sums.jsonl")


class TestTextClassification(Written):
    def make(self):
        return TextClassification(path=self.reviews)


class TestPairs(Written):
    def make(self):
        return TextClassification(path=self.reviews, text=("title", "text"), limit=40)


class TestForced(Written):
    def make(self):
        return LanguageModelling(path=self.sums)


class TestGreedy(Written):
    def make(self):
        return LanguageModelling(path=self.sums, correct="greedy")


class TestLoss(Written):
    def make(self):
        return LanguageModelling(path=self.sums, correct="loss")


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.parquet", "rows.jsonl"])
def test_text_files_of_every_kind_give_the_same_data(write: Write, name: str) -> None:
    expected = load(TextClassification(path=write(reviews(), "first.csv")))
    content = jsonl(reviews()) if name.endswith("jsonl") else reviews()
    splits = load(TextClassification(path=write(content, name)))
    for part in PARTS:
        assert contents(splits, part) == contents(expected, part)
    assert splits.classes == ("neg", "pos")
    assert [len(getattr(splits, part)) for part in PARTS] == [36, 12, 12]


@pytest.mark.parametrize("make", [TextClassification, LanguageModelling])
def test_text_rows_in_another_order_are_the_same_splits(write: Write, make: Any) -> None:
    frame = reviews() if make is TextClassification else sums()
    frame = pd.concat([frame, frame.head(7)])  # rows that are there twice are two examples
    for limit in (0, 31):
        one = load(make(path=write(frame, "one.csv"), limit=limit))
        two = load(make(path=write(frame.sample(frac=1.0, random_state=3), "two.csv"), limit=limit))
        for part in PARTS:
            assert list(contents(one, part).items()) == list(contents(two, part).items())
        assert sum(len(getattr(one, part)) for part in PARTS) == (limit or len(frame))


def test_text_equal_rows_in_different_parts_keep_their_ids_in_another_order(write: Write) -> None:
    frame = pd.DataFrame(
        {"text": ["a", "a", "a", "b", "b", "b"], "label": ["x"] * 3 + ["y"] * 3, "s": PARTS * 2}
    )
    one = load(TextClassification(path=write(frame, "one.csv"), split="s"))
    two = load(TextClassification(path=write(frame[::-1], "two.csv"), split="s"))
    for part in PARTS:
        assert contents(one, part) == contents(two, part)


def test_text_unused_columns_do_not_change_the_data(write: Write) -> None:
    one = load(TextClassification(path=write(reviews(), "one.csv")))
    two = load(TextClassification(path=write(reviews().assign(note=np.nan, title="same"), "two.parquet")))
    assert everything(one) == everything(two)


def test_text_values_keep_their_spelling(write: Write) -> None:
    frame = pd.DataFrame({"text": ["NA", "007", "1e3", "null", "nan", "3.50"] * 5, "label": ["0", "1"] * 15})
    texts = {row[0] for row, _ in everything(load(TextClassification(path=write(frame)))).values()}
    assert texts == {"NA", "007", "1e3", "null", "nan", "3.50"}


def test_text_integer_labels_are_the_same_classes_in_any_file_format(write: Write) -> None:
    frame = reviews().assign(label=np.arange(60) % 3)
    for name, column in (("a.parquet", frame["label"]), ("b.parquet", frame["label"].astype(float))):
        assert load(TextClassification(path=write(frame.assign(label=column), name))).classes == (
            "0",
            "1",
            "2",
        )


def test_text_template_is_filled_from_columns(write: Write) -> None:
    splits = load(TextClassification(path=write(reviews()), template="{title}: {{{text}}}"))
    assert (("t0: {bad number 0}",), "neg") in everything(splits).values()


def test_text_pair_has_two_texts(write: Write) -> None:
    splits = load(TextClassification(path=write(reviews()), text=("title", "text")))
    assert (("t0", "bad number 0"), "neg") in everything(splits).values()


def test_text_dropped_labels_are_not_classes(write: Write) -> None:
    frame = reviews().assign(label=["a", "b", "c"] * 20)
    splits = load(TextClassification(path=write(frame), drop=("b",)))
    assert splits.classes == ("a", "c")
    assert len(everything(splits)) == 40


def test_text_source_is_read_with_the_same_columns(write: Write) -> None:
    source = reviews(9).assign(text="other", label=["neg", "pos", "new"] * 3)
    task = TextClassification(path=write(reviews()), source=write(source, "source.csv"))
    splits = load(task)
    assert splits.classes == ("neg", "new", "pos")
    assert splits.source is not None
    assert set(splits.source.inputs.rows) == {("other",)}
    np.testing.assert_array_equal(np.bincount(splits.source.labels), [3, 3, 3])


def test_prompts_are_filled_from_columns(write: Write) -> None:
    frame = pd.DataFrame({"q": [f"{i} + 1" for i in range(30)], "a": range(1, 31)})
    task = LanguageModelling(
        path=write(jsonl(frame), "q.jsonl"), prompt="Question: {q}\nAnswer:", completion=" {a}"
    )
    splits = load(task)
    assert ("Question: 4 + 1\nAnswer:", " 5") in everything(splits).values()
    assert splits.classes == ()
    assert not splits.train.labels.any()


def test_prompts_from_separate_files_keep_their_splits(write: Write) -> None:
    path, test = write(sums(40), "train.csv"), write(sums(50).tail(10), "test.csv")
    splits = load(LanguageModelling(path=path, test_path=test))
    assert sorted(contents(splits, "test").values()) == sorted(
        sums(50).tail(10).itertuples(index=False, name=None)
    )
    assert [len(getattr(splits, part)) for part in PARTS] == [32, 8, 10]
    both = load(
        LanguageModelling(path=path, test_path=test, validation_path=write(sums(60).tail(5), "v.csv"))
    )
    assert [len(getattr(both, part)) for part in PARTS] == [40, 5, 10]


def test_text_split_column_sets_the_splits(write: Write) -> None:
    split = np.array(["train"] * 30 + ["validation"] * 10 + ["test"] * 20)
    splits = load(TextClassification(path=write(reviews().assign(s=split)), split="s"))
    assert {row[0] for row, _ in contents(splits, "test").values()} == set(reviews()["text"][40:])


def test_text_limit_preserves_class_shares(write: Write) -> None:
    splits = load(TextClassification(path=write(reviews()), limit=30))
    labels = [label for _, label in everything(splits).values()]
    assert (labels.count("neg"), labels.count("pos")) == (10, 20)
    other = load(TextClassification(path=write(reviews()), limit=30), seed=1)
    assert set(everything(other)) != set(everything(splits))


@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_sampled_counts_are_exact_and_fair(sizes: list[int], share: float, seed: int) -> None:
    strata = [i for i, size in enumerate(sizes) for _ in range(size)]
    ids, count = np.arange(len(strata)), round(share * len(strata))
    chosen = stratified_sample(ids, strata, count, np.random.default_rng(seed))
    assert len(set(chosen.tolist())) == len(chosen) == count
    got = np.bincount(np.array(strata)[chosen], minlength=len(sizes))
    # Largest remainders: no stratum is a whole example away from its exact share.
    assert (np.abs(got - count * np.array(sizes) / len(strata)) < 1).all()


def test_order_of_options_on_which_the_hash_of_a_spec_depends_is_kept() -> None:
    names = [field.name for field in attrs.fields(TextClassification)]
    assert names[-5:] == ["text", "template", "label", "drop", "source"]
