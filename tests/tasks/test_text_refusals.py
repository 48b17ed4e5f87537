"""What text tasks refuse, and the messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from boostlora.plugins.tasks.language_modelling import LanguageModelling
from boostlora.plugins.tasks.text_classification import TextClassification

from .text_cases import Write, jsonl, message, reviews, sums


@pytest.mark.parametrize(
    ("make", "options", "expected"),
    [
        (TextClassification, {}, 'needs "path" or "dataset", one of them'),
        (TextClassification, {"path": "a", "dataset": "b"}, 'needs "path" or "dataset", one of them'),
        (TextClassification, {"path": "a", "subset": "b"}, '"subset" belongs to "dataset"'),
        (LanguageModelling, {"dataset": "a", "test_path": "b"}, '"test_path" belongs to "path"'),
        (
            LanguageModelling,
            {"path": "a", "split": "s", "test_path": "b"},
            '"split" names a column that divides all rows; give no parts beside it',
        ),
        (
            TextClassification,
            {"path": "a", "text": ("x",), "template": "{y}"},
            'give "text" or "template", not both',
        ),
        (
            TextClassification,
            {"path": "a", "text": ("x", "y", "z")},
            '"text" names one column, or two for pairs, not 3',
        ),
        (TextClassification, {"path": "a", "text": ()}, '"text" names one column, or two for pairs, not 0'),
        (
            TextClassification,
            {"path": "a", "template": "title"},
            '"template" names no column; write it as {column}, or use "text"',
        ),
        (LanguageModelling, {"path": "a", "prompt": "{{}}"}, '"prompt": the template "{{}}" names no column'),
        (
            LanguageModelling,
            {"path": "a", "prompt": "{a.b!r}"},
            'the template "{a.b!r}" may hold fields such as {column}, nothing else',
        ),
        (
            LanguageModelling,
            {"path": "a", "completion": "{a"},
            "the template \"{a\" cannot be read: expected '}' before end of string; write {{ for a brace",
        ),
        (
            LanguageModelling,
            {"path": "a", "stop": ("x",)},
            '"stop" has a meaning only with correct = "greedy"',
        ),
        (
            LanguageModelling,
            {"path": "a", "correct": "greedy", "extract": "("},
            '"extract" is no regular expression: missing ), unterminated subpattern at position 0',
        ),
    ],
)
def test_invalid_task_options_are_refused(make: Any, options: Any, expected: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        make(**options)
    assert str(caught.value) == expected


def test_missing_text_column_is_named(write: Write) -> None:
    path = write(reviews())
    columns = "there are: title, text, label"
    assert (
        message(lambda: TextClassification(path=path, label="y"))
        == f'{path}: no column "y" (label); {columns}'
    )
    assert (
        message(lambda: TextClassification(path=path, text="x")) == f'{path}: no column "x" (text); {columns}'
    )
    templated = message(lambda: TextClassification(path=path, template="{title} {x}"))
    assert templated == f'{path}: no column "x" (text); {columns}'
    assert (
        message(lambda: TextClassification(path=path, split="s"))
        == f'{path}: no column "s" (split); {columns}'
    )
    source = write(reviews().drop(columns="label"), "source.csv")
    said = message(lambda: TextClassification(path=path, source=source))
    assert said == f'{source}: no column "label" (label); there are: title, text'


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_text_gaps_are_refused_with_their_row(write: Write, name: str) -> None:
    def path(**changes: Any) -> str:
        frame = reviews(6)
        for column, value in changes.items():
            frame.loc[2, column] = value
        return write(jsonl(frame) if name.endswith("jsonl") else frame, name)

    text, label = path(text="  "), "every row needs a label"
    assert message(lambda: TextClassification(path=text)) == f'{text}: no text in row 3 (column "text")'
    assert message(lambda: TextClassification(path=path(label=""))) == (
        f'{text}: column "label" is empty in row 3; {label}'
    )


def test_text_null_is_refused_with_its_row(write: Write) -> None:
    rows = [{"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": None}, {"prompt": "a"}]
    path = write("\n".join(map(json.dumps, rows)), "rows.jsonl")
    assert message(lambda: LanguageModelling(path=path)) == f'{path}: column "completion" is empty in row 2'
    nested = write(json.dumps({"prompt": ["a"], "completion": "b"}), "nested.jsonl")
    said = message(lambda: LanguageModelling(path=nested))
    assert said == f'{nested}: column "prompt" holds a list in row 1, no text'


def test_prompt_without_a_completion_or_an_answer_is_refused(write: Write) -> None:
    frame = sums(8)
    frame.loc[4, "completion"] = ""
    empty = write(frame)
    assert message(lambda: LanguageModelling(path=empty)) == f"{empty}: the completion is empty in row 5"
    frame.loc[4, "completion"] = "five"
    said = message(lambda: LanguageModelling(path=write(frame), correct="greedy", match="last-number"))
    assert said == f'{empty}: the completion in row 5 has no answer (extract = "", match = "last-number")'


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        ("a,b\n1,2,3\n", "x.csv", "not a readable table: rows have more fields than the header"),
        ("", "x.csv", "not a readable table: No columns to parse from file"),
        ("", "x.jsonl", "not a readable table: it has no line"),
        ('{"a": 1}\n[1]\n', "x.jsonl", "line 2 is no JSON object"),
        (
            '{"a": 1}\n\n{"a"\n',
            "x.jsonl",
            "line 3 is no JSON: Expecting ':' delimiter: line 2 column 1 (char 5)",
        ),
        (
            "a",
            "x.txt",
            "unknown kind of file; allowed: .csv, .tsv, .xlsx, .parquet, .jsonl, and of the text files .gz, .bz2 and .xz",
        ),
    ],
)
def test_unreadable_text_file_is_refused(write: Write, content: str, name: str, expected: str) -> None:
    path = write(content, name)
    said = message(lambda: TextClassification(path=path))
    assert said.removeprefix(f"{path}: ").removeprefix(f"{path}: ") == expected


def test_empty_text_split_is_refused(write: Write) -> None:
    path = write(sums(2))
    said = message(lambda: LanguageModelling(path=path))
    assert said == f"{path}: no row is left for validation; there are too few rows"


def test_text_split_column_with_unknown_values_is_refused(write: Write) -> None:
    for value in ("dev", ""):
        path = write(reviews().assign(s=["train", value] * 30))
        said = message(lambda path=path: TextClassification(path=path, split="s"))
        assert said == f'{path}: column "s" says "{value}"; allowed: test, train, validation'


def test_text_with_a_single_class_is_refused(write: Write) -> None:
    path = write(reviews().assign(label="same"))
    said = message(lambda: TextClassification(path=path))
    assert said == f'{path}: column "label" needs at least 2 different values to tell apart, and has 1'
    many = write(reviews(1200).assign(label=[f"w{i}" for i in range(1200)]))
    said = message(lambda: TextClassification(path=many))
    assert said == f'{many}: column "label" has 1200 different values; it is not a class label'
