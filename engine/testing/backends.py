"""What every backend must do: the arithmetic, held to finite differences and to its own promises."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest

from ..contracts import Backend, BoostedModel, FactoredUpdate, Update
from ..errors import NonFiniteError
from .assertions import EPS, assert_close, assert_orthonormal
from .requests import KINDS, RANK, SITE, finite_differences, make_request, random_update
from .strategies import sites_of, tiny_examples, tiny_mlp


class BackendContract:
    """Inherit, and implement `make`; `precision` is the rounding unit of the backend's arithmetic."""

    precision = EPS

    def make(self) -> Backend:
        """A backend, as a spec would make it."""
        raise NotImplementedError

    @pytest.fixture
    def model(self, tmp_path: Path) -> BoostedModel:
        """A tiny perceptron, opened."""
        source = tiny_mlp(tmp_path)
        return self.make().open(source, sites_of(source))

    # -- Singular directions

    @pytest.mark.parametrize("site", ["layers.0.weight", "layers.1.weight", "head.weight"])
    def test_directions_of_a_weight_rebuild_it_with_canonical_signs(
        self, model: BoostedModel, site: str
    ) -> None:
        W = model.weight(site)
        frame = model.directions(site, min(W.shape))
        tolerance = (
            20 * self.precision * max(W.shape) * frame.S[0]
        )  # a backward-stable SVD, with a small factor
        assert_close((frame.U * frame.S) @ frame.V.T, W, atol=tolerance, what=site)
        assert (np.diff(frame.S) <= 0).all()
        assert (frame.U[np.argmax(np.abs(frame.U), axis=0), np.arange(frame.rank)] > 0).all()
        assert_orthonormal(frame.U, what="U")
        assert_orthonormal(frame.V, what="V")

    # -- Gradients

    @pytest.mark.parametrize("kind", KINDS)
    def test_gradient_of_every_parametrisation_equals_finite_differences(
        self, model: BoostedModel, kind: str
    ) -> None:
        """A step of plain descent gives the analytic gradient; the loss along each coordinate gives the other."""
        request = make_request(model, kind, steps=1)
        trained = model.train(request)
        zero = model.train(attrs.evolve(request, learning_rates=np.zeros(1)))
        for name, start in zero.values.items():
            analytic = start - trained.values[name]
            numeric = finite_differences(model, request, zero, name)
            # Central differences: error h^2 from curvature and eps / h from rounding, at h = 1e-5 about 1e-10.
            assert_close(analytic, numeric, atol=1e-8, rtol=1e-6, what=f"{kind}: {name}")

    def test_gradient_of_a_weight_equals_finite_differences(self, model: BoostedModel) -> None:
        request = make_request(model, "dense", steps=1)
        gradient = model.gradient(SITE, request.examples, request.batches[0])
        trained = model.train(request)
        assert_close(-trained.values[SITE], gradient, atol=1e-12, what="dL/dW against one step of descent")

    # -- Training leaves alone what it must

    @pytest.mark.parametrize("kind", KINDS)
    def test_training_leaves_the_model_as_it_was(self, model: BoostedModel, kind: str) -> None:
        before = {site: model.weight(site) for site in ("layers.0.weight", SITE, "head.weight")}
        model.train(make_request(model, kind, steps=5))
        for site, weight in before.items():
            np.testing.assert_array_equal(model.weight(site), weight)

    @pytest.mark.parametrize("kind", KINDS)
    def test_training_lowers_the_loss_and_repeats_bit_for_bit(self, model: BoostedModel, kind: str) -> None:
        once = make_request(model, kind, steps=1)
        request = attrs.evolve(once, batches=[*once.batches] * 30, learning_rates=np.full(30, 0.05))
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

    def test_merged_weight_is_base_plus_scaled_update(self, model: BoostedModel) -> None:
        training, base = model.train(make_request(model, "core", steps=5)), model.weight(SITE)
        update = training.updates[SITE]
        model.assemble([(training.updates, 0.5)])
        L, M = update.factors()
        assert_close(model.weight(SITE), base + 0.5 * L @ M.T, atol=64 * self.precision, what="merged weight")
        assert np.abs(model.weight(SITE) - base).max() > 1e-4, "the update did nothing"

    def test_adapter_in_training_and_merged_update_give_the_same_loss(self, model: BoostedModel) -> None:
        request = make_request(model, "core", steps=5)
        training = model.train(request)
        again = model.train(
            attrs.evolve(
                request,
                batches=[*request.batches, request.batches[0]],
                learning_rates=np.r_[request.learning_rates, 0.0],
            )
        )
        model.assemble([(training.updates, 1.0)])
        rows = request.examples.take(request.batches[0].indices)
        merged = float(np.mean(model.predict(rows).loss))
        assert_close(
            again.losses[-1],
            merged,
            atol=1e4 * self.precision,
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

    def test_order_of_rounds_changes_no_more_than_rounding(self, model: BoostedModel) -> None:
        base, rng = model.weight(SITE), np.random.default_rng(3)
        rounds = [({SITE: random_update(rng, base.shape)}, 1.0) for _ in range(6)]
        model.assemble(rounds)
        forward = model.weight(SITE)
        model.assemble(rounds[::-1])
        sizes = sum(float(np.abs(L @ M.T).max()) for L, M in (u[SITE].factors() for u, _ in rounds))
        bound = 2 * len(rounds) * self.precision * (float(np.abs(base).max()) + sizes)
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
