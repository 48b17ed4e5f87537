"""The contract of every backend's products with gradients and activations, which data-driven bases use."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from ..contracts import Batch, BoostedModel, DenseUpdate, Examples, Factors
from ..errors import NonFiniteError
from .assertions import assert_close
from .perceptron import ReferencePerceptron
from .strategies import tiny_examples

SITES = ("layers.0.weight", "layers.1.weight", "head.weight")
PRODUCT_ROUNDINGS = 16
"""Rounding units that products of the tiny perceptron's gradients and activations (of size 1) with unit columns may be off:
the same as for its gradients."""
EMPTY = Batch(indices=np.empty(0, dtype=np.int64), weights=np.empty(0))


def unit_columns(
    model: BoostedModel, sites: Sequence[str], side: int, count: int
) -> dict[str, NDArray[np.float64]]:
    """Random unit columns for the left (`side` 0) or the right (1) of every site."""
    found = dict[str, NDArray[np.float64]]()
    for number, site in enumerate(sites):
        rng = np.random.default_rng([side, number])
        columns = rng.standard_normal((model.weight(site).shape[side], count))
        found[site] = columns / np.linalg.norm(columns, axis=0)
    return found


def some_batches() -> list[Batch]:
    """Batches of unequal sizes and weights, with a repeated index, and an empty one."""
    rng = np.random.default_rng(11)
    return [
        Batch(indices=np.array([3, 0, 3, 17, 8, 9, 1]), weights=rng.uniform(0.5, 2.0, 7)),
        EMPTY,
        Batch(indices=np.array([4, 12]), weights=np.array([2.5, 0.5])),
    ]


class ProductContract:
    """A part of `BackendContract`, which defines the fixtures."""

    # -- Gradients

    @pytest.mark.parametrize("site", SITES)
    def test_products_of_a_gradient_are_slopes_of_the_mean_loss_of_all_batches(
        self, model: BoostedModel, perceptron: ReferencePerceptron, precision: float, site: str
    ) -> None:
        """`q'(G o)` is the slope of the loss along `q o'`; a batch's loss is weighted by its number of examples."""
        examples, batches = tiny_examples(), some_batches()
        O, Q = (unit_columns(model, [site], side, 2) for side in (1, 0))  # noqa: E741 - as in the contract
        found = model.gradient_products(examples, batches, right=O, left=Q)[site]
        assert found.right is not None
        assert found.left is not None
        expected = np.array(
            [[_slope(perceptron, site, examples, batches, q, o) for o in O[site].T] for q in Q[site].T]
        )
        # Central differences in float64 are accurate to 1e-9; the rest is the backend's rounding.
        atol = 1e-8 + PRODUCT_ROUNDINGS * precision
        assert_close(Q[site].T @ found.right, expected, atol=atol, what=f"right: {site}")
        assert_close(found.left.T @ O[site], expected, atol=atol, what=f"left: {site}")

    def test_products_of_one_batch_are_those_of_its_gradient(
        self, model: BoostedModel, precision: float
    ) -> None:
        examples, batch = tiny_examples(), some_batches()[0]
        O, Q = (unit_columns(model, SITES, side, 3) for side in (1, 0))  # noqa: E741
        found, atol = (
            model.gradient_products(examples, [batch], right=O, left=Q),
            PRODUCT_ROUNDINGS * precision,
        )
        for site in SITES:
            G = model.gradient(site, examples, batch)
            assert_close(_given(found[site].right), G @ O[site], atol=atol, what=f"right: {site}")
            assert_close(_given(found[site].left), G.T @ Q[site], atol=atol, what=f"left: {site}")

    def test_products_use_the_current_weights(self, model: BoostedModel, precision: float) -> None:
        examples, batches, site = tiny_examples(), some_batches(), SITES[1]
        O = unit_columns(model, [site], 1, 2)  # noqa: E741
        before = model.gradient_products(examples, batches, right=O, left={})[site].right
        move = 0.5 * np.random.default_rng(2).standard_normal(model.weight(site).shape)
        model.assemble([({site: DenseUpdate(delta=move)}, 1.0)])
        after = _given(model.gradient_products(examples, batches[:1], right=O, left={})[site].right)
        G = model.gradient(site, examples, batches[0])
        assert_close(after, G @ O[site], atol=PRODUCT_ROUNDINGS * precision, what="with a round")
        assert np.abs(after - _given(before)).max() > 2 * PRODUCT_ROUNDINGS * precision, (
            "the round changed nothing"
        )

    def test_products_cover_exactly_the_requested_sites_and_sides(
        self, model: BoostedModel, precision: float
    ) -> None:
        examples, batches = tiny_examples(), some_batches()
        O, Q = (unit_columns(model, SITES, side, 2) for side in (1, 0))  # noqa: E741
        whole = model.gradient_products(examples, batches, right=O, left=Q)
        for right, left in (((0,), (2,)), ((1, 2), (1,)), ((), (0, 1)), ((2,), ()), ((), ())):
            some = {SITES[i]: O[SITES[i]] for i in right}, {SITES[i]: Q[SITES[i]] for i in left}
            found = model.gradient_products(examples, batches, right=some[0], left=some[1])
            assert set(found) == {*some[0], *some[1]}
            for site, products in found.items():
                for side, requested in (("right", some[0]), ("left", some[1])):
                    got, all_of_it = getattr(products, side), getattr(whole[site], side)
                    assert (got is not None) == (site in requested), f"{side}: {site}"
                    if got is not None:
                        assert_close(
                            got, all_of_it, atol=PRODUCT_ROUNDINGS * precision, what=f"{side}: {site}"
                        )

    @pytest.mark.parametrize("batches", [[], [EMPTY], [EMPTY, EMPTY]], ids=["none", "one", "two"])
    def test_products_without_an_example_are_zero(self, model: BoostedModel, batches: list[Batch]) -> None:
        O, Q = unit_columns(model, SITES[:2], 1, 3), unit_columns(model, SITES[1:], 0, 2)  # noqa: E741
        found = model.gradient_products(tiny_examples(), batches, right=O, left=Q)
        for site in O:
            shape = model.weight(site).shape[0], 3
            np.testing.assert_array_equal(_given(found[site].right), np.zeros(shape))
        for site in Q:
            shape = model.weight(site).shape[1], 2
            np.testing.assert_array_equal(_given(found[site].left), np.zeros(shape))
        for site, product in model.activation_products(tiny_examples(), batches, O).items():
            np.testing.assert_array_equal(product, np.zeros(O[site].shape))

    # -- Activations

    def test_activation_products_are_those_of_the_rows_that_come_in(
        self, model: BoostedModel, perceptron: ReferencePerceptron, precision: float
    ) -> None:
        """Each row is weighted by its example's weight; a repeated example counts twice."""
        examples, batches = tiny_examples(), some_batches()
        O, rows = unit_columns(model, SITES, 1, 3), np.concatenate([b.indices for b in batches])  # noqa: E741
        w = np.concatenate([b.weights for b in batches])
        found, inputs = (
            model.activation_products(examples, batches, O),
            _inputs(perceptron, examples.take(rows)),
        )
        assert set(found) == set(SITES)
        for site in SITES:
            X = inputs[site]
            expected = (X * w[:, None]).T @ (X @ O[site]) / w.sum()
            assert_close(
                found[site], expected, atol=PRODUCT_ROUNDINGS * precision, what=f"activations: {site}"
            )

    def test_activation_products_do_not_depend_on_how_examples_are_batched(
        self, model: BoostedModel, precision: float
    ) -> None:
        examples, O = tiny_examples(), unit_columns(model, SITES[1:], 1, 2)  # noqa: E741
        whole = Batch(indices=np.arange(10), weights=np.ones(10))
        cuts = [whole.take(part) for part in (np.arange(3, 10), np.array([2]), np.array([1, 0]))]
        one, several = (model.activation_products(examples, batches, O) for batches in ([whole], cuts))
        for site in O:
            atol = PRODUCT_ROUNDINGS * min(precision, 2.0**-23)  # the same rows, summed in another order
            assert_close(several[site], one[site], atol=max(atol, precision), what=f"activations: {site}")

    # -- Both

    def test_products_repeat_bit_for_bit_and_leave_the_model_unchanged(self, model: BoostedModel) -> None:
        examples, batches = tiny_examples(), some_batches()
        O, Q = (unit_columns(model, SITES, side, 2) for side in (1, 0))  # noqa: E741
        weights, loss = {site: model.weight(site) for site in SITES}, model.predict(examples).loss
        gradients = [model.gradient_products(examples, batches, right=O, left=Q) for _ in range(2)]
        activations = [model.activation_products(examples, batches, O) for _ in range(2)]
        for site in SITES:
            np.testing.assert_array_equal(_given(gradients[0][site].right), _given(gradients[1][site].right))
            np.testing.assert_array_equal(_given(gradients[0][site].left), _given(gradients[1][site].left))
            np.testing.assert_array_equal(activations[0][site], activations[1][site])
            np.testing.assert_array_equal(model.weight(site), weights[site])
        np.testing.assert_array_equal(model.predict(examples).loss, loss)

    def test_products_that_are_not_finite_are_refused(self, model: BoostedModel) -> None:
        examples = tiny_examples()
        inputs = examples.inputs.copy()
        inputs[3] = np.inf
        broken, O = attrs.evolve(examples, inputs=inputs), unit_columns(model, SITES, 1, 2)  # noqa: E741
        with pytest.raises(NonFiniteError):
            model.gradient_products(broken, some_batches(), right=O, left={})
        with pytest.raises(NonFiniteError, match=r"layers\.0\.weight|logits"):
            model.activation_products(broken, some_batches(), O)
        assert set(model.gradient_products(examples, some_batches(), right=O, left={})) == set(O), (
            "the next call must succeed"
        )


