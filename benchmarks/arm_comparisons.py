"""Arms of a finished study compared: pairs that differ in one part of the advice, and a ranking by captured energy."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs
from scipy.stats import spearmanr

from boostlora.engine.advisor.advice import Advice
from boostlora.engine.advisor.findings import Findings
from boostlora.engine.advisor.studies import YARDSTICKS

Topic = Literal["basis", "core", "rounds", "refits", "sampler"]
TOPICS: tuple[Topic, ...] = ("basis", "core", "rounds", "refits", "sampler")
"""Parts of the advice that are compared. Ranks and sites are advised too, but they change the number of trained parameters."""
Outcome = Literal["hit", "miss", "open"]

ONE_SHOT, BOOSTING = "one shot", "boosting"
WITH, WITHOUT = "with", "without"


@attrs.frozen(kw_only=True)
class Kind:
    """The parts of an arm's spec that the advice covers."""

    basis: str
    core: str
    rounds: str
    refits: str
    sampler: str

    @classmethod
    def of(cls, found: Findings, settings: Mapping[str, Any] | None = None) -> Kind:
        """The kind of the analysed spec, with further settings applied."""
        spec: dict[str, Any] = {
            "basis.use": found.own_basis,
            "adapter.use": found.adapter,
            "rounds": found.rounds,
            "boosting.refit_every": found.refit_every,
            "sampler.use": found.sampler,
        }
        spec |= settings or {}
        one = spec["rounds"] == 1
        return cls(
            basis=spec["basis.use"],
            core=spec["adapter.use"],
            rounds=ONE_SHOT if one else BOOSTING,
            refits=WITH if spec["boosting.refit_every"] and not one else WITHOUT,
            sampler=spec["sampler.use"],
        )

    @classmethod
    def advised(cls, found: Findings, advice: Sequence[Advice]) -> Kind:
        """The kind of the spec with all of the advice applied."""
        return cls.of(found, {key: value for one in advice for key, value in one.settings.items()})

    def __getitem__(self, topic: Topic) -> str:
        """The value of one part."""
        value: str = getattr(self, topic)
        return value

    def but(self, topic: Topic) -> tuple[str, ...]:
        """The other parts, which two arms must share to be a pair.

        One shot trains on all data and has no refits, so rounds and one shot only share basis and core.
        """
        rest = ("basis", "core") if topic == "rounds" else TOPICS
        return tuple(self[other] for other in TOPICS if other in rest and other != topic)


@attrs.frozen(kw_only=True)
class EndedArm:
    """Final metric of an arm that has frames."""

    arm: str
    kind: Kind
    values: Mapping[int, float]
    """The study's metric by seed, negated if lower is better."""


@attrs.frozen(kw_only=True)
class Pair:
    """An arm that follows the advice in one part, and one that differs from it in that part only."""

    arm: str
    other: str
    instead: str
    """The other arm's value of that part."""
    differences: tuple[float, ...]
    """One for each seed that both have finished, in the metric's unit; positive if the advised arm is better."""

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(self.differences)

    @property
    def outcome(self) -> Outcome:
        """A hit or a miss if all seeds agree, else open."""
        if all(d > 0 for d in self.differences):
            return "hit"
        return "miss" if all(d < 0 for d in self.differences) else "open"


@attrs.frozen(kw_only=True)
class Judged:
    """One part of the advice in one block."""

    block: str
    topic: Topic
    advised: str
    pairs: tuple[Pair, ...]

    @property
    def outcome(self) -> Outcome:
        """The more frequent outcome of the pairs whose seeds agree; open on a tie."""
        counts = [sum(pair.outcome == way for pair in self.pairs) for way in ("hit", "miss")]
        if counts[0] == counts[1]:
            return "open"
        return "hit" if counts[0] > counts[1] else "miss"

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        pairs = [{**attrs.asdict(pair), "outcome": pair.outcome} for pair in self.pairs]
        return {**attrs.asdict(self), "pairs": pairs, "outcome": self.outcome}


