"""The contracts of tasks and models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import safe_open

from ..boosting.experiment import data_sha256
from ..contracts import Examples, Model, Predictions, Prompts, Splits, Task, TextModel, Texts, Tokens
from ..foundation.run_context import RunContext


class TaskContract:
    """Contract tests: inherit, and implement `make`."""

    measures_by_data = False
    """Whether the data add measures that cannot be declared, such as one for each of its subjects."""

    def make(self) -> Task:
        """A task, as built from a spec."""
        raise NotImplementedError

    def test_splits_are_disjoint_labelled_and_not_empty(self) -> None:
        splits = self.make().load(np.random.default_rng(0))
        parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
        for name, part in parts.items():
            assert len(np.unique(part.ids)) == len(part), f"two examples of the {name} split have the same id"
        ids = np.concatenate([part.ids for part in parts.values()])
        assert len(np.unique(ids)) == len(ids), "an example is in two splits"
        for name, part in parts.items():
            assert len(part) > 0, f"the {name} split is empty"
            assert len(part.labels) == len(part) == len(part.inputs)
            assert part.labels.dtype == np.int64, f"labels of the {name} split"
            assert part.labels.min() >= 0
            assert part.labels.max() < max(1, len(splits.classes))
            assert splits.classes or part.values is not None or isinstance(part.inputs, Prompts)
            _check_values(splits, name, part)

    def test_splits_with_the_same_seed_are_the_same_and_with_another_differ(self) -> None:
        one, two, other = (data_sha256(self.make().load(np.random.default_rng(s))) for s in (0, 0, 1))
        assert one == two
        assert one != other

    def test_judgement_of_right_answers_is_right_and_of_wrong_ones_wrong(self) -> None:
        task = self.make()
        splits = task.load(np.random.default_rng(0))
        right, wrong = _answers(splits)
        judged = task.judge(splits.test, right)
        assert judged.accuracy == 1.0
        assert judged.reward.min() > task.judge(splits.test, wrong).reward.max()
        assert task.judge(splits.test, wrong).accuracy == 0.0
        np.testing.assert_array_equal(judged.ids, splits.test.ids)
        assert judged.prediction.dtype == np.int64

    def test_declared_measures_are_those_of_the_judgement(self) -> None:
        task = self.make()
        splits = task.load(np.random.default_rng(0))
        judged = task.judge(splits.test, _answers(splits)[0])
        declared = set(getattr(task, "measures", ()))
        returned = set(judged.measures)
        assert declared <= returned, "judge() does not return every measure that the task declares"
        assert self.measures_by_data or returned <= declared, (
            "judge() returns measures that the task does not declare"
        )


def _check_values(splits: Splits, name: str, part: Examples) -> None:
    """Targets of a regression are finite, in one unit for all splits; no split has them alone."""
    expected, values = splits.train.values, part.values
    assert (values is None) == (expected is None), f"the {name} split has values, and others have none"
    if values is None or expected is None:
        return
    assert not splits.classes, "a task has classes or values, not both"
    assert values.standardised.shape == (len(part),), f"values of the {name} split"
    assert np.isfinite(values.standardised).all(), f"values of the {name} split"
    assert values.std > 0.0
    assert (values.mean, values.std) == (expected.mean, expected.std), "splits have values in other units"


def _answers(splits: Splits) -> tuple[Predictions, Predictions]:
    """Right and wrong predictions of the test split: classes, values, or completions with counts, losses and texts."""
    test = splits.test
    n = len(test)
    if test.values is not None:
        none, z = np.zeros(n, dtype=np.int64), test.values.standardised[:, None]
        wrong = Predictions(output=none, loss=np.full(n, 1e6), logits=z + 1e3)
        return Predictions(output=none, loss=np.zeros(n), logits=z), wrong
    if splits.classes:
        wrong = (test.labels + 1) % len(splits.classes)
        return Predictions(output=test.labels, loss=np.ones(n)), Predictions(output=wrong, loss=np.ones(n))
    targets = np.full(n, 3, dtype=np.int64)
    right = Predictions(
        output=targets, loss=np.zeros(n), targets=targets, texts=tuple(test.inputs.completions)
    )
    return right, Predictions(
        output=targets * 0, loss=np.full(n, 1e3), targets=targets, texts=("<no such answer>",) * n
    )


class ModelContract:
    """Contract tests: inherit, and implement `make` and `splits`."""

    def make(self) -> Model:
        """A model, as built from a spec."""
        raise NotImplementedError

    def splits(self) -> Splits:
        """Data that the model accepts."""
        raise NotImplementedError

    def test_source_holds_every_weight_of_the_blueprint(self, tmp_path: Path) -> None:
        splits, model = self.splits(), self.make()
        blueprint = model.blueprint(splits)
        source = model.source(splits, RunContext(cache=tmp_path), np.random.default_rng(0))
        assert source.blueprint == blueprint
        shapes = dict[str, tuple[int, ...]]()
        for file in source.files:
            with safe_open(file, framework="np") as tensors:
                shapes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        # Files may contain more than the parameters: buffers, and weights of other heads.
        stored = {w.stored or w.name: w.shape for w in blueprint.weights}
        assert {name: shapes.get(name) for name in stored} == stored
        assert len(stored) == len(blueprint.weights), "two parameters share a tensor in the files"
        assert any(w.role == "linear" for w in blueprint.weights)

    def test_source_is_reproducible_from_its_seed(self, tmp_path: Path) -> None:
        splits, model = self.splits(), self.make()
        hashes = [
            model.source(splits, RunContext(cache=tmp_path / str(i)), np.random.default_rng(seed)).sha256
            for i, seed in enumerate((0, 0))
        ]
        assert hashes[0] == hashes[1]

    def test_encoded_texts_are_tokens_in_the_same_order(self) -> None:
        model, splits = self.make(), self.splits()
        if not isinstance(model, TextModel):
            return
        examples = splits.train
        tokens = _tokens(model, examples)
        assert len(tokens) == len(examples)
        assert (tokens.lengths >= 1).all()
        assert (tokens.starts >= 1).all()
        assert ((tokens.targets >= 1) == isinstance(examples.inputs, Prompts)).all()
        backwards = np.arange(len(examples))[::-1]
        for one, two in zip(
            _tokens(model, examples.take(backwards)), tokens[backwards], strict=True
        ):  # an example's tokens do not depend on its neighbours
            np.testing.assert_array_equal(one, two)

    def test_encoded_completions_decode_to_themselves(self) -> None:
        model, splits = self.make(), self.splits()
        if not isinstance(model, TextModel) or not isinstance(splits.train.inputs, Prompts):
            return
        tokens = _tokens(model, splits.train)
        for i, completion in enumerate(splits.train.inputs.completions):
            prompt = tokens.sequence(i)[: tokens.starts[i]]
            assert model.decode(tokens.completion(i), prompt) == completion


def _tokens(model: TextModel, examples: Examples) -> Tokens:
    """A model's tokens for texts, with their type checked."""
    assert isinstance(examples.inputs, Texts | Prompts)
    encoded = model.encode(examples)
    assert isinstance(encoded.inputs, Tokens)
    np.testing.assert_array_equal(encoded.ids, examples.ids)
    return encoded.inputs
