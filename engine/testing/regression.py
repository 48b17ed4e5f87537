"""The contract of backends on values: losses, gradients and evaluation of a regression."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from ..contracts import Backend, Batch, BoostedModel, Examples, ModelSource
from .assertions import assert_close
from .perceptron import ReferencePerceptron
from .requests import finite_differences, values_request
from .strategies import sites_of, tiny_mlp, tiny_values

DELTAS = pytest.mark.parametrize("delta", [None, 0.75], ids=["mse", "huber"])
"""Squared error, and a Huber loss with residuals on both sides of its threshold."""
VALUE_ROUNDINGS = 64
"""Rounding units that losses and gradients of the tiny perceptron may be off, relative to the largest of them: a few roundings in each
of three layers, of outputs that partly cancel with the targets."""


class RegressionContract:
    """A part of `BackendContract`, which defines the other fixtures."""

    @pytest.fixture
    def value_source(self, tmp_path: Path) -> ModelSource:
        """A tiny perceptron with one output."""
        folder = tmp_path / "values"
        folder.mkdir()
        return tiny_mlp(folder, outputs=1)

    @pytest.fixture
    def value_model(self, backend: Backend, value_source: ModelSource) -> BoostedModel:
        """The perceptron, opened by the backend."""
        return backend.open(value_source, sites_of(value_source))

    @pytest.fixture
    def value_perceptron(self, value_source: ModelSource) -> ReferencePerceptron:
        """The perceptron in the suite's own arithmetic."""
        return ReferencePerceptron(value_source)

    @DELTAS
    @pytest.mark.parametrize("kind", ["core", "dense"])
    def test_gradient_of_a_regression_equals_finite_differences(
        self,
        value_model: BoostedModel,
        value_perceptron: ReferencePerceptron,
        precision: float,
        kind: str,
        delta: float | None,
    ) -> None:
        request = values_request(value_model, kind, 1, delta)
        trained = value_model.train(request)
        zero = value_model.train(attrs.evolve(request, learning_rates=np.zeros(1)))
        for name, start in zero.values.items():
            analytic = start - trained.values[name]
            numeric = finite_differences(value_perceptron, request, zero, name)
            # Central differences of losses of size 10: 1e-9 from rounding, as from curvature; the rest is the backend's.
            rtol = 1e-6 + VALUE_ROUNDINGS * precision
            assert_close(analytic, numeric, atol=1e-8, rtol=rtol, what=f"{kind}: {name}")

    @DELTAS
    def test_gradient_of_the_head_of_a_regression_is_that_of_the_equation(
        self,
        value_model: BoostedModel,
        value_perceptron: ReferencePerceptron,
        precision: float,
        delta: float | None,
    ) -> None:
        """`dL/dW = sum_i w_i l'(r_i) h_i / b`, with inputs `h` of the head."""
        request = values_request(value_model, "dense", 1, delta)
        batch = request.fixed_batches[0]
        rows = request.examples.take(batch.indices)
        slopes = _slopes(value_perceptron, rows, batch)
        expected = (batch.weights * slopes) @ value_perceptron.features(rows) / len(batch)
        found = value_model.gradient("head.weight", request.examples, batch)
        assert_close(
            found, expected[None], atol=0.0, rtol=VALUE_ROUNDINGS * precision, what="dL/dW of the head"
        )

    @DELTAS
    def test_loss_in_training_of_a_regression_is_that_of_the_equation(
        self,
        value_model: BoostedModel,
        value_perceptron: ReferencePerceptron,
        precision: float,
        delta: float | None,
    ) -> None:
        request = values_request(value_model, "dense", 1, delta)
        batch = request.fixed_batches[0]
        losses = value_perceptron.losses(request.examples.take(batch.indices), delta=delta)
        expected = np.sum(batch.weights * losses) / len(batch)
        found = value_model.train(request).losses[:1]
        assert_close(found, [expected], atol=0.0, rtol=VALUE_ROUNDINGS * precision, what="loss")

    @DELTAS
    def test_training_lowers_the_loss_of_a_regression_and_repeats_bit_for_bit(
        self, value_model: BoostedModel, delta: float | None
    ) -> None:
        once = values_request(value_model, "core", 1, delta)
        request = attrs.evolve(once, batches=[*once.fixed_batches] * 30, learning_rates=np.full(30, 0.02))
        one, two = value_model.train(request), value_model.train(request)
        assert one.losses[-1] < one.losses[0]
        for name, value in one.values.items():
            np.testing.assert_array_equal(value, two.values[name])

    @DELTAS
    def test_evaluation_of_a_regression_is_values_and_their_squared_errors(
        self,
        value_model: BoostedModel,
        value_perceptron: ReferencePerceptron,
        precision: float,
        delta: float | None,
    ) -> None:
        """Whatever the loss in training: base, trial and merged model."""
        updates, examples = (
            value_model.train(values_request(value_model, "core", 5, delta)).updates,
            tiny_values(),
        )
        for given, scale in ((None, 1.0), (updates, 0.7)):
            z = value_perceptron.outputs(examples, given, scale)
            found = value_model.predict(examples, given, scale)
            assert found.logits is not None
            rtol = VALUE_ROUNDINGS * precision
            assert_close(found.logits, z, atol=0.0, rtol=rtol, what="values")
            expected = value_perceptron.losses(examples, given, scale)
            assert_close(found.loss, expected, atol=0.0, rtol=rtol, what="squared errors")
            np.testing.assert_array_equal(found.output, np.zeros(len(examples), dtype=np.int64))
        value_model.assemble([(updates, 0.7)])
        np.testing.assert_array_equal(value_model.predict(examples).loss, found.loss)

    def test_units_of_the_target_change_no_evaluation(self, value_model: BoostedModel) -> None:
        """Backends see standardised values alone."""
        examples = tiny_values()
        assert examples.values is not None
        other = attrs.evolve(examples, values=attrs.evolve(examples.values, mean=-100.0, std=0.1))
        np.testing.assert_array_equal(value_model.predict(other).loss, value_model.predict(examples).loss)


def _slopes(perceptron: ReferencePerceptron, rows: Examples, batch: Batch) -> NDArray[np.float64]:
    """`l'(r_i)` of every row `(b,)`: `2 r`, or r clipped to the threshold."""
    assert rows.values is not None
    r = perceptron.outputs(rows)[:, 0] - rows.values.standardised
    if batch.delta is None:
        return 2.0 * r
    beyond = np.abs(r) > batch.delta
    assert beyond.any(), "no residual is beyond the threshold"
    assert not beyond.all(), "no residual is within the threshold"
    return np.clip(r, -batch.delta, batch.delta)