def judge_advice(block: str, advised: Kind, arms: Sequence[EndedArm]) -> tuple[Judged, ...]:
    """Every part of the advice, with all pairs of arms that differ in it alone; there may be none."""
    return tuple(
        Judged(
            block=block,
            topic=topic,
            advised=advised[topic],
            pairs=tuple(_pairs(topic, advised, arms)),
        )
        for topic in TOPICS
    )


def _pairs(topic: Topic, advised: Kind, arms: Sequence[EndedArm]) -> Iterator[Pair]:
    as_advised = [arm for arm in arms if arm.kind[topic] == advised[topic]]
    if topic != "basis":  # reference bases are not advised, so their other parts do not count
        as_advised = [arm for arm in as_advised if arm.kind.basis not in YARDSTICKS]
    if topic == "rounds" and advised.rounds == BOOSTING:
        as_advised = _nearest(as_advised, advised)
    for arm in as_advised:
        for other in arms:
            differs = other.kind[topic] != advised[topic]
            seeds = [seed for seed in arm.values if seed in other.values]
            if differs and seeds and other.kind.but(topic) == arm.kind.but(topic):
                yield Pair(
                    arm=arm.arm,
                    other=other.arm,
                    instead=other.kind[topic],
                    differences=tuple(arm.values[seed] - other.values[seed] for seed in seeds),
                )


def _nearest(arms: Sequence[EndedArm], advised: Kind) -> list[EndedArm]:
    """The arms closest to the advice, which is to use rounds together with their sampler and refits."""

    def alike(arm: EndedArm) -> int:
        return (arm.kind.sampler == advised.sampler) + (arm.kind.refits == advised.refits)

    most = max(map(alike, arms), default=0)
    return [arm for arm in arms if alike(arm) == most]


By = Literal["first", "together"]
WAYS: tuple[By, ...] = ("first", "together")


@attrs.frozen(kw_only=True)
class ArmEnergy:
    """An arm: the energy that its directions capture, and its final metric."""

    arm: str
    block: str
    basis: str
    adapter: str
    rank: int
    rounds: int
    sampler: str
    refits: bool
    first: float | None
    """Held-out share of the energy that the first round captures with the arm's core; None without a frame or a round."""
    together: float | None
    """The same for all its rounds together."""
    metric: float
    """The study's metric, mean over seeds."""


@attrs.frozen(kw_only=True)
class Verdict:
    """One ranking in one block."""

    block: str
    by: By
    picked: str
    best: str
    hit: bool
    """Whether the arm that ranks first has the best metric."""
    lost: float
    """The best arm's metric minus that of the pick, in the metric's unit; positive if the pick is worse."""
    spearman: float | None
    """Rank correlation of captured energy and metric (negated if lower is better); None below three arms or if all are tied."""
    arms: int


def judge(arms: Sequence[ArmEnergy], by: By, *, lower: bool) -> Verdict:
    """Rank the arms of one block by captured energy. All of them have frames and a finite metric."""
    ranked = [(getattr(arm, by), arm) for arm in arms]
    sign = -1.0 if lower else 1.0
    best = max(ranked, key=lambda pair: sign * pair[1].metric)[1]
    picked = max(ranked, key=lambda pair: pair[0])[1]
    return Verdict(
        block=best.block,
        by=by,
        picked=picked.arm,
        best=best.arm,
        hit=picked.metric == best.metric,
        lost=sign * (best.metric - picked.metric),
        spearman=_spearman([value for value, _ in ranked], [sign * arm.metric for _, arm in ranked]),
        arms=len(ranked),
    )


def _spearman(captured: Sequence[float], metric: Sequence[float]) -> float | None:
    if len(captured) < 3 or len(set(captured)) < 2 or len(set(metric)) < 2:
        return None
    coefficient: Any = spearmanr(captured, metric)
    return float(coefficient.statistic)
