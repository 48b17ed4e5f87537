from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from boostlora.engine.sdk.splits import stratified

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


@given(labels=LABELS, validation=SHARE, test=SHARE, seed=st.integers(0, 2**32))
def test_stratified_split_without_equal_inputs_is_that_of_single_examples(
    labels: list[int], validation: float, test: float, seed: int
) -> None:
    """Against the definition: a class's examples shuffled in the order of their ids, and cut."""
    classes, shares = np.array(labels), {"validation": validation, "test": test}
    ids = np.random.default_rng(seed).permutation(10_000)[: len(labels)]
    rng, expected = np.random.default_rng(seed), {"validation": set(), "test": set()}
    for label in np.unique(classes):
        drawn = rng.permutation(np.sort(ids[classes == label]))
        sizes = [round(share * len(drawn)) for share in shares.values()]
        expected["validation"] |= set(drawn[: sizes[0]])
        expected["test"] |= set(drawn[sizes[0] : sum(sizes)])
    numbers = np.random.default_rng(seed + 1).permutation(len(labels))
    for same in (None, numbers):
        parts = stratified(ids, classes, shares, np.random.default_rng(seed), groups=same)
        assert {part: set(ids[parts[part]]) for part in shares} == expected


@given(
    sets=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=3), min_size=40, max_size=60),
    seed=st.integers(0, 2**32),
)
def test_stratified_split_keeps_equal_inputs_together_near_the_shares(
    sets: list[list[int]], seed: int
) -> None:
    """Sets of at most three examples, their labels whatever they are."""
    labels = np.array([label for members in sets for label in members])
    same = np.array([number for number, members in enumerate(sets) for _ in members])
    rng = np.random.default_rng(seed)
    ids, order = rng.permutation(10_000)[: len(labels)], rng.permutation(len(labels))
    assume(len(np.unique(labels)) == 1 or np.bincount(labels).min() >= 10)
    shares = {"validation": 0.2, "test": 0.3}
    parts = stratified(ids, labels, shares, np.random.default_rng(seed), groups=same)
    homes = [set(same[index].tolist()) for index in parts.values()]
    assert sum(map(len, homes)) == len(set.union(*homes)) == len(sets)
    for part, share in shares.items():
        # In each of three classes at most one example off by the sets, and a half by rounding.
        assert abs(len(parts[part]) - share * len(labels)) <= 4.5
    again = stratified(ids[order], labels[order], shares, np.random.default_rng(seed), groups=same[order] + 7)
    for part, index in parts.items():
        assert set(ids[index]) == set(ids[order][again[part]])


def test_stratified_split_keeps_the_largest_set_in_training() -> None:
    same = np.array([0] * 60 + list(range(1, 41)))
    for seed in range(20):
        parts = stratified(
            np.arange(100),
            np.zeros(100, int),
            {"validation": 0.2, "test": 0.2},
            np.random.default_rng(seed),
            groups=same,
        )
        assert {part: len(index) for part, index in parts.items()} == {
            "validation": 20,
            "test": 20,
            "train": 60,
        }
        assert 0 in parts["train"]


def test_stratified_split_takes_a_too_large_set_when_that_is_closer() -> None:
    for size, expected in ((2, 2), (3, 0)):
        same = np.repeat(np.arange(12 // size), size)
        sizes = {"test": 1 / 12}
        parts = stratified(np.arange(12), np.zeros(12, int), sizes, np.random.default_rng(0), groups=same)
        assert len(parts["test"]) == (expected or 1), "where no set comes closer, sets are divided"


@pytest.mark.parametrize("seed", range(5))
def test_stratified_split_takes_the_smallest_set_when_none_fits(seed: int) -> None:
    same, rng = np.repeat(np.arange(3), (6, 4, 10)), np.random.default_rng(seed)
    parts = stratified(np.arange(20), np.zeros(20, int), {"test": 0.15}, rng, groups=same)
    assert same[parts["test"]].tolist() == [1] * 4


def test_stratified_split_of_too_few_different_inputs_divides_examples() -> None:
    labels, shares = np.arange(40) % 2, {"validation": 0.2, "test": 0.2}
    parts = stratified(np.arange(40), labels, shares, np.random.default_rng(0), groups=labels)
    assert {part: len(index) for part, index in parts.items()} == {"validation": 8, "test": 8, "train": 24}
    assert all(labels[index].mean() == 0.5 for index in parts.values())


@pytest.mark.parametrize(("share", "drawn"), [(0.1, 1), (0.15, 3)])
def test_equal_inputs_stay_together_only_when_splits_keep_half_their_share(share: float, drawn: int) -> None:
    """Of sets of 1, of 5 and of 14 rows only the first fits: one row of two, which is half, or of three."""
    same = np.array([0] + [1] * 5 + [2] * 14)
    parts = stratified(
        np.arange(20), np.zeros(20, int), {"test": share}, np.random.default_rng(0), groups=same
    )
    assert len(parts["test"]) == drawn


def test_stratified_split_few_large_groups_stay_whole_only_if_strict() -> None:
    groups, labels = np.repeat(np.arange(4), 15), np.arange(60) % 2
    ids, shares = np.arange(60), {"validation": 0.2, "test": 0.2}

    def parts_of_groups(*, strict: bool) -> set[int]:
        parts = stratified(ids, labels, shares, np.random.default_rng(0), groups=groups, strict=strict)
        np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), ids)
        return {sum(group in groups[part] for part in parts.values()) for group in range(4)}

    assert parts_of_groups(strict=False) == {3}, "ignored: every group is in all three parts"
    assert parts_of_groups(strict=True) == {1}
