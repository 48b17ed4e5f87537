"""Groups of similar length: coverage, limits, and their use in calibration."""

from itertools import pairwise

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.backends.torch.backend import Torch
from boostlora.backends.torch.length_groups import by_budget
from boostlora.engine.contracts import Batch, Examples, Tokens
from boostlora.engine.testing import assert_close
from boostlora.engine.testing.products import unit_columns

from ..support.hf_modules import DECODERS, VOCABULARY
from .training_transformers import opened

LENGTHS = [5, 3, 60, 4, 6, 3, 5, 4, 7, 3, 41, 5]
"""Short texts and two long ones."""
BUDGET = 24
BATCHES = [
    Batch(indices=np.arange(7), weights=np.linspace(0.5, 2.0, 7)),
    Batch(indices=np.arange(7, 12), weights=np.linspace(2.0, 0.5, 5)),
]


def uneven_texts(kind):
    rng = np.random.default_rng(3)
    ids = [rng.integers(4, VOCABULARY - 1, n).tolist() for n in LENGTHS]
    starts = [n - 2 for n in LENGTHS] if kind in DECODERS else None
    labels = rng.integers(0, 3, len(ids)) * (kind not in DECODERS)
    return Examples(ids=np.arange(len(ids)), inputs=Tokens.join(ids, starts), labels=labels)


@given(
    st.lists(st.integers(1, 40), max_size=30).map(lambda x: np.array(x, dtype=np.int64)),
    st.integers(1, 100),
    st.integers(0, 5),
)
def test_groups_hold_every_index_once_within_budget_and_count(lengths, budget, count):
    groups = list(by_budget(lengths, budget, count))
    assert sorted(i for group in groups for i in group.tolist()) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * lengths[group].max() <= budget
        assert len(group) <= (count or len(lengths))
    for one, other in pairwise(groups):
        assert lengths[one].max() <= lengths[other].min()
        # No group ends while the next index still has room.
        assert len(one) == count or (len(one) + 1) * lengths[other].min() > budget


@pytest.mark.parametrize("kind", ["llama", "bert"])
@pytest.mark.parametrize("micro_batch", [0, 2])
def test_calibration_passes_are_within_the_budget_and_equal_those_of_whole_batches(
    kind, micro_batch, tmp_path
):
    options = Torch(device="cpu", dtype="float64", micro_batch=micro_batch, eval_tokens=BUDGET)
    model, sites = opened(kind, tmp_path, options)
    whole, _ = opened(kind, tmp_path, attrs.evolve(options, micro_batch=0, eval_tokens=10**6))
    examples, names = uneven_texts(kind), [site.name for site in sites]
    right, left = unit_columns(model, names, 1, 3), unit_columns(model, names, 0, 3)
    model.unreached_sites(examples)  # has passes of its own
    shapes = list[tuple[int, ...]]()

    def note(_module, _args, given):
        shapes.append(tuple(given["input_ids"].shape))

    with model.net.module.register_forward_pre_hook(note, with_kwargs=True):
        found = model.gradient_products(examples, BATCHES, right=right, left=left)
    assert sum(rows for rows, _ in shapes) == len(LENGTHS)
    for rows, width in shapes:
        assert rows == 1 or rows * width <= BUDGET
        assert not micro_batch or rows <= micro_batch
    expected = whole.gradient_products(examples, BATCHES, right=right, left=left)
    for site in names:
        for side in ("right", "left"):
            one, other = getattr(found[site], side), getattr(expected[site], side)
            # The same sum in another order: a thousand unit roundings of float64, on the way through two layers.
            assert_close(one, other, atol=1e-13 * np.abs(other).max(), what=f"{site}: {side}")
