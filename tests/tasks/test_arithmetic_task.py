"""`arithmetic`: its suite, sums, prompts, judging, and what it refuses."""

from __future__ import annotations

import re
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.contracts import Decoding, GeneratingTask, Predictions, Sampling
from boostlora.engine.sdk.judge import text_hash
from boostlora.engine.testing import TaskContract, assert_close
from boostlora.plugins.tasks._math.sums import Sums
from boostlora.plugins.tasks.arithmetic import Arithmetic, integer_in

from .math_cases import solved, written
from .text_cases import PARTS, contents, everything, load, message

SMALL: dict[str, Any] = {"train": 30, "validation": 10, "test": 10}
RESULT = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}


class TestArithmetic(TaskContract):
    def make(self):
        return Arithmetic()


class TestForced(TaskContract):
    def make(self):
        return Arithmetic(correct="forced", operations=("multiply",))


class TestFewShot(TaskContract):
    def make(self):
        return Arithmetic(
            **SMALL,
            operations=("subtract",),
            digits=1,
            prompt="{a} {op} {b} =",
            completion=" {answer}",
            shots=4,
        )


def right(prompt: str, completion: str) -> bool:
    found = re.fullmatch(r"(\d+)([-+*])(\d+)=", prompt)
    assert found is not None
    return RESULT[found[2]](int(found[1]), int(found[3])) == int(completion)


@pytest.mark.parametrize(
    "operations", [("add",), ("subtract",), ("multiply",), ("add", "subtract", "multiply")]
)
@pytest.mark.parametrize("digits", [1, 2, 3, 4])
@pytest.mark.parametrize("negative", [False, True])
def test_arithmetic_sums_are_right_and_all_different(operations: Any, digits: int, negative: bool) -> None:
    negative = negative and "subtract" in operations
    task = Arithmetic(**SMALL, source=5, operations=operations, digits=digits, negative=negative)
    splits = load(task)
    assert splits.source is not None
    said = [*everything(splits).values(), *contents(splits, "source").values()]
    assert len(said) == len(set(said)) == 55
    assert all(right(*pair) for pair in said)
    assert [len(getattr(splits, part)) for part in (*PARTS, "source")] == [30, 10, 10, 5]
    numbers = [int(n) for prompt, _ in said for n in re.findall(r"\d+", prompt)]
    assert 10**digits // 2 < max(numbers) < 10**digits
    results = [int(completion) for _, completion in said]
    assert (min(results) < 0) == negative
    assert {p.strip("0123456789=") for p, _ in said} == {
        {"add": "+", "subtract": "-", "multiply": "*"}[o] for o in operations
    }


@given(
    top=st.sampled_from([1, 3, 10]),
    negative=st.booleans(),
    operations=st.permutations(["add", "subtract", "multiply"]),
)
def test_sums_enumerate_every_sum_once(top: int, negative: bool, operations: Any) -> None:
    sums = Sums(tuple(operations[:2]), top, negative)
    found = [sums[i] for i in range(len(sums))]
    pairs = {(a, b) for a in range(top) for b in range(top)}
    expected = {(a, o, b) for o in operations[:2] for a, b in pairs if o != "subtract" or negative or a >= b}
    assert len(found) == len(expected)
    assert {(s.a, s.operation, s.b) for s in found} == expected
    with pytest.raises(IndexError):
        sums[len(sums)]


def test_sums_of_the_largest_space_are_exact_at_its_end() -> None:
    sums = Sums(("subtract",), 10**4)
    assert attrs.astuple(sums[len(sums) - 1]) == (9999, "subtract", 9999)
    assert attrs.astuple(sums[len(sums) - 10_000]) == (9999, "subtract", 0)
    assert attrs.astuple(sums[len(sums) - 10_001]) == (9998, "subtract", 9998)


def test_arithmetic_allows_all_sums_and_refuses_one_more() -> None:
    task = Arithmetic(digits=1, operations=("subtract",), train=40, validation=5, test=5, source=5)
    splits = load(task)
    assert splits.source is not None
    assert len({*everything(splits).values(), *contents(splits, "source").values()}) == 55
    assert message(lambda: attrs.evolve(task, test=6)) == (
        "task arithmetic: train + validation + test + source = 40 + 5 + 6 + 5 = 56, but there are only 55 different sums "
        "(subtract; digits = 1); ask for fewer, or more digits"
    )


def test_arithmetic_is_the_same_with_the_same_seed_and_in_the_order_of_ids() -> None:
    one, two, other = (load(Arithmetic(**SMALL), seed=s) for s in (0, 0, 1))
    for part in PARTS:
        assert list(contents(one, part).items()) == list(contents(two, part).items())
        ids = getattr(one, part).ids
        assert (np.diff(ids) > 0).all()
    assert everything(one) != everything(other)
    assert one.source is None


def test_arithmetic_ids_depend_on_the_sum_and_not_the_prompt() -> None:
    plain = load(Arithmetic(**SMALL))
    worded = load(Arithmetic(**SMALL, prompt="What is {a} {op} {b}?", completion=" It is {answer}", shots=2))
    np.testing.assert_array_equal(plain.train.ids, worded.train.ids)
    full, more = (load(Arithmetic(train=n, validation=20, test=20, digits=1)) for n in (60, 50))
    known = everything(full)
    assert all(known.get(i, said) == said for i, said in everything(more).items())