def _given(product: NDArray[np.float64] | None) -> NDArray[np.float64]:
    assert product is not None, "a requested product is missing"
    assert product.dtype == np.float64
    return product


def _slope(  # noqa: PLR0917 - a loss and a direction
    perceptron: ReferencePerceptron,
    site: str,
    examples: Examples,
    batches: Sequence[Batch],
    q: NDArray[np.float64],
    o: NDArray[np.float64],
    h: float = 1e-5,
) -> float:
    """`(L(W + h q o') - L(W - h q o')) / 2h` with `L = sum_b n_b L_b / sum_b n_b`, in the reference arithmetic."""

    def loss(step: float) -> float:
        update = {site: DenseUpdate(delta=step * np.outer(q, o))}
        terms = [b.weights * perceptron.losses(examples.take(b.indices), update) for b in batches if len(b)]
        return float(np.concatenate(terms).sum() / sum(map(len, terms)))

    return (loss(h) - loss(-h)) / (2 * h)


def _inputs(perceptron: ReferencePerceptron, examples: Examples) -> Factors:
    """The inputs of every site `(n, d_in)`, from the reference."""
    H, found = examples.inputs, dict[str, NDArray[np.float64]]()
    for layer in perceptron.layers:
        found[f"{layer}.weight"] = H
        H = np.tanh(H @ perceptron.weights[f"{layer}.weight"].T + perceptron.weights[f"{layer}.bias"])
    return found
