"""The choice of a run's samples among the validation examples, and their texts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from boostlora.engine.boosting.fixed_samples import fixed_samples
from boostlora.engine.contracts import Examples, Prompts, Splits, Texts, Values

SPEC: Any = SimpleNamespace(task=object())


def splits(inputs: Any, labels: Any = None, *, classes: tuple[str, ...] = (), **known: Any) -> Splits:
    labels = np.zeros(len(inputs), dtype=np.int64) if labels is None else np.array(labels)
    examples = Examples(ids=np.arange(len(inputs)) * 10, inputs=inputs, labels=labels, **known)
    return Splits(train=examples, validation=examples, test=examples, classes=classes)


def test_samples_do_not_depend_on_the_order_of_the_file():
    made = splits(np.arange(40.0).reshape(20, 2), [0, 1] * 10, classes=("a", "b"))
    order = np.random.default_rng(1).permutation(20)
    turned = Splits(
        **{part: made.validation.take(order) for part in ("train", "validation", "test")},
        classes=made.classes,
    )
    assert fixed_samples(SPEC, made) == fixed_samples(SPEC, turned)


@pytest.mark.parametrize(("labels", "expected"), [([0] * 18 + [1, 2], 3), ([0] * 19 + [1], 2), ([0] * 20, 1)])
def test_samples_are_of_different_classes_where_there_are_some(labels: list[int], expected: int):
    found = fixed_samples(SPEC, splits(np.zeros((20, 1)), labels, classes=("a", "b", "c"))).samples
    assert len({sample.id for sample in found}) == 3
    assert len({sample.expected for sample in found}) == expected


def test_samples_of_a_smaller_split_are_all_of_it():
    assert len(fixed_samples(SPEC, splits(np.zeros((2, 1)), [0, 0], classes=("a", "b"))).samples) == 2


@pytest.mark.parametrize(
    ("inputs", "content", "line"),
    [
        (Texts((("a\nb",),)), {"text": "a\nb"}, "a b"),
        (Texts((("a", "b"),)), {"text 1": "a", "text 2": "b"}, "text 1 a, text 2 b"),
        (np.array([[1.0, 0.12345]]), {"2 numbers:": "1, 0.123"}, "2 numbers: 1, 0.123"),
        (
            np.zeros((1, 8, 9)),
            {"72 numbers:": ", ".join(["0"] * 64) + ", …"},
            "72 numbers: " + "0, " * 64 + "…",
        ),
    ],
)
def test_input_of_a_sample_is_readable(inputs: Any, content: dict[str, str], line: str):
    found = fixed_samples(SPEC, splits(inputs, classes=("a", "b")))
    (sample,) = found.samples
    assert (found.kind, sample.input, sample.line, sample.expected) == ("class", content, line, "a")


def test_prompt_has_its_reference():
    found = fixed_samples(SPEC, splits(Prompts(("1+1=",), ("2",))))
    assert found.kind == "completion"
    assert (found.samples[0].input, found.samples[0].expected) == ({"prompt": "1+1="}, "2")


def test_value_is_in_the_targets_units():
    values = Values(standardised=np.array([0.5]), mean=10.0, std=4.0)
    found = fixed_samples(SPEC, splits(np.zeros((1, 1)), values=values))
    assert (found.kind, found.samples[0].expected) == ("value", "12")


def test_inputs_of_an_unknown_type_are_named():
    class Pictures(list[int]):
        def __getitem__(self, index: Any) -> Any:
            return self

    found = fixed_samples(SPEC, splits(Pictures([1])))
    assert (found.kind, found.samples[0].input) == ("other", {"input": "Pictures"})
