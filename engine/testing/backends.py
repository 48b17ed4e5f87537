"""The contract of every backend: gradients against finite differences, merges, and reproducibility."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest

from ..contracts import Backend, BoostedModel, FactoredUpdate, ModelSource, Step, Update
from ..errors import NonFiniteError
from .assertions import EPS, assert_close, assert_orthonormal
from .perceptron import ReferencePerceptron
from .products import ProductContract
from .regression import RegressionContract
from .requests import KINDS, RANK, SITE, finite_differences, make_request, random_update
from .strategies import sites_of, tiny_examples, tiny_mlp

PRECISION = {"float64": EPS, "float32": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}


GRADIENT_ROUNDINGS, LOSS_ROUNDINGS = 16, 64
"""Rounding units that gradients (of size 1) and losses (of size 1 to 10, through logits of size 10) of the tiny perceptron may be
off: a few roundings in each of three layers."""


class BackendContract(ProductContract, RegressionContract):
    """Contract tests: inherit, and implement `make`, or override the fixture `backend` with several.

    `precision` is the unit roundoff of the backend's arithmetic: of its option `dtype`, or of float64 without one.
    """

    def make(self) -> Backend:
        """A backend, as built from a spec."""
        raise NotImplementedError

    @pytest.fixture
    def backend(self) -> Backend:
        """The backend under test."""
        return self.make()

    @pytest.fixture
    def precision(self, backend: Backend) -> float:
        """Its unit roundoff."""
        return PRECISION[getattr(backend, "dtype", "float64")]

    @pytest.fixture
    def source(self, tmp_path: Path) -> ModelSource:
        """A tiny perceptron's weights."""
        return tiny_mlp(tmp_path)

    @pytest.fixture
    def model(self, backend: Backend, source: ModelSource) -> BoostedModel:
        """The perceptron, opened by the backend."""
        return backend.open(source, sites_of(source))

    @pytest.fixture
    def perceptron(self, source: ModelSource) -> ReferencePerceptron:
        """The perceptron in the suite's own arithmetic."""
        return ReferencePerceptron(source)

    # -- Singular directions

    @pytest.mark.parametrize("site", ["layers.0.weight", "layers.1.weight", "head.weight"])
    def test_directions_of_a_weight_rebuild_it_with_canonical_signs(
        self, model: BoostedModel, site: str, perceptron: ReferencePerceptron
    ) -> None:
        W = perceptron.weights[
            site
        ]  # as stored: the SVD is of the stored weight, not of one cast to a lower precision
        frame = model.directions(site, min(W.shape))
        tolerance = (
            20 * EPS * max(W.shape) * frame.S[0]
        )  # a backward-stable SVD in float64, with a small factor
        assert_close((frame.U * frame.S) @ frame.V.T, W, atol=tolerance, what=site)
        assert (np.diff(frame.S) <= 0).all()
        assert (frame.U[np.argmax(np.abs(frame.U), axis=0), np.arange(frame.rank)] > 0).all()
        assert_orthonormal(frame.U, what="U")
        assert_orthonormal(frame.V, what="V")
        rms = np.sqrt(np.mean(np.linalg.svd(W, compute_uv=False) ** 2))
        assert_close(model.rms_singular_value(site), rms, atol=tolerance, what=f"{site}: root mean square")

    # -- Gradients

    @pytest.mark.parametrize("kind", KINDS)
    def test_gradient_of_every_parametrisation_equals_finite_differences(
        self, model: BoostedModel, kind: str, perceptron: ReferencePerceptron, precision: float
    ) -> None:
        """One step of gradient descent gives the analytic gradient; the reference loss gives central differences."""
        request = make_request(model, kind, steps=1)
        trained = model.train(request)
        zero = model.train(attrs.evolve(request, learning_rates=np.zeros(1)))
        for name, start in zero.values.items():
            analytic = start - trained.values[name]
            numeric = finite_differences(perceptron, request, zero, name)
            # Central differences: error h^2 from curvature and eps / h from rounding, at h = 1e-5 about 1e-10. The backend
            # adds its rounding over three layers.
            atol = 1e-8 + GRADIENT_ROUNDINGS * precision
            assert_close(analytic, numeric, atol=atol, rtol=1e-6, what=f"{kind}: {name}")

    def test_gradient_of_a_weight_equals_one_step_of_descent(
        self, model: BoostedModel, precision: float
    ) -> None:
        request = make_request(model, "dense", steps=1)
        gradient = model.gradient(SITE, request.examples, request.fixed_batches[0])
        trained = model.train(request)
        atol = GRADIENT_ROUNDINGS * precision
        assert_close(-trained.values[SITE], gradient, atol=atol, what="dL/dW against one step of descent")

    @pytest.mark.parametrize("kind", KINDS)
    def test_trace_records_every_training_step(self, model: BoostedModel, kind: str) -> None:
        request, steps = make_request(model, kind, steps=4), list[Step]()
        plain = model.train(request)
        traced = model.train(attrs.evolve(request, trace=steps.append))
        assert [step.number for step in steps] == [1, 2, 3, 4]
        np.testing.assert_array_equal([step.loss for step in steps], plain.losses)
        for name, value in plain.values.items():
            np.testing.assert_array_equal(traced.values[name], value)
            np.testing.assert_array_equal(steps[-1].values[name], value)
            moved = steps[0].values[name] - steps[1].values[name]
            # A step of rate 1 is minus the gradient; values of size 1 are kept to EPS of their own precision.
            assert_close(moved, steps[1].gradients[name], atol=4e-7, what=f"{name}: step 2")

    # -- Training has no side effects

    @pytest.mark.parametrize("kind", KINDS)
    def test_training_leaves_the_model_unchanged(self, model: BoostedModel, kind: str) -> None:
        before = {site: model.weight(site) for site in ("layers.0.weight", SITE, "head.weight")}
        model.train(make_request(model, kind, steps=5))
        for site, weight in before.items():
            np.testing.assert_array_equal(model.weight(site), weight)

    @pytest.mark.parametrize("kind", KINDS)
    def test_training_lowers_the_loss_and_repeats_bit_for_bit(self, model: BoostedModel, kind: str) -> None:
        once = make_request(model, kind, steps=1)
        request = attrs.evolve(once, batches=[*once.fixed_batches] * 30, learning_rates=np.full(30, 0.05))
        one, two = model.train(request), model.train(request)
        assert one.losses[-1] < one.losses[0]
        for name, value in one.values.items():
            np.testing.assert_array_equal(value, two.values[name])

    def test_training_that_diverges_is_refused_with_its_step(self, model: BoostedModel) -> None:
        request = attrs.evolve(make_request(model, "dense", steps=6), learning_rates=np.full(6, np.inf))
        with pytest.raises(NonFiniteError, match=r"step \d+|update contains"):
            model.train(request)

    # -- Merging

    def test_prediction_of_a_trial_equals_that_of_the_merged_model(self, model: BoostedModel) -> None:
        training, examples = model.train(make_request(model, "core", steps=5)), tiny_examples()
        tried = model.predict(examples, training.updates, 0.7)
        model.assemble([(training.updates, 0.7)])
        np.testing.assert_array_equal(model.predict(examples).loss, tried.loss)

    def test_merged_weight_is_base_plus_scaled_update(
        self, model: BoostedModel, perceptron: ReferencePerceptron, precision: float
    ) -> None:
        training = model.train(make_request(model, "core", steps=5))
        model.assemble([(training.updates, 0.5)])
        expected = perceptron.merged(SITE, training.updates, 0.5)
        # Entries up to 4: half a unit in the last place, once for the cast, and the sum before it in more precision.
        assert_close(model.weight(SITE), expected, atol=8 * precision, what="merged weight")
        assert np.abs(expected - perceptron.weights[SITE]).max() > 16 * precision, "the update did nothing"

    def test_merged_weight_of_several_rounds_is_base_plus_the_sum_of_all_scaled_updates(
        self, model: BoostedModel, perceptron: ReferencePerceptron, precision: float
    ) -> None:
        """Rounds of different sites, scales and exponents, with a negative scale and a zero one."""
        rng, site, base = np.random.default_rng(5), SITE, perceptron.weights[SITE]
        rounds, expected = list[tuple[dict[str, Update], float]](), base.copy()
        for scale, exponents in ((0.5, (0.5, 0.5)), (-0.3, (1.0, 0.0)), (0.0, (0.0, 0.0)), (1.2, (0.0, 0.0))):
            update = attrs.evolve(random_update(rng, base.shape), exponents=exponents)
            update = attrs.evolve(update, frame=attrs.evolve(update.frame, S=np.array([2.0, 0.5])))
            other = random_update(rng, perceptron.weights["layers.0.weight"].shape)
            rounds.append(({site: update, "layers.0.weight": other}, scale))
            expected += perceptron.merged(site, {site: update}, scale) - base
        model.assemble([*rounds, ({"layers.0.weight": other}, 0.7)])
        # Entries up to 8: the bound of one round, four times.
        assert_close(model.weight(site), expected, atol=4 * 16 * precision, what="merged weight")

    def test_loss_of_a_trial_equals_the_reference_loss(
        self, model: BoostedModel, perceptron: ReferencePerceptron, precision: float
    ) -> None:
        training, examples = model.train(make_request(model, "core", steps=5)), tiny_examples()
        for updates, scale in ((None, 1.0), (training.updates, 0.7)):
            loss = model.predict(examples, updates, scale).loss
            expected = perceptron.losses(examples, updates, scale)
            assert_close(loss, expected, atol=LOSS_ROUNDINGS * precision, what="loss")
            assert model.predict(examples, updates, scale).output.dtype == np.int64

    def test_nonfinite_logits_are_refused_and_other_examples_still_predicted(
        self, model: BoostedModel
    ) -> None:
        examples = tiny_examples()
        inputs = examples.inputs.copy()
        inputs[3] = np.nan
        broken = attrs.evolve(examples, inputs=inputs)
        with pytest.raises(NonFiniteError, match="logits contain NaN or Inf"):
            model.predict(broken)
        assert np.isfinite(model.predict(broken.take(np.array([2, 4]))).loss).all()

    def test_logits_give_the_predictions(self, model: BoostedModel, precision: float) -> None:
        examples = tiny_examples()
        logits, predictions = model.logits(examples), model.predict(examples)
        np.testing.assert_array_equal(np.argmax(logits, axis=1), predictions.output)
        loss = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), examples.labels]
        assert_close(
            predictions.loss, loss, atol=LOSS_ROUNDINGS * min(precision, 2.0**-23), what="loss of the logits"
        )

    def test_predictions_do_not_depend_on_the_batch(self, model: BoostedModel) -> None:
        examples, some = tiny_examples(), np.array([7, 3, 11])
        loss = model.predict(examples).loss[some]
        # BLAS may sum in another order in a smaller batch: a few units in the last place of float32.
        assert_close(model.predict(examples.take(some)).loss, loss, atol=1e-5, what="loss of three alone")

    def test_adapter_in_training_and_merged_update_give_the_same_loss(
        self, model: BoostedModel, precision: float
    ) -> None:
        request = make_request(model, "core", steps=5)
        training = model.train(request)
        again = model.train(
            attrs.evolve(
                request,
                batches=[*request.fixed_batches, request.fixed_batches[0]],
                learning_rates=np.r_[request.learning_rates, 0.0],
            )
        )
        model.assemble([(training.updates, 1.0)])
        batch = request.fixed_batches[0]
        merged = float(np.mean(batch.weights * model.predict(request.examples.take(batch.indices)).loss))
        assert_close(
            again.losses[-1],
            merged,
            atol=LOSS_ROUNDINGS * precision,
            what="loss inside training and after the merge",
        )

    def test_ensemble_without_rounds_is_the_base_bit_for_bit(self, model: BoostedModel) -> None:
        base = model.weight(SITE)
        training = model.train(make_request(model, "core", steps=5))
        model.assemble([(training.updates, 1.0)])
        model.assemble([])
        np.testing.assert_array_equal(model.weight(SITE), base)

    def test_zero_core_leaves_the_weight_equal_by_value(self, model: BoostedModel) -> None:
        base = model.weight(SITE)
        update = FactoredUpdate(frame=model.directions(SITE, RANK), core=np.zeros((RANK, RANK)))
        model.assemble([({SITE: update}, 1.0)])
        np.testing.assert_array_equal(model.weight(SITE), base)

    def test_order_of_rounds_changes_no_more_than_rounding(
        self, model: BoostedModel, precision: float
    ) -> None:
        base, rng = model.weight(SITE), np.random.default_rng(3)
        rounds = [({SITE: random_update(rng, base.shape)}, 1.0) for _ in range(6)]
        model.assemble(rounds)
        forward = model.weight(SITE)
        model.assemble(rounds[::-1])
        sizes = sum(float(np.abs(L @ M.T).max()) for L, M in (u[SITE].factors() for u, _ in rounds))
        bound = 2 * len(rounds) * precision * (float(np.abs(base).max()) + sizes)
        assert_close(model.weight(SITE), forward, atol=bound, what="merge order")

    def test_update_with_infinity_is_refused_and_no_site_changes(self, model: BoostedModel) -> None:
        sites = ("layers.0.weight", SITE)
        before = {site: model.weight(site) for site in sites}
        good: Update = random_update(np.random.default_rng(0), before["layers.0.weight"].shape)
        frame = model.directions(SITE, RANK)
        bad: Update = FactoredUpdate(frame=frame, core=np.full((RANK, RANK), np.inf))
        with pytest.raises(NonFiniteError, match=SITE):
            model.assemble([({"layers.0.weight": good, SITE: bad}, 1.0)])
        for site in sites:
            np.testing.assert_array_equal(model.weight(site), before[site])
