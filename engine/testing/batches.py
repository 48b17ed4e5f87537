"""The contracts of objectives and optimisers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ..contracts import Objective, Optimizer, RegressionObjective, Selection
from .strategies import contract_settings, seeds


@st.composite
def selections(draw: st.DrawFn) -> Selection:
    """Selections of 1 to 30 examples of 100, with weights over three orders of magnitude."""
    indices = draw(st.lists(st.integers(0, 99), min_size=1, max_size=30, unique=True))
    weights = draw(st.lists(st.floats(0.01, 10.0), min_size=len(indices), max_size=len(indices)))
    return Selection(indices=np.array(indices, dtype=np.int64), weights=np.array(weights))


class ObjectiveContract:
    """Contract tests: inherit, and implement `make`."""

    def make(self) -> Objective:
        """An objective, as built from a spec."""
        raise NotImplementedError

    @given(selections(), st.integers(1, 5), st.integers(1, 40), seeds)
    @contract_settings
    def test_batches_of_any_selection_hold_only_what_was_selected(
        self, selection: Selection, steps: int, batch_size: int, seed: int
    ) -> None:
        batches = self.make().batches(selection, steps, batch_size, np.random.default_rng(seed))
        assert len(batches) == steps
        for batch in batches:
            assert batch.indices.shape == batch.weights.shape == (batch_size,)
            assert set(batch.indices.tolist()) <= set(selection.indices.tolist())
            assert np.isfinite(batch.weights).all()

    @given(selections(), seeds)
    @contract_settings
    def test_batches_with_the_same_seed_are_the_same(self, selection: Selection, seed: int) -> None:
        one, two = (self.make().batches(selection, 3, 8, np.random.default_rng(seed)) for _ in range(2))
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a.indices, b.indices)

    @given(selections(), seeds)
    @contract_settings
    def test_examples_come_as_often_as_their_weights_say(self, selection: Selection, seed: int) -> None:
        size = 64
        batches = self.make().batches(selection, 4, size, np.random.default_rng(seed))
        shares = selection.weights / selection.weights.sum()
        for batch in batches:
            for index, share in zip(selection.indices, shares, strict=True):
                # An interval of length `share * size` overlaps at most two unit intervals partially.
                assert abs(int(np.sum(batch.indices == index)) - share * size) < 2.0

    @given(selections(), seeds)
    @contract_settings
    def test_batches_have_the_threshold_that_the_objective_declares(
        self, selection: Selection, seed: int
    ) -> None:
        objective = self.make()
        delta = objective.delta if isinstance(objective, RegressionObjective) else None
        batches = objective.batches(selection, 2, 8, np.random.default_rng(seed))
        assert [batch.delta for batch in batches] == [delta, delta]


class OptimizerContract:
    """Contract tests: inherit, and implement `make`."""

    def make(self) -> Optimizer:
        """An optimiser, as built from a spec."""
        raise NotImplementedError

    @given(st.integers(1, 50), st.data())
    @contract_settings
    def test_rates_of_any_round_are_finite_and_not_negative(self, rounds: int, data: st.DataObject) -> None:
        optimizer = self.make()
        rates = optimizer.rates(data.draw(st.integers(0, rounds - 1)), rounds)
        assert rates.shape == (optimizer.steps,)
        assert np.isfinite(rates).all()
        assert (rates >= 0).all()
        assert isinstance(optimizer.rule, str)
        assert optimizer.batch_size >= 1
