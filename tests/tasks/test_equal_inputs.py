"""Rows of equal inputs are in one split, whatever their other columns; given splits are kept."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.contracts import Prompts, Splits
from boostlora.plugins.tasks.gsm8k import Gsm8k
from boostlora.plugins.tasks.humaneval import HumanEval
from boostlora.plugins.tasks.language_modelling import LanguageModelling
from boostlora.plugins.tasks.mbpp import Mbpp
from boostlora.plugins.tasks.table import Table
from boostlora.plugins.tasks.text_classification import TextClassification

from .code_cases import heads, lines, linux, sentences
from .text_cases import PARTS, Write, load, reviews


def shown(splits: Splits, part: str) -> list[Any]:
    inputs = getattr(splits, part).inputs
    if isinstance(inputs, np.ndarray):
        return [row.tobytes() for row in inputs]
    return list(inputs.prompts if isinstance(inputs, Prompts) else inputs.rows)


def assert_together(splits: Splits, different: int, rows: int) -> None:
    every = [shown(splits, part) for part in PARTS]
    assert sum(map(len, every)) == rows
    assert sum(len(set(some)) for some in every) == len(set().union(*every)) == different


def twice(frame: pd.DataFrame, **changes: Any) -> pd.DataFrame:
    """All rows, and every second once more with other values of some columns."""
    return pd.concat([frame, frame.iloc[::2].assign(**changes)], ignore_index=True)


@pytest.mark.parametrize("seed", range(3))
def test_table_rows_equal_except_label_and_key_are_in_one_split(
    write: Write, frame: pd.DataFrame, seed: int
) -> None:
    frame.loc[3, "income"] = np.nan
    frame.loc[4, "town"] = None
    frame["key"] = np.arange(60)
    many = twice(frame, bought="yes", key=np.arange(100, 130))
    many.loc[62, "bought"] = many.loc[4, "bought"]
    one = load(Table(path=write(many), label="bought", drop=("key",)), seed)
    assert_together(one, 60, 90)
    shuffled = many.sample(frac=1, random_state=seed)
    two = load(Table(path=write(shuffled, "shuffled.csv"), label="bought", drop=("key",)), seed)
    for part in PARTS:
        np.testing.assert_array_equal(getattr(one, part).ids, getattr(two, part).ids)


@pytest.mark.parametrize("seed", range(3))
def test_texts_with_two_labels_are_in_one_split(write: Write, seed: int) -> None:
    path = write(twice(reviews(), label="pos", title="again"))
    assert_together(load(TextClassification(path=path), seed), 60, 90)
    assert_together(load(TextClassification(path=path, template="so {text}"), seed), 60, 90)
    # Pairs are inputs as a whole.
    assert_together(load(TextClassification(path=path, text=("title", "text")), seed), 90, 90)


@pytest.mark.parametrize("seed", range(3))
def test_texts_kept_by_a_limit_are_in_one_split(write: Write, seed: int) -> None:
    path = write(twice(reviews()))
    splits = load(TextClassification(path=path, limit=50), seed)
    every = [set(shown(splits, part)) for part in PARTS]
    assert sum(map(len, every)) == len(set.union(*every)) < 50


@given(seed=st.integers(0, 1000))
def test_prompts_with_several_completions_are_in_one_split(tmp_path_factory: Any, seed: int) -> None:
    frame = pd.DataFrame({"prompt": [f"p{i // 2}" for i in range(40)], "completion": [f"c{i}" for i in range(40)]})  # fmt: skip
    path = tmp_path_factory.mktemp("prompts") / "rows.csv"
    frame.sample(frac=1, random_state=seed).to_csv(path, index=False)
    splits = load(LanguageModelling(path=str(path)), seed)
    assert_together(splits, 20, 40)
    assert [len(getattr(splits, part)) for part in PARTS] == [24, 8, 8]


@pytest.mark.parametrize("prompt", ["", "Write:"])
def test_completions_of_one_prompt_are_in_one_split(write: Write, prompt: str) -> None:
    rows = [{"prompt": prompt, "completion": f"c{i // 2}"} for i in range(40)]
    splits = load(LanguageModelling(path=write("\n".join(map(json.dumps, rows)), "rows.jsonl")))
    every = [set(getattr(splits, part).inputs.completions) for part in PARTS]
    assert sum(map(len, every)) == len(set.union(*every)) == 20


def test_questions_with_two_solutions_are_in_one_split(write: Write) -> None:
    frame = pd.DataFrame({"question": [f"q{i // 2}?" for i in range(40)], "answer": [f"{i}\n#### {i}" for i in range(40)]})  # fmt: skip
    assert_together(load(Gsm8k(path=write(frame))), 20, 40)


def test_problems_with_two_solutions_are_in_one_split(write: Write) -> None:
    pytest.importorskip("math_verify")
    from boostlora.plugins.tasks.math500 import Math500

    frame = pd.DataFrame({"problem": [f"q{i // 2}?" for i in range(40)], "answer": [str(i) for i in range(40)], "subject": ["a", "b"] * 20})  # fmt: skip
    splits = load(Math500(path=write(frame)))
    every = [set(getattr(splits, part).inputs.prompts) for part in PARTS]
    assert sum(map(len, every)) == len(set.union(*every)) == 20


@linux
def test_repeated_programming_tasks_are_in_one_split(write: Write) -> None:
    again = [{**row, "canonical_solution": row["canonical_solution"] + "    # again\n"} for row in heads(20)]
    splits = load(HumanEval(path=write(lines(heads(20) + again), "heads.jsonl")))
    every = [set(getattr(splits, part).inputs.prompts) for part in PARTS]
    assert sum(map(len, every)) == len(set.union(*every)) == 20
    rows = sentences(range(101, 121))
    other = [{**row, "task_id": row["task_id"] + 100, "code": row["code"] + "  # again"} for row in rows]
    tests = [{**row, "task_id": row["task_id"] + 200, "test_list": row["test_list"][:2]} for row in rows]
    path = write(lines(rows + other + tests), "sentences.jsonl")
    splits = load(Mbpp(path=path, parts="shares", shots=0))
    every = [set(getattr(splits, part).inputs.prompts) for part in PARTS]
    # One sentence with other tests is another question.
    assert sum(map(len, every)) == len(set.union(*every)) == 40


def test_given_splits_are_kept(write: Write) -> None:
    frame = reviews(30)
    train = write(twice(frame), "train.csv")
    splits = load(TextClassification(path=train, test_path=write(frame, "test.csv")))
    assert set(shown(splits, "train")) | set(shown(splits, "validation")) == set(shown(splits, "test"))
    assert not set(shown(splits, "train")) & set(shown(splits, "validation"))


def test_table_with_few_distinct_rows_is_split_by_row(write: Write) -> None:
    path = write(pd.DataFrame({"x": np.arange(40) % 2, "y": np.arange(40) % 2}))
    splits = load(Table(path=path, label="y"))
    assert [len(getattr(splits, part)) for part in PARTS] == [24, 8, 8]


def test_texts_with_few_distinct_rows_are_split_by_row(write: Write) -> None:
    path = write(pd.DataFrame({"text": ["a", "b"] * 20, "label": ["x", "y"] * 20}))
    splits = load(TextClassification(path=path))
    assert [len(getattr(splits, part)) for part in PARTS] == [24, 8, 8]
