"""`gsm8k`: its suite, shots, the failure rule, rewards of rollouts, and what it refuses."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

from boostlora.engine.contracts import Decoding, GeneratingTask, Sampling
from boostlora.engine.errors import RunError
from boostlora.engine.sdk.judge import text_hash
from boostlora.engine.testing import TaskContract, assert_close
from boostlora.plugins.tasks.gsm8k import Gsm8k

from .math_cases import lines, problems, solved, written
from .text_cases import PARTS, Write, contents, everything, load, message

QUESTION = "Question: "


class Contract(TaskContract):
    @pytest.fixture(autouse=True)
    def _file(self, write: Write) -> None:
        self.path = write(lines(problems()), "problems.jsonl")


class TestGsm8k(Contract):
    def make(self):
        return Gsm8k(path=self.path)


class TestStrictWithShots(Contract):
    def make(self):
        return Gsm8k(path=self.path, extraction="strict", shots=3)


class TestSampled(Contract):
    def make(self):
        return Gsm8k(path=self.path, temperature=0.7, top_p=0.9)


@pytest.fixture
def path(write: Write) -> str:
    return write(lines(problems()), "problems.jsonl")


def questions(prompt: str) -> list[str]:
    return [shot.splitlines()[0].removeprefix(QUESTION) for shot in prompt.split("\n\n")]


def test_gsm8k_prompt_and_completion_equal_those_of_the_harness(path: str) -> None:
    row = problems()[3]
    said = everything(load(Gsm8k(path=path))).values()
    assert (f"Question: {row['question']}\nAnswer:", f" {row['answer']}") in said


@pytest.mark.parametrize("shots", [1, 4, 8])
def test_gsm8k_shots_are_training_examples_other_than_the_question(path: str, shots: int) -> None:
    splits = load(Gsm8k(path=path, shots=shots))
    plain = load(Gsm8k(path=path))
    training = {questions(prompt)[0] for prompt in plain.train.inputs.prompts}
    shown = set[str]()
    for part in PARTS:
        for prompt, alone in zip(
            getattr(splits, part).inputs.prompts, getattr(plain, part).inputs.prompts, strict=True
        ):
            *before, own = questions(prompt)
            assert prompt.endswith("\n\n" + alone)
            assert len(set(before)) == shots
            assert own not in before
            shown |= set(before)
    assert shown <= training
    assert len(shown) == shots + 1  # the same for all, and one more for those that are shown


def test_gsm8k_shots_leave_the_data_as_they_are_and_depend_on_the_seed(path: str) -> None:
    plain, one, two = (load(Gsm8k(path=path, shots=n), seed=3) for n in (0, 2, 2))
    for part in PARTS:
        assert contents(one, part) == contents(two, part)
        np.testing.assert_array_equal(getattr(one, part).ids, getattr(plain, part).ids)
    assert everything(load(Gsm8k(path=path, shots=2), seed=4)) != everything(one)


def test_gsm8k_shots_omit_duplicates_of_the_question(write: Write) -> None:
    rows = problems(12)
    task = Gsm8k(
        path=write(lines(rows), "train.jsonl"),
        validation_path=write(lines(problems(14)[12:]), "validation.jsonl"),
        test_path=write(lines(rows), "test.jsonl"),
        shots=8,
    )
    for prompt in load(task).test.inputs.prompts:
        assert len(set(questions(prompt))) == 9


def test_gsm8k_shots_in_another_order_of_the_file_are_the_same(write: Write) -> None:
    one = Gsm8k(path=write(lines(problems()), "one.jsonl"), shots=3, limit=30)
    two = Gsm8k(path=write(lines(problems()[::-1]), "two.jsonl"), shots=3, limit=30)
    assert everything(load(one)) == everything(load(two))


def test_gsm8k_decoding_follows_the_options(path: str) -> None:
    assert isinstance(Gsm8k(path=path), GeneratingTask)
    stop = ("Question:", "</s>", "<|im_end|>")
    assert Gsm8k(path=path).decoding == Decoding(max_new_tokens=256, stop=stop)
    drawn = Gsm8k(path=path, samples=4, required=2, temperature=0.5, top_p=0.9, max_new_tokens=9, stop=())
    assert drawn.decoding == Decoding(
        max_new_tokens=9, samples=4, sampling=Sampling(temperature=0.5, top_p=0.9)
    )


TWO = solved([" so\n#### 18", " so\n#### 1,000"])


def test_gsm8k_extraction_decides_and_both_are_measured() -> None:
    answers = written(["it is 18", "#### 1000\nor 7"])
    flexible = Gsm8k(path="x").judge(TWO, answers)
    strict = Gsm8k(path="x", extraction="strict").judge(TWO, answers)
    assert flexible.correct.tolist() == [True, False]
    assert strict.correct.tolist() == [False, True]
    assert flexible.measures == strict.measures == {"strict": 0.5, "flexible": 0.5}
    assert flexible.prediction.tolist() == [text_hash("18"), text_hash("7")]
    assert strict.prediction.tolist() == [0, text_hash("1000")]
    assert flexible.verdicts is None


@pytest.mark.parametrize(
    ("required", "correct"), [(1, [True, True]), (2, [True, False]), (3, [False, False])]
)
def test_gsm8k_is_right_when_enough_samples_are(required: int, correct: list[bool]) -> None:
    task = Gsm8k(path="x", samples=3, required=required, temperature=1.0)
    outcome = task.judge(TWO, written(["18", "18", "none", "$1,000", "no", "18"], 2))
    assert outcome.correct.tolist() == correct
    assert_close(outcome.reward, [2 / 3, 1 / 3], atol=1e-15, what="share of texts right")  # one division
    # 1 - C(n - c, k) / C(n, k) with c = 2, 1 of n = 3
    assert_close(outcome.measures["pass_1"], 0.5, atol=1e-15, what="pass@1")
    assert_close(outcome.measures["pass_3"], 1.0, atol=1e-15, what="pass@3")
    assert (outcome.measures["flexible"], outcome.measures["strict"]) == (1.0, 0.0)  # of first texts


def test_gsm8k_rewards_rollouts_of_the_same_example_one_by_one() -> None:
    rows = TWO.take(np.array([0, 0, 0, 1, 1, 1]))
    outcome = Gsm8k(path="x", samples=4, temperature=1.0, required=3).judge(
        rows, written(["18", "19", "18.", "1000", "", "1,000"])
    )
    assert outcome.reward.tolist() == [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
    assert outcome.ids.tolist() == [0, 0, 0, 1, 1, 1]


def test_gsm8k_mismatched_texts_are_reported_as_a_backend_error() -> None:
    with pytest.raises(RunError, match=r"^the backend generated no texts, but the task needs them$"):
        Gsm8k(path="x").judge(TWO, attrs.evolve(written(["18", "2"]), texts=None))
    with pytest.raises(RunError, match=r"^2 judgements of 3 texts for 2 examples$"):
        Gsm8k(path="x").judge(TWO, written(["1", "2", "3"], 2))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 'needs "path" or "dataset", one of them'),
        ({"path": "a", "samples": 2}, '"samples" = 2 answers would all be the same; set a "temperature"'),
        ({"path": "a", "required": 2}, '"required" = 2 of "samples" = 1 answers'),
        ({"path": "a", "shots": 9}, '"shots" must be at most 8, not 9'),
        ({"path": "a", "stop": ("",)}, "\"stop\" must be non-empty strings, not ['']"),
        (
            {"path": "a", "prompt": "What?"},
            '"prompt" must hold {question}, and no other field; write {{ for a brace',
        ),
        (
            {"path": "a", "prompt": "{question}{answer}"},
            '"prompt" must hold {question}, and no other field; write {{ for a brace',
        ),
    ],
)
def test_gsm8k_invalid_options_are_refused(options: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Gsm8k(**options)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("bad", "good"),
    [("no number", "#### 5"), ("####5", "#### 5"), ("#### 5 dollars", "#### 5"), ("#### .", "#### .5"), ("", "#### -5.")],
)  # fmt: skip
def test_gsm8k_solutions_without_an_answer_are_refused(write: Write, bad: str, good: str) -> None:
    rows = problems(20)
    rows[6]["answer"] = bad
    file = write(lines(rows), "bad.jsonl")
    assert message(lambda: Gsm8k(path=file)) == (
        f'{file}: column "answer" does not end in "#### " and a number in row 7'
    )
    rows[6]["answer"] = good
    assert len(everything(load(Gsm8k(path=write(lines(rows), "good.jsonl"))))) == 20


def test_gsm8k_missing_columns_and_values_are_named(write: Write) -> None:
    rows: list[dict[str, Any]] = [{"question": "q", "solution": "#### 5"}]
    file = write(lines(rows), "a.jsonl")
    assert message(lambda: Gsm8k(path=file)) == (
        f'{file}: no column "answer" (solution whose last line is #### and the number); there are: question, solution'
    )
    file = write(lines([*problems(3), {"question": None, "answer": "#### 1"}]), "b.jsonl")
    assert message(lambda: Gsm8k(path=file)) == f'{file}: column "question" is empty in row 4'


def test_gsm8k_more_shots_than_training_examples_are_refused(write: Write) -> None:
    file = write(lines(problems(10)), "few.jsonl")
    assert message(lambda: Gsm8k(path=file, shots=6)) == (
        f"{file}: shots = 6 needs 7 different training examples, and there are 6"
    )
    assert load(Gsm8k(path=file, shots=5))
