"""What a plugin returns is checked before it is used; what is recorded of training and answers is counted right."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from boostlora.engine.boosting.activation_memory import Dimensions, Group
from boostlora.engine.boosting.checks import check_selection
from boostlora.engine.boosting.parameter_counts import ITEM, update_bytes
from boostlora.engine.boosting.rollouts import Rollout
from boostlora.engine.boosting.round_metrics import RecordDraft
from boostlora.engine.contracts import DenseDelta, LinearCore, Selection, Site, Training
from boostlora.engine.errors import PluginError


def selection(*indices: int, weight: float = 1.0) -> Selection:
    return Selection(indices=np.array(indices, dtype=np.int64), weights=np.full(len(indices), weight))


@pytest.mark.parametrize("indices", [(), (0,), (4,), (4, 0, 2)])
def test_selection_within_the_examples_is_accepted(indices: tuple[int, ...]) -> None:
    assert check_selection(selection(*indices), 5, "mine").indices.tolist() == list(indices)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (selection(5), r"outside \[0, 5\)"),
        (selection(0, -1), r"outside \[0, 5\)"),
        (selection(1, 1), "an example twice"),
        (selection(1, weight=0.0), "positive and finite"),
        (selection(1, weight=np.nan), "positive and finite"),
        ([1], "not a Selection"),
    ],
)
def test_selection_that_is_no_set_of_weighted_examples_is_refused(found: object, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_selection(found, 5, "mine")


def test_draft_has_the_loss_of_the_first_and_of_the_last_step() -> None:
    draft = RecordDraft.of(1)
    draft.add_training(Training(updates={}, values={"a": np.zeros(3)}, losses=np.array([3.0, 2.0, 1.0])))
    assert draft.known == {"round": 1, "parameters": 3, "loss_first": 3.0, "loss_last": 1.0}


def test_size_of_updates_counts_factors_and_cores_or_the_whole_matrix() -> None:
    site = Site(name="w", shape=(7, 5))
    core = LinearCore(rank=2, group="w", projections=None, init=np.zeros(4), exponents=(0.5, 0.5))
    factors = 7 * 2 + 2 + 5 * 2 + 2 * 2  # U, S, V and the core
    assert update_bytes([site], {2: [core]}) == ITEM * factors
    assert update_bytes([site], {0: [DenseDelta()]}) == ITEM * 7 * 5
    assert update_bytes([site, site], {2: [core, core]}) == 2 * ITEM * factors


def test_groups_of_equal_rewards_have_zero_variance() -> None:
    rewards = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    tokens = SimpleNamespace(targets=np.ones(6, dtype=np.int64))
    rollout = object.__new__(Rollout)
    answers: Any = SimpleNamespace(rewards=rewards, tokens=tokens, ended=np.ones(6, dtype=bool))
    for name, value in (("answers", [answers]), ("batches", [[1], []])):
        object.__setattr__(rollout, name, value)
    found = rollout.metrics
    assert found is not None
    assert (found.groups, found.zero_variance, found.skipped, found.unended) == (3, 2, 1, 0)


def test_forecast_of_a_backward_pass_holds_the_logits_too() -> None:
    sizes = {"weights": 1000, "layers": 2, "hidden": 8, "attention": 8, "kv": 8, "inner": 16}
    group = Group(tokens=24, longest=6, targets=12, uneven=True)

    def backward(vocabulary: int) -> int:
        made = Dimensions(**sizes, gated=False, vocabulary=vocabulary, itemsize=4)
        return made.backward(group, "none", checkpointing=False) - made.logits(group.targets)

    assert backward(500) == backward(0) > 0
