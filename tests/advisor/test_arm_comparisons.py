"""Pairs of arms that differ in one thing, judged by hand."""

import attrs
import pytest
from arm_comparisons import EndedArm, Kind, judge_advice

from boostlora.engine.advisor.rules import recommend

from .advisor_toys import basis, findings

ADVISED = Kind(basis="gradient", core="lora-xs", rounds="boosting", refits="with", sampler="hardest")


def ended(name, *values, **changes):
    return EndedArm(arm=name, kind=attrs.evolve(ADVISED, **changes), values=dict(enumerate(values)))


def judged(topic, *arms, advised=ADVISED):
    return next(one for one in judge_advice("", advised, arms) if one.topic == topic)


@pytest.mark.parametrize(
    ("other", "outcome"), [((0.7, 0.6), "hit"), ((0.9, 0.95), "miss"), ((0.7, 0.95), "open")]
)
def test_pair_is_decided_if_all_seeds_agree(other, outcome):
    found = judged("basis", ended("a", 0.8, 0.9), ended("b", *other, basis="rotate"))
    assert found.outcome == outcome
    (pair,) = found.pairs
    assert (pair.arm, pair.other, pair.instead) == ("a", "b", "rotate")
    assert pair.mean == pytest.approx((0.8 - other[0] + 0.9 - other[1]) / 2)


def test_arms_that_differ_in_other_topics_are_not_paired():
    arms = [ended("a", 0.8), ended("b", 0.5, basis="rotate", core="diagonal")]
    assert all(one.pairs == () for one in judge_advice("", ADVISED, arms))


def test_pairs_may_differ_from_the_advice_in_other_topics():
    arms = [ended("a", 0.8, core="diagonal"), ended("b", 0.5, core="diagonal", basis="rotate")]
    assert judged("basis", *arms).outcome == "hit"


def test_seeds_that_only_one_arm_has_do_not_count():
    a, b = ended("a", 0.8, 0.1), ended("b", 0.5, basis="rotate")
    assert judged("basis", a, b).pairs[0].differences == pytest.approx((0.3,))
    assert judged("basis", a, ended("b", basis="rotate")).pairs == ()


def test_topic_is_decided_by_most_pairs():
    worse = [ended(name, 0.5, basis=name) for name in ("rotate", "random")]
    better = ended("fixed", 0.9, basis="fixed")
    assert judged("basis", ended("a", 0.8), *worse, better).outcome == "hit"
    assert judged("basis", ended("a", 0.8), worse[0], better).outcome == "open"


def test_reference_bases_count_only_for_the_basis_topic():
    arms = [ended("with", 0.5, basis="fixed"), ended("without", 0.6, basis="fixed", refits="without")]
    assert judged("refits", *arms).pairs == ()
    assert len(judged("basis", ended("a", 0.8), *arms).pairs) == 1


def test_rounds_are_compared_with_one_shot_by_the_arms_closest_to_the_advice():
    shot = ended("shot", 0.7, rounds="one shot", sampler="all", refits="without")
    plain = ended("plain", 0.1, sampler="failures", refits="without")
    found = judged("rounds", ended("a", 0.8), plain, shot)
    assert [(pair.arm, pair.other) for pair in found.pairs] == [("a", "shot")]
    assert found.outcome == "hit"
    assert [pair.arm for pair in judged("rounds", plain, shot).pairs] == ["plain"]


def test_advised_kind_is_the_specs_with_the_advice_applied():
    found = findings(
        basis("rotate", 0.02, own=True),
        basis("gradient", 0.5, data_driven=True, adapter=0.1),
        adapter="tinylora",
    )
    assert Kind.of(found).basis == "rotate"
    assert Kind.advised(found, recommend(found)) == ADVISED
