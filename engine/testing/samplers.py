"""The contract of every sampler."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given

from ..contracts import Outcome, Sampler, Selection
from .strategies import contract_settings, make_outcome, outcomes, seeds

ARRAYS = ("ids", "prediction", "loss", "correct", "reward")
"""Fields of an outcome that a sampler may read."""


class SamplerContract:
    """Contract tests: inherit, and implement `make`."""

    selects_without_failures = False
    """Whether it selects examples if none is wrong."""

    def make(self) -> Sampler:
        """A sampler, as built from a spec."""
        raise NotImplementedError

    def _select(self, outcome: Outcome, seed: int = 0) -> Selection:
        return self.make().select(outcome, (), np.random.default_rng(seed))

    @given(outcomes(), seeds)
    @contract_settings
    def test_selection_of_any_outcome_is_in_range_unique_and_positive(
        self, outcome: Outcome, seed: int
    ) -> None:
        chosen = self._select(outcome, seed)
        assert isinstance(chosen, Selection)
        assert chosen.indices.dtype == np.int64
        assert chosen.indices.shape == chosen.weights.shape
        assert len(set(chosen.indices.tolist())) == len(chosen)
        assert all(0 <= i < len(outcome) for i in chosen.indices.tolist())
        assert np.isfinite(chosen.weights).all()
        assert (chosen.weights > 0).all()

    @given(outcomes(), seeds)
    @contract_settings
    def test_selection_with_the_same_seed_is_the_same(self, outcome: Outcome, seed: int) -> None:
        one, two = self._select(outcome, seed), self._select(outcome, seed)
        np.testing.assert_array_equal(one.indices, two.indices)
        np.testing.assert_array_equal(one.weights, two.weights)

    @given(outcomes(), seeds, seeds)
    @contract_settings
    def test_selection_does_not_depend_on_the_order_of_examples(
        self, outcome: Outcome, seed: int, shuffle: int
    ) -> None:
        order = np.random.default_rng(shuffle).permutation(len(outcome))
        fields: dict[str, Any] = {name: getattr(outcome, name)[order] for name in ARRAYS}
        before, after = self._select(outcome, seed), self._select(Outcome(**fields), seed)
        np.testing.assert_array_equal(outcome.ids[before.indices], outcome.ids[order][after.indices])
        np.testing.assert_array_equal(before.weights, after.weights)

    def test_selection_leaves_the_outcome_as_it_was(self) -> None:
        outcome = make_outcome(np.array([True, False] * 10), np.random.default_rng(0))
        copies = {name: getattr(outcome, name).copy() for name in ARRAYS}
        self._select(outcome)
        for name, copy in copies.items():
            np.testing.assert_array_equal(getattr(outcome, name), copy)

    def test_selection_with_nothing_wrong_is_empty_unless_the_sampler_continues(self) -> None:
        outcome = make_outcome(np.ones(12, dtype=np.bool_), np.random.default_rng(0))
        assert (len(self._select(outcome)) > 0) == self.selects_without_failures

    def test_selection_with_everything_wrong_is_not_empty(self) -> None:
        outcome = make_outcome(np.zeros(12, dtype=np.bool_), np.random.default_rng(0))
        assert len(self._select(outcome)) > 0
