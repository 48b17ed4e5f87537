"""Stratified draws, with the chance of every example added up and not tried out."""

import numpy as np
import pytest

from boostlora.engine.contracts import Selection
from boostlora.engine.sdk.stratified_batches import stratified_draws
from boostlora.engine.testing import assert_close

GRID = 4000


class Grid:
    """In place of a generator: every stretch is met at the same place, `k / GRID` and a half of the way, one draw after the other."""

    def __init__(self):
        self.drawn = 0

    def random(self, size):
        self.drawn += 1
        return np.full(size, (self.drawn - 0.5) / GRID)


@pytest.mark.parametrize("size", [1, 3, 16])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (5.0, 0.1, 2.3, 0.7), (1e-3, 2e-3, 4.0)])
def test_stratified_draws_follow_the_weights(weights, size):
    """The integral over the uniform numbers, by the midpoints of a grid; each end of an example's stretch is off by half a cell."""
    indices, w = np.array([7, 2, 9, 4])[: len(weights)], np.array(weights)
    draws = stratified_draws(Selection(indices=indices, weights=w), GRID, size, Grid())
    counts = np.array([[int(np.sum(draw == i)) for i in indices] for draw in draws])
    np.testing.assert_array_equal(counts.sum(axis=1), np.full(GRID, size))
    assert_close(counts.mean(axis=0) / size, w / w.sum(), atol=1 / GRID, what="chances")
    share = counts / size
    assert np.abs(share - w / w.sum()).max() < 2 / size, "the shares hold in every draw"


def test_stratified_draw_of_all_equal_examples_has_each_once():
    indices = np.random.default_rng(0).permutation(50)[:13]
    for draw in stratified_draws(Selection.equal(indices), 5, 13, np.random.default_rng(1)):
        np.testing.assert_array_equal(draw, indices)