@pytest.mark.parametrize("shots", [1, 5])
def test_arithmetic_shots_are_training_sums_other_than_the_question(shots: int) -> None:
    task = Arithmetic(**SMALL, source=12, shots=shots)
    splits = load(task)
    plain = load(attrs.evolve(task, shots=0))
    assert splits.source is not None
    assert plain.source is not None
    for part in (*PARTS, "source"):
        pool = plain.source if part == "source" else plain.train
        solutions = {p + c for p, c in zip(pool.inputs.prompts, pool.inputs.completions, strict=True)}
        for prompt, alone in zip(
            getattr(splits, part).inputs.prompts, getattr(plain, part).inputs.prompts, strict=True
        ):
            *before, own = prompt.split("\n")
            assert own == alone
            assert len(set(before)) == shots
            assert set(before) <= solutions
            assert not any(shot.startswith(own) for shot in before)


def test_arithmetic_is_asked_as_a_language_model_wants_it() -> None:
    task = Arithmetic(
        **SMALL, digits=1, operations=("subtract",), prompt="{a} {op} {b} =", completion=" {answer}", shots=2
    )
    prompt = load(task).test.inputs.prompts[0]
    assert re.fullmatch(r"(\d - \d = \d\n){2}\d - \d =", prompt)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("46", "46"), (" 46\n12", "46"), ("It is 46.", "46"), ("-46", "-46"), ("\u221246", "-46"), ("- 46", "46"), ("046", "46"),
        ("-0", "0"), ("0", "0"), ("000", "0"), ("1,234", "1234"), ("1,234,567 or so", "1234567"), ("1,23", "1"), ("1,2345", "1"),
        ("12,345", "12345"), ("46.9", "46"), ("4 6", "4"), ("", None), ("none", None), ("--5", "-5"), ("\u0667", None),
        ("9" * 10_000, "9" * 10_000), ("3-5", "3"), ("x7", "7"),
    ],
)  # fmt: skip
def test_arithmetic_answer_is_the_first_whole_number(text: str, number: str | None) -> None:
    assert integer_in(text) == number


TWO = solved(["46", "-7"])


def test_arithmetic_written_answers_are_compared() -> None:
    outcome = Arithmetic().judge(TWO, written(["46, I think", "7"]))
    assert outcome.correct.tolist() == [True, False]
    assert outcome.reward.tolist() == [1.0, 0.0]
    assert outcome.prediction.tolist() == [text_hash("46"), text_hash("7")]
    assert outcome.measures == {}  # rollouts have no loss to make probabilities of


def test_arithmetic_rewards_rollouts_and_samples() -> None:
    rows = TWO.take(np.array([0, 0, 1, 1]))
    assert Arithmetic().judge(rows, written(["46", "4", "-7", ""])).reward.tolist() == [1.0, 0.0, 1.0, 0.0]
    task = Arithmetic(samples=2, required=2, temperature=1.0)
    outcome = task.judge(TWO, written(["46", "4", "-7", "-7"], 2))
    assert outcome.correct.tolist() == [False, True]
    assert outcome.reward.tolist() == [0.5, 1.0]


@pytest.mark.parametrize("correct", ["written", "forced"])
def test_arithmetic_probability_of_the_right_answer_is_measured(correct: Any) -> None:
    loss, targets = np.array([0.1, 2.0]), np.array([3, 2])
    said = Predictions(output=np.array([3, 0]), loss=loss, targets=targets, texts=("46", "1"))
    outcome = Arithmetic(correct=correct).judge(TWO, said)
    # Two terms and a mean of float64 operations.
    expected = (np.exp(-0.3) + np.exp(-4.0)) / 2
    assert_close(outcome.measures["probability"], expected, atol=1e-15, what="probability")
    assert outcome.correct.tolist() == [True, False]


def test_arithmetic_has_decoding_when_answers_are_generated() -> None:
    assert isinstance(Arithmetic(), GeneratingTask)
    assert Arithmetic().decoding == Decoding(max_new_tokens=12, stop=("\n",))
    drawn = Arithmetic(samples=3, temperature=0.5)
    assert drawn.decoding == Decoding(
        max_new_tokens=12, stop=("\n",), samples=3, sampling=Sampling(temperature=0.5)
    )
    assert Arithmetic(correct="forced").decoding is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"operations": ()}, '"operations" must be one or more of add, subtract, multiply, each once'),
        ({"operations": ("add", "add")}, '"operations" must be one or more of add, subtract, multiply, each once'),
        ({"negative": True}, '"negative" has a meaning only with the operation "subtract"'),
        ({"digits": 5}, '"digits" must be at most 4, not 5'),
        ({"train": 0}, '"train" must be at least 1, not 0'),
        ({"samples": 2}, '"samples" = 2 answers would all be the same; set a "temperature"'),
        ({"correct": "forced", "temperature": 0.5}, '"temperature" has a meaning only with correct = "written"'),
        ({"prompt": "{a}+{b}="}, '"prompt" must hold {a}, {op}, {b}, and no other field; write {{ for a brace'),
        ({"completion": "4"}, '"completion" must hold {answer}, and no other field; write {{ for a brace'),
        ({"completion": "2: {answer}"}, '"completion": {answer} must be the first whole number in it'),
        ({"completion": "-{answer}"}, '"completion": {answer} must be the first whole number in it'),
        ({"completion": "{answer}0"}, '"completion": {answer} must be the first whole number in it'),
    ],
)  # fmt: skip
def test_arithmetic_invalid_options_are_refused(options: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Arithmetic(**options)
    assert str(caught.value) == expected


def test_arithmetic_more_shots_than_training_sums_are_refused() -> None:
    assert message(lambda: Arithmetic(train=3, shots=3)) == (
        "task arithmetic: shots = 3 needs 4 different training examples, and there are 3"
    )
    assert load(Arithmetic(train=3, shots=2))
