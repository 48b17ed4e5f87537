"""Counts, differences and effects of two sides in memory."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.analysis.comparison.compare import Comparison, compare, spec_differences, verdict
from boostlora.engine.analysis.comparison.examples import LoadedSplit, select_examples
from boostlora.engine.analysis.comparison.pairs import (
    accuracy_difference,
    effects,
    loss_difference,
    pair,
    rows_of,
)
from boostlora.engine.analysis.comparison.sides import Side
from boostlora.engine.contracts import Examples, Splits
from boostlora.engine.errors import UsageError
from boostlora.engine.statistics.bootstrap import MAX_BOOTSTRAP
from boostlora.engine.statistics.mcnemar import mcnemar
from boostlora.engine.testing import assert_close

from .compare_toys import outcome, side


def no_data(_: Side) -> LoadedSplit:
    raise UsageError("no data here")


@st.composite
def two_sides(draw: st.DrawFn) -> tuple[Side, Side]:
    """Sides that share some examples, at least one, each in an order of its own; two bases."""
    common = draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    names = rng.permutation(200)[: common + 20].astype(np.int64)

    def one(extra: int, offset: int) -> Side:
        ids = rng.permutation(
            np.concatenate([names[:common], names[common + offset : common + offset + extra]])
        )
        now, base = (
            outcome(ids, rng.random(len(ids)) < 0.5, rng.exponential(size=len(ids))) for _ in range(2)
        )
        shuffled = rng.permutation(len(ids))  # the base's file may have another order
        return side(now, rows_of(base, ids[shuffled]))

    return one(draw(st.integers(0, 9)), 0), one(draw(st.integers(0, 9)), 10)


@given(two_sides())
def test_pairing_counts_add_up_and_partition_the_common_examples(sides: tuple[Side, Side]) -> None:
    a, b = sides
    found = pair(a, b)
    common = set(a.now.ids.tolist()) & set(b.now.ids.tolist())
    groups = [set(ids.tolist()) for ids in (found.both, found.only_a, found.only_b, found.neither)]
    assert sum(map(len, groups)) == len(found) == len(common)
    assert set.union(*groups) == common
    assert (found.others_a, found.others_b) == (len(a.now) - len(common), len(b.now) - len(common))
    paired = accuracy_difference(found)
    assert (paired.both, paired.only_first, paired.only_second, paired.neither) == tuple(map(len, groups))
    assert paired.p == mcnemar(paired.only_first, paired.only_second)
    assert_close(
        paired.difference, found.a.accuracy - found.b.accuracy, rtol=0, atol=1e-12, what="difference"
    )


@given(two_sides())
def test_effects_sum_to_the_changes_of_each_side(sides: tuple[Side, Side]) -> None:
    found = pair(*sides)
    changed = effects(found)
    for now, base, own in ((found.a, found.a_base, "only_a"), (found.b, found.b_base, "only_b")):
        gained = len(changed.gained.both) + len(getattr(changed.gained, own))
        lost = len(changed.lost.both) + len(getattr(changed.lost, own))
        assert gained - lost == int(now.correct.sum()) - int(base.correct.sum())
        assert gained == int((~base.correct & now.correct).sum())


@given(two_sides())
def test_swapped_sides_give_the_same_comparison_with_opposite_signs(sides: tuple[Side, Side]) -> None:
    a, b = (attrs.evolve(one, digest=name) for one, name in zip(sides, "ab", strict=True))
    here, there = compare(a, b, no_data), compare(b, a, no_data)
    assert here.pairing.only_a.tolist() == there.pairing.only_b.tolist()
    assert here.accuracy.difference == -there.accuracy.difference
    assert here.accuracy.p == there.accuracy.p
    assert here.loss is not None
    assert there.loss is not None
    # The same differences with the other sign; their sum rounds alike.
    assert_close(here.loss.mean, -there.loss.mean, rtol=0, atol=1e-15, what="loss")
    for effect in ("gained", "lost"):
        one, two = getattr(here.effects, effect), getattr(there.effects, effect)
        assert one.both.tolist() == two.both.tolist()
        assert one.only_a.tolist() == two.only_b.tolist()
        assert one.only_b.tolist() == two.only_a.tolist()
    assert [e.id for e in here.only_a] == [e.id for e in there.only_b]
    turned = verdict(there).translate(str.maketrans("AB", "BA"))
    # Of a tie ("A and B …") the words stay in order.
    assert verdict(here) == turned.replace("B and A", "A and B")


def test_pairing_of_a_worked_example_has_the_expected_ids() -> None:
    base = outcome([1, 2, 3, 4, 5, 6], [False, False, False, True, True, True])
    a = outcome([1, 2, 3, 4, 5, 6], [True, True, False, True, False, False])
    b = outcome([6, 5, 4, 3, 2, 1], [False, True, True, True, False, True])
    found = pair(side(a, base), side(b, base))
    assert found.both.tolist() == [1, 4]
    assert found.only_a.tolist() == [2]
    assert found.only_b.tolist() == [3, 5]
    assert found.neither.tolist() == [6]
    changed = effects(found)
    assert [ids.tolist() for ids in attrs.astuple(changed.gained, recurse=False)] == [[1], [2], [3]]
    assert [ids.tolist() for ids in attrs.astuple(changed.lost, recurse=False)] == [[6], [5], []]


def test_outcome_rows_have_all_texts_of_their_examples() -> None:
    whole = outcome([7, 3, 5], [True, False, True], texts=("7a", "7b", "3a", "3b", "5a", "5b"))
    assert rows_of(whole, np.array([5, 7])).texts == ("5a", "5b", "7a", "7b")


def test_loss_difference_omits_non_finite_losses() -> None:
    a = outcome([1, 2, 3, 4], [True] * 4, [0.5, np.inf, np.nan, 0.25])
    b = outcome([1, 2, 3, 4], [True] * 4, [1.0, np.inf, 1.0, 1.25])
    found = loss_difference(pair(side(a, a), side(b, b)))
    assert found is not None
    assert (found.mean, found.examples, found.method) == (-0.75, 2, "bca")
    everywhere = outcome([1, 2, 3, 4], [True] * 4, [np.nan] * 4)
    assert loss_difference(pair(side(a, a), side(everywhere, everywhere))) is None


def test_normal_loss_interval_is_close_to_the_bootstrap_interval() -> None:
    rng = np.random.default_rng(0)
    widths = dict[str, float]()
    for n in (MAX_BOOTSTRAP, MAX_BOOTSTRAP + 1):
        a, b = (outcome(range(n), [True] * n, rng.normal(size=n)) for _ in range(2))
        found = loss_difference(pair(side(a, a), side(b, b)))
        assert found is not None
        assert found.interval is not None
        widths[found.method] = found.interval[1] - found.interval[0]
    # Two samples of 2,000 have standard deviations within a few percent; the bootstrap's ends waver by one.
    assert_close(widths["normal"], widths["bca"], rtol=0.1, atol=0, what="width")


def test_shown_examples_are_those_with_the_largest_difference_in_loss() -> None:
    a = outcome([1, 2, 3, 4], [True] * 4, [0.1, 0.1, np.nan, 0.1])
    b = outcome([1, 2, 3, 4], [False] * 4, [1.0, 3.0, 1.0, np.inf])
    found = pair(side(a, a), side(b, b))
    assert [one.id for one in select_examples(found, found.only_a, 10)] == [4, 2, 1, 3]
    assert [one.id for one in select_examples(found, found.only_a, 2)] == [4, 2]


def comparison(right_a: int, right_b: int, n: int) -> Comparison:
    a, b = (outcome(range(n), np.arange(n) < k, [0.5] * n) for k in (right_a, right_b))
    return compare(side(a, a, digest="a"), side(b, b, digest="b"), no_data)


@pytest.mark.parametrize(
    ("right_a", "right_b", "said"),
    [
        (50, 50, "A and B are right on the same of 100 examples"),
        (55, 50, "no significant difference in accuracy on 100 examples (p = 0.062)"),
        (56, 50, "A is right more often, by 6.0 points (p = 0.031)"),
        (50, 80, "B is right more often, by 30.0 points (p < 0.001)"),
    ],
)
def test_verdict_follows_the_exact_test(right_a: int, right_b: int, said: str) -> None:
    assert verdict(comparison(right_a, right_b, 100)) == said


def test_verdict_says_when_loss_and_accuracy_disagree() -> None:
    n = 100
    a = outcome(range(n), [True] * n, np.linspace(1.0, 1.1, n))
    b = outcome(range(n), np.arange(n) < 50, np.linspace(0.5, 0.7, n))
    found = compare(side(a, a, digest="a"), side(b, b, digest="b"), no_data)
    assert verdict(found).endswith("(p < 0.001), though the loss of B is lower")


def test_data_without_common_examples_are_refused() -> None:
    a, b = outcome([1, 2], [True, True]), outcome([3, 4], [True, True])
    with pytest.raises(UsageError, match="have no test example in common"):
        compare(side(a, a), side(b, b, hashes={}), no_data)


def test_unequal_data_without_the_data_are_compared_with_two_warnings() -> None:
    a, b = outcome([1, 2], [True, True]), outcome([2, 3, 4], [True, False, True])
    found = compare(side(a, a), side(b, b, hashes={"data": "other"}), no_data)
    assert found.same_data is False
    assert found.same_weights is None
    assert len(found.pairing) == 1
    assert found.warnings == (
        "the data differ; only the one common example is compared; A has 1 others, B 2",
        "whether equal ids mean equal examples could not be checked: no data here",
    )


def contents(labels: list[int], pictures: list[float], classes: tuple[str, ...]) -> LoadedSplit:
    """Examples with ids 1, 2, …"""
    ids = np.arange(1, len(labels) + 1)
    rows = Examples(ids=ids, inputs=np.array(pictures)[:, None], labels=np.array(labels, dtype=np.int64))
    return LoadedSplit.of(Splits(train=rows, validation=rows, test=rows, classes=classes), "test")


def test_examples_with_different_targets_are_omitted() -> None:
    a, b = outcome([1, 2, 3, 4], [True] * 4), outcome([1, 2, 3, 4], [True, False, False, True])
    sides = side(a, a), side(b, b, hashes={"data": "other"})
    # Other numbers for the same classes are the same classes; the second is another one, the third another picture.
    loaded = {
        "d": contents([0, 1, 1, 0], [0.0, 0.1, 0.2, 0.3], ("cat", "dog")),
        "other": contents([1, 1, 0, 1], [0.0, 0.1, 9.9, 0.3], ("dog", "cat")),
    }
    found = compare(*sides, lambda one: loaded[one.hashes["data"]])
    assert found.pairing.ids.tolist() == [1, 3, 4]
    assert (found.pairing.others_a, found.pairing.others_b) == (1, 1)
    assert found.warnings == (
        "the data differ; the 4 examples have the same ids in both",
        "1 of them are left out: their class differs between the data",
        "1 of them have the same id and answer, but a different input",
    )
    assert [(one.id, one.expected, one.a.text, one.b.text) for one in found.only_a] == [
        (3, "dog", "dog", "dog")
    ]


def test_data_with_disjoint_classes_are_refused() -> None:
    one = outcome([1, 2], [True, True])
    loaded = {
        "d": contents([0, 1], [0.0, 0.1], ("a", "b")),
        "other": contents([0, 1], [0.0, 0.1], ("c", "d")),
    }
    with pytest.raises(UsageError, match="no test example in common"):
        compare(side(one, one), side(one, one, hashes={"data": "other"}), lambda s: loaded[s.hashes["data"]])


def test_differing_keys_list_plugins_first_and_omit_names() -> None:
    a = {"name": "a", "seed": 0, "basis": {"use": "rotate", "exhausted": "stop"}, "optimizer": {"lr": 0.1}}
    b = {"name": "b", "seed": 1, "basis": {"use": "fixed"}, "optimizer": {"lr": 0.1}}
    assert list(spec_differences(a, b).items()) == [("basis.use", ("rotate", "fixed")), ("seed", (0, 1))]


def test_titles_are_name_and_hash_for_any_spelling_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy" / "abc").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "toy" / "abc")
    one = outcome([1], [True])
    assert side(one, one, path=Path()).title == "toy/abc"
