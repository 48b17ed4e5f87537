from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.splitting import stratified

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=120)
SHARE = st.floats(0.01, 0.49)


@given(labels=LABELS, validation=SHARE, test=SHARE, seed=st.integers(0, 2**32))
def test_stratified_split_any_labels_is_disjoint_complete_and_keeps_shares(
    labels: list[int], validation: float, test: float, seed: int
) -> None:
    classes, shares = np.array(labels), {"validation": validation, "test": test}
    ids = np.random.default_rng(seed).permutation(len(labels)).astype(np.int64)
    parts = stratified(ids, classes, shares, np.random.default_rng(seed))
    assert list(parts) == ["validation", "test", "train"]
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(len(labels)))
    for label in np.unique(classes):
        count = int(np.sum(classes == label))
        for name, share in shares.items():
            assert np.sum(classes[parts[name]] == label) == round(share * count)


@given(labels=LABELS, seed=st.integers(0, 2**32))
def test_stratified_split_rows_in_another_order_takes_the_same_examples(labels: list[int], seed: int) -> None:
    classes, rng = np.array(labels), np.random.default_rng(seed)
    ids, order = rng.permutation(10_000)[: len(labels)], rng.permutation(len(labels))
    shares = {"validation": 0.3, "test": 0.2}
    before = stratified(ids, classes, shares, np.random.default_rng(seed))
    after = stratified(ids[order], classes[order], shares, np.random.default_rng(seed))
    for name, index in before.items():
        assert set(ids[index]) == set(ids[order][after[name]])


def test_stratified_split_another_seed_takes_other_examples() -> None:
    ids, labels = np.arange(100), np.arange(100) % 2
    first, second = (
        stratified(ids, labels, {"test": 0.3}, np.random.default_rng(seed))["test"] for seed in (0, 1)
    )
    assert set(first) != set(second)
