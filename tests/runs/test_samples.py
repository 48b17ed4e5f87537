"""A run's fixed samples: chosen once, kept in its folder, with answers from the outcomes of its rounds."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from boostlora.engine.contracts import Outcome
from boostlora.engine.errors import RunError
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.runs.rollback import roll_back
from boostlora.engine.runs.samples import SAMPLES, Sample, Samples, answers_of, as_json

from ..support.record_toys import Toy, clone


def answers(path):
    directory = RunDirectory.open(path)
    return directory.sample_answers(directory.samples())


def test_samples_of_a_resumed_run_are_those_of_an_uninterrupted_one(toy: Toy, tmp_path):
    clone(toy.path("half"), tmp_path / "runs" / "resumed")
    resumed = Toy(tmp_path, toy.registry, toy.spec)
    assert len(answers(resumed.path("resumed"))[0]) == 3
    resumed.go("resumed")
    kept = [(path / SAMPLES).read_bytes() for path in (toy.path("whole"), resumed.path("resumed"))]
    assert kept[0] == kept[1]
    assert answers(toy.path("whole")) == answers(resumed.path("resumed"))


def test_samples_are_written_when_a_run_killed_before_them_is_resumed(toy: Toy, tmp_path):
    clone(toy.path("half"), tmp_path / "runs" / "resumed")
    resumed = Toy(tmp_path, toy.registry, toy.spec)
    (resumed.path("resumed") / SAMPLES).unlink()
    resumed.go("resumed")
    assert answers(resumed.path("resumed")) == answers(toy.path("whole"))


def test_samples_of_a_rolled_back_run_end_with_its_last_round(toy: Toy, tmp_path):
    clone(toy.path("whole"), tmp_path / "run")
    roll_back(tmp_path / "run", 1)
    assert answers(tmp_path / "run") == [found[:2] for found in answers(toy.path("whole"))]


def test_sample_answers_are_those_of_the_outcomes(toy: Toy):
    directory = RunDirectory.open(toy.path("whole"))
    samples = directory.samples()
    assert samples is not None
    assert sorted(sample.expected for sample in samples.samples) == ["a", "b", "c"]
    last = directory.outcomes(4)["validation"]
    for sample, found in zip(samples.samples, directory.sample_answers(samples), strict=True):
        (place,) = np.flatnonzero(last.ids == sample.id)
        assert [answer.round for answer in found] == [0, 1, 2, 3, 4]
        assert found[-1].answer == "abc"[int(last.prediction[place])]
        assert found[-1].right == (found[-1].answer == sample.expected)
        assert found[-1].probability == pytest.approx(math.exp(-last.loss[place]))


@pytest.mark.parametrize("how", ["altered", "cut", "other content"])
def test_damaged_samples_are_refused_by_name_when_the_run_is_resumed(toy: Toy, tmp_path, how: str):
    clone(toy.path("half"), tmp_path / "runs" / "damaged")
    resumed = Toy(tmp_path, toy.registry, toy.spec)
    path = resumed.path("damaged") / SAMPLES
    text = path.read_text()
    path.write_text(
        {"altered": text.replace('"b"', '"a"'), "cut": text[:-9], "other content": '{"kind": 1}'}[how]
    )
    with pytest.raises(RunError, match=f"damaged/{SAMPLES}: damaged"):
        resumed.go("damaged")


def outcome(**known: Any) -> Outcome:
    fields = {
        "ids": np.array([7, 5]),
        "prediction": np.array([1, 0]),
        "loss": np.array([0.5, math.inf]),
        "correct": np.array([True, False]),
        "reward": np.array([1.0, math.nan]),
    }
    return Outcome(**{**fields, **known})


def found_in(made: Outcome, kind: Any, classes: tuple[str, ...] = ()) -> list[Any]:
    kept = tuple(Sample(id=number, input={"prompt": "x"}, expected="y") for number in (5, 7, 9))
    samples = Samples(kind=kind, classes=classes, samples=kept)
    found = answers_of(samples, [(0, "base", {"validation": made})])
    json.loads(json.dumps(as_json(samples, found), allow_nan=False))
    assert found[2] == []  # not among the outcomes
    return [found[0][0], found[1][0]]


def test_generated_texts_of_an_example_are_its_own():
    texts = ("right", "also", "wrong", "neither")
    first, second = found_in(outcome(texts=texts, verdicts=("ok", "ok", "timed-out", "")), "text")
    assert (first.answer, first.answers, first.verdicts) == ("wrong", ("wrong", "neither"), ("timed-out", ""))
    assert (second.answer, second.right, second.reward) == ("right", True, 1.0)


def test_answers_that_are_not_finite_have_no_number_in_json():
    first, second = found_in(outcome(), "class", ("no", "yes"))
    assert (first.probability, first.loss, first.reward) == (None, None, None)
    assert (second.answer, second.probability) == ("yes", pytest.approx(math.exp(-0.5)))


def test_value_is_in_the_targets_units():
    values = np.array([12.25, math.nan]).view(np.int64)
    first, second = found_in(outcome(prediction=values), "value")
    assert (first.value, first.probability) == (None, None)
    assert (second.value, second.answer) == (12.25, "12.25")


def test_class_beyond_the_names_is_its_number():
    assert found_in(outcome(prediction=np.array([1, 3])), "class", ("no", "yes"))[0].answer == "3"


def test_likelihood_of_a_completion_has_no_answer():
    assert found_in(outcome(), "completion")[1].answer is None
