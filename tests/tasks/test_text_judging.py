"""How completions are judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boostlora.engine.contracts import Decoding, Examples, GeneratingTask, Predictions, Prompts
from boostlora.engine.errors import RunError
from boostlora.engine.sdk.judge import text_hash
from boostlora.engine.testing import assert_close
from boostlora.plugins.tasks.language_modelling import LanguageModelling, answer_of


def predictions(
    texts: tuple[str, ...] | None = None, output: Any = (2, 0, 3), targets: Any = (2, 2, 3)
) -> Predictions:
    return Predictions(
        output=np.array(output), loss=np.array([0.1, 2.0, 0.4]), targets=np.array(targets), texts=texts
    )


THREE = Examples(
    ids=np.array([5, 6, 7]),
    inputs=Prompts(("a", "b", "c"), (" the answer is 12", " 1,200.50", "no\n30 ")),
    labels=np.zeros(3, dtype=np.int64),
)


def test_forced_is_right_when_every_token_is(tmp_path: Path) -> None:
    outcome = LanguageModelling(path="x").judge(THREE, predictions())
    assert outcome.correct.tolist() == [True, False, True]
    assert_close(outcome.reward, [1.0, 0.0, 1.0], atol=0.0, what="share of tokens right")
    half = LanguageModelling(path="x").judge(THREE, predictions(output=(1, 1, 3)))
    assert_close(half.reward, [0.5, 0.5, 1.0], atol=0.0, what="share of tokens right")
    assert half.prediction.tolist() == [1, 1, 3]
    assert half.correct.tolist() == [False, False, True]


def test_loss_is_right_below_the_threshold() -> None:
    outcome = LanguageModelling(path="x", correct="loss", threshold=0.4).judge(THREE, predictions())
    assert outcome.correct.tolist() == [True, False, False]
    assert_close(outcome.reward, np.exp([-0.1, -2.0, -0.4]), atol=0.0, what="probability of a token")


@pytest.mark.parametrize(
    ("options", "texts", "right"),
    [
        ({}, ("the answer is 12\n", "1200.50", "no\n30"), [True, False, True]),
        ({"match": "last-line"}, ("the answer is 12", "so:\n\n1,200.50\n", "yes\n30"), [True, True, True]),
        ({"match": "last-number"}, ("3, so 12.0", "it is 1200.5.", "13"), [True, True, False]),
        ({"extract": r"(\d+)\D*$"}, ("12", "50 apples", "none"), [True, True, False]),
    ],
)
def test_greedy_compares_the_answers_in_both(options: Any, texts: tuple[str, ...], right: list[bool]) -> None:
    task = LanguageModelling(path="x", correct="greedy", **options)
    outcome = task.judge(THREE, predictions(texts=texts))
    assert outcome.correct.tolist() == right
    assert outcome.reward.tolist() == [float(x) for x in right]
    assert outcome.texts == texts


def test_greedy_equal_answers_have_equal_numbers_in_every_process() -> None:
    task = LanguageModelling(path="x", correct="greedy", match="last-number")
    outcome = task.judge(THREE, predictions(texts=("I say 7", "7.0", "nothing")))
    assert outcome.prediction[0] == outcome.prediction[1] == text_hash("7")
    assert outcome.prediction[2] == 0
    assert text_hash("7") == int.from_bytes(
        bytes.fromhex("7902699be42c8a8e"), "little", signed=True
    )  # sha256sum


def test_greedy_without_texts_is_reported_as_a_backend_error() -> None:
    with pytest.raises(RunError, match=r"^the backend generated no texts, but the task needs them$"):
        LanguageModelling(path="x", correct="greedy").judge(THREE, predictions())


def test_only_greedy_has_decoding() -> None:
    assert LanguageModelling(path="x").decoding is None
    greedy = LanguageModelling(path="x", correct="greedy", stop=("\n",), max_new_tokens=5)
    assert isinstance(greedy, GeneratingTask)
    assert greedy.decoding == Decoding(max_new_tokens=5, stop=("\n",))


@pytest.mark.parametrize(
    ("text", "match", "extract", "answer"),
    [
        ("  a b \n", "exact", "", "a b"),
        ("a\nb\n \n", "last-line", "", "b"),
        ("\n \n", "last-line", "", None),
        ("-3 and 1,000", "last-number", "", "1000"),
        ("18.00", "last-number", "", "18"),
        ("-.50", "last-number", "", "-0.5"),
        ("none", "last-number", "", None),
        ("#### 4 #### 5", "exact", r"#### (\d)", "5"),
        ("#### 4", "exact", r"####.*", "#### 4"),
        ("x", "exact", r"y", None),
    ],
)
def test_answer_of_a_text(text: str, match: Any, extract: str, answer: str | None) -> None:
    assert answer_of(text, match, extract) == answer
