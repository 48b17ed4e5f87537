"""`math500`: its suite, columns that need not be there, measures, rewards, and what it refuses."""

from __future__ import annotations

import importlib.util
from collections import Counter
from typing import Any

import numpy as np
import pytest

from boostlora.engine.contracts import Decoding, GeneratingTask, ProvenanceTask
from boostlora.engine.sdk.judge import text_hash
from boostlora.engine.testing import TaskContract, assert_close
from boostlora.plugins.tasks.math500 import Math500, name_of

from .math_cases import competition, lines, real, written
from .text_cases import PARTS, Write, everything, load, message

pytest.importorskip("math_verify", reason="the task needs math-verify")


class Contract(TaskContract):
    @pytest.fixture(autouse=True)
    def _file(self, write: Write) -> None:
        self.path = write(lines(competition()), "problems.jsonl")


class TestMath500(Contract):
    def make(self):
        return Math500(path=self.path)


class TestBySubject(Contract):
    measures_by_data = True

    def make(self):
        return Math500(path=self.path, by="subject", samples=1, temperature=0.6)


@pytest.fixture
def path(write: Write) -> str:
    return write(lines(competition()), "problems.jsonl")


def test_math500_prompt_asks_for_a_box_and_the_solution_follows(path: str) -> None:
    row = competition()[3]
    prompt = f"{row['problem']}\nPlease reason step by step, and put your final answer within \\boxed{{}}."
    assert (prompt, row["solution"]) in everything(load(Math500(path=path))).values()


def test_math500_without_extra_columns_is_problems_and_boxed_answers(write: Write) -> None:
    rows = [{"problem": row["problem"], "answer": row["answer"]} for row in competition()]
    splits = load(Math500(path=write(lines(rows), "bare.jsonl"), prompt="{problem}"))
    assert (rows[0]["problem"], f"\\boxed{{{rows[0]['answer']}}}") in everything(splits).values()
    rows[4]["solution"] = "only here"
    said = everything(load(Math500(path=write(lines(rows), "some.jsonl"), prompt="{problem}"))).values()
    assert {(rows[4]["problem"], "only here"), (rows[0]["problem"], "\\boxed{\\frac{1}{7}}")} <= set(said)


def test_math500_splits_preserve_subject_shares(path: str) -> None:
    splits = load(Math500(path=path, by="subject"))
    for part, size in zip(PARTS, (12, 4, 4), strict=True):
        groups = Counter(getattr(splits, part).inputs.groups)
        assert groups == dict.fromkeys(
            ("subject_algebra", "subject_counting_probability", "subject_geometry"), size
        )


def test_math500_examples_keep_their_answers_in_subsets(path: str) -> None:
    train = load(Math500(path=path, by="level")).train
    taken = train.take(np.array([3, 3, 0]))
    assert taken.inputs.answers == tuple(train.inputs.answers[i] for i in (3, 3, 0))
    assert taken.inputs.groups == tuple(train.inputs.groups[i] for i in (3, 3, 0))
    assert len(taken.inputs.arrays()["ends"]) == 12


def test_math500_shares_of_texts_and_accuracy_of_levels_are_measured(path: str) -> None:
    test = load(Math500(path=path, by="level", seconds=3.0)).test
    texts = [f"\\boxed{{{answer}}}" for answer in test.inputs.answers]
    texts[0], texts[1] = "I do not know", "$10^{10^{10}}$"
    outcome = Math500(path=path, seconds=3.0).judge(test, written(texts))
    assert outcome.correct.tolist() == [False, False] + [True] * 10
    assert outcome.verdicts == ("unparsed", "timed-out") + ("",) * 10
    level = np.array(test.inputs.groups)
    expected = {
        "boxed": 10 / 12,
        "unparsed": 1 / 12,
        "timed_out": 1 / 12,
        **{name: outcome.correct[level == name].mean() for name in set(level)},
    }
    assert set(outcome.measures) == set(expected)
    for name, value in expected.items():
        assert_close(outcome.measures[name], value, atol=1e-15, what=name)  # one division each
    assert outcome.prediction[0] == 0
    assert outcome.prediction[2] == text_hash(test.inputs.answers[2])


def test_math500_rewards_rollouts_and_samples(path: str) -> None:
    test = load(Math500(path=path)).test
    rows = test.take(np.array([0, 0, 1]))
    first, second = test.inputs.answers[0], test.inputs.answers[1]
    outcome = Math500(path=path).judge(rows, written([f"${first}$", "none", f"\\boxed{{{second}}}"]))
    assert outcome.reward.tolist() == [1.0, 0.0, 1.0]
    task = Math500(path=path, samples=2, required=2, temperature=0.5)
    both = task.judge(
        test.take(np.array([0, 1])), written([f"${first}$", "1", f"${second}$", f"${second}$"], 2)
    )
    assert both.reward.tolist() == [0.5, 1.0]
    assert both.correct.tolist() == [False, True]
    assert (both.measures["pass_1"], both.measures["pass_2"]) == (0.75, 1.0)


def test_math500_decoding_and_origin(path: str) -> None:
    task = Math500(path=path)
    assert isinstance(task, GeneratingTask)
    assert isinstance(task, ProvenanceTask)
    assert task.decoding == Decoding(max_new_tokens=1024)
    assert set(task.origin()["judge"]) >= {"math-verify", "sympy"}


def test_math500_real_file_is_read_and_its_solutions_are_right() -> None:
    real("math500/test.jsonl")
    from ..support.places import SHARED_DATA

    task = Math500(path=str(SHARED_DATA / "math500" / "test.jsonl"), by="level")
    splits = load(task)
    assert [len(getattr(splits, part)) for part in PARTS] == [302, 99, 99]
    outcome = task.judge(splits.test, written(splits.test.inputs.completions))
    assert outcome.accuracy == outcome.measures["boxed"] == outcome.measures["level_5"] == 1.0


def test_math500_without_math_verify_is_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "math_verify" else find(name)
    )
    assert message(lambda: Math500(path=path)) == (
        "task math500 needs pip install 'boostlora[math]' (math_verify is missing)"
    )


@pytest.mark.parametrize(
    ("change", "options", "expected"),
    [
        ({"answer": " "}, {}, 'column "answer" is empty in row 5'),
        ({"answer": None}, {}, 'column "answer" is empty in row 5'),
        ({"problem": None}, {}, 'column "problem" is empty in row 5'),
        ({"level": None}, {"by": "level"}, 'column "level" is empty in row 5 (task.by)'),
    ],
)
def test_math500_bad_rows_are_refused(write: Write, change: Any, options: Any, expected: str) -> None:
    rows = competition()
    file = write(lines([row | change if i == 4 else row for i, row in enumerate(rows)]), "bad.jsonl")
    assert message(lambda: Math500(path=file, **options)) == f"{file}: {expected}"


def test_math500_missing_columns_are_named(write: Write) -> None:
    file = write(lines([{"problem": "p", "solution": "s"}]), "bad.jsonl")
    assert message(lambda: Math500(path=file)).startswith(f'{file}: no column "answer" (answer); there are: ')


def test_math500_invalid_options_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r'^"samples" = 2 answers would all be the same; set a "temperature"$'
    ):
        Math500(path="a", samples=2)
    with pytest.raises(ValueError, match=r'^"prompt" must hold \{problem\}'):
        Math500(path="a", prompt="solve it")
    assert Math500(dataset="HuggingFaceH4/MATH-500").train_split == "test"


def test_names_of_subjects_can_be_measures() -> None:
    assert name_of("Counting & Probability") == "counting_probability"
    assert name_of("5") == "5"
