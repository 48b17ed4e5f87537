"""What every task and every model must do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import safe_open

from ..boosting.experiment import data_sha256
from ..contracts import Model, Predictions, Splits, Task
from ..workplace import Workplace


class TaskContract:
    """Inherit, and implement `make`."""

    def make(self) -> Task:
        """A task, as a spec would make it."""
        raise NotImplementedError

    def test_splits_are_disjoint_labelled_and_not_empty(self) -> None:
        splits = self.make().load(np.random.default_rng(0))
        parts = [splits.train, splits.validation, splits.test]
        ids = np.concatenate([part.ids for part in parts])
        assert len(set(ids.tolist())) == len(ids), "an example is in two splits"
        for part in parts:
            assert len(part) > 0
            assert len(part.labels) == len(part)
            assert part.labels.min() >= 0
            assert part.labels.max() < len(splits.classes)

    def test_splits_with_the_same_seed_are_the_same_and_with_another_differ(self) -> None:
        one, two, other = (data_sha256(self.make().load(np.random.default_rng(s))) for s in (0, 0, 1))
        assert one == two
        assert one != other

    def test_judgement_of_right_answers_is_right_and_of_wrong_ones_wrong(self) -> None:
        task = self.make()
        splits = task.load(np.random.default_rng(0))
        test, loss = splits.test, np.ones(len(splits.test))
        right = task.judge(test, Predictions(output=test.labels, loss=loss))
        assert right.accuracy == 1.0
        wrong = (test.labels + 1) % len(splits.classes)
        assert task.judge(test, Predictions(output=wrong, loss=loss)).accuracy == 0.0
        np.testing.assert_array_equal(right.ids, test.ids)


class ModelContract:
    """Inherit, and implement `make` and `splits`."""

    def make(self) -> Model:
        """A model, as a spec would make it."""
        raise NotImplementedError

    def splits(self) -> Splits:
        """Data that the model can take."""
        raise NotImplementedError

    def test_source_holds_every_weight_of_the_blueprint(self, tmp_path: Path) -> None:
        splits, model = self.splits(), self.make()
        blueprint = model.blueprint(splits)
        source = model.source(splits, Workplace(cache=tmp_path), np.random.default_rng(0))
        assert source.blueprint == blueprint
        shapes = dict[str, tuple[int, ...]]()
        for file in source.files:
            with safe_open(file, framework="np") as tensors:
                shapes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        assert {w.name: w.shape for w in blueprint.weights} == shapes
        assert any(w.role == "linear" for w in blueprint.weights)

    def test_source_is_reproducible_from_its_seed(self, tmp_path: Path) -> None:
        splits, model = self.splits(), self.make()
        hashes = [
            model.source(splits, Workplace(cache=tmp_path / str(i)), np.random.default_rng(seed)).sha256
            for i, seed in enumerate((0, 0))
        ]
        assert hashes[0] == hashes[1]
