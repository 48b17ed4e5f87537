"""Inputs that are trained on and tested are told."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest

from boostlora.engine.boosting.leakage import warn_of_leakage
from boostlora.engine.contracts import Examples, Prompts, Splits, Texts


def examples(inputs: object, count: int) -> Examples:
    return Examples(ids=np.arange(count), inputs=inputs, labels=np.zeros(count, int))


def splits(train: Examples, test: Examples, source: Examples | None = None) -> Splits:
    validation = examples(np.array([[9.0]]), 1)
    return Splits(train=train, validation=validation, test=test, source=source, classes=("a", "b"))


KINDS: dict[str, Callable[[str], object]] = {
    "numbers": lambda names: np.array([[{"a": 0.0, "b": 1.0, "c": -1.0}[n], 2.0] for n in names]),
    "texts": lambda names: Texts(tuple((n, "hypothesis") for n in names)),
    "prompts": lambda names: Prompts(tuple(names), tuple(f"{i}" for i, _ in enumerate(names))),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", ["train", "source"])
def test_test_inputs_in_the_training_split_are_counted(kind: str, part: str) -> None:
    make = KINDS[kind]
    seen, other = examples(make("ab"), 2), examples(make("b"), 1)
    found = (
        splits(seen, examples(make("aac"), 3))
        if part == "train"
        else splits(other, examples(make("aac"), 3), seen)
    )
    with pytest.warns(
        RuntimeWarning,
        match="^task mine: 2 of 3 test examples have inputs that also occur in the training data: ",
    ):
        warn_of_leakage(found, "mine")


def test_negative_zero_equals_zero_as_an_input() -> None:
    with pytest.warns(RuntimeWarning, match="1 of 1 test"):
        warn_of_leakage(splits(examples(np.array([[0.0]]), 1), examples(np.array([[-0.0]]), 1)), "mine")


@pytest.mark.parametrize("kind", KINDS)
def test_splits_without_common_inputs_give_no_warning(kind: str) -> None:
    make = KINDS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_leakage(splits(examples(make("ab"), 2), examples(make("cc"), 2)), "mine")
