"""Pairs of arms that differ in one thing alone: whether what would have been advised came out ahead."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import attrs

from .advice import Advice
from .findings import Findings
from .studies import YARDSTICKS

Topic = Literal["basis", "core", "rounds", "refits", "sampler"]
QUESTIONS: tuple[Topic, ...] = ("basis", "core", "rounds", "refits", "sampler")
"""What arms can be told apart by; ranks and sites are advised too, but arms with others train other numbers."""
Outcome = Literal["hit", "miss", "open"]

ONE_SHOT, BOOSTING = "one shot", "boosting"
WITH, WITHOUT = "with", "without"


@attrs.frozen(kw_only=True)
class Kind:
    """What an arm is, as far as advice is about it."""

    basis: str
    core: str
    rounds: str
    refits: str
    sampler: str

    @classmethod
    def of(cls, found: Findings, settings: Mapping[str, Any] | None = None) -> Kind:
        """That of the spec that was looked at, under further settings."""
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
        """That of the spec with everything done that is advised."""
        return cls.of(found, {key: value for one in advice for key, value in one.settings.items()})

    def __getitem__(self, question: Topic) -> str:
        """The answer to one question."""
        answer: str = getattr(self, question)
        return answer

    def but(self, question: Topic) -> tuple[str, ...]:
        """All else that two arms must have in common to be a pair.

        One round learns from all and has no refits, so of rounds against one shot only basis and core are the same.
        """
        rest = ("basis", "core") if question == "rounds" else QUESTIONS
        return tuple(self[other] for other in QUESTIONS if other in rest and other != question)


@attrs.frozen(kw_only=True)
class EndedArm:
    """Where an arm that has frames ended."""

    arm: str
    kind: Kind
    values: Mapping[int, float]
    """By seed, the study's metric; its sign turned where lower is better."""


@attrs.frozen(kw_only=True)
class Pair:
    """An arm as advised, and one that differs from it in the question alone."""

    arm: str
    other: str
    instead: str
    """What the other has in place of what is advised."""
    differences: tuple[float, ...]
    """By seed that both have finished, in the metric's own unit; positive where the arm as advised is better."""

    @property
    def mean(self) -> float:
        """Over seeds."""
        return statistics.fmean(self.differences)

    @property
    def outcome(self) -> Outcome:
        """A hit or a miss where all seeds agree."""
        if all(d > 0 for d in self.differences):
            return "hit"
        return "miss" if all(d < 0 for d in self.differences) else "open"


@attrs.frozen(kw_only=True)
class Judged:
    """One question in one block."""

    block: str
    question: Topic
    advised: str
    pairs: tuple[Pair, ...]

    @property
    def outcome(self) -> Outcome:
        """That of most pairs whose seeds agree."""
        counts = [sum(pair.outcome == way for pair in self.pairs) for way in ("hit", "miss")]
        if counts[0] == counts[1]:
            return "open"
        return "hit" if counts[0] > counts[1] else "miss"

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        pairs = [{**attrs.asdict(pair), "outcome": pair.outcome} for pair in self.pairs]
        return {**attrs.asdict(self), "pairs": pairs, "outcome": self.outcome}


def judge_advice(block: str, advised: Kind, arms: Sequence[EndedArm]) -> tuple[Judged, ...]:
    """Every question, with all pairs of arms that can answer it; one that no pair answers has none."""
    return tuple(
        Judged(
            block=block,
            question=question,
            advised=advised[question],
            pairs=tuple(_pairs(question, advised, arms)),
        )
        for question in QUESTIONS
    )


def _pairs(question: Topic, advised: Kind, arms: Sequence[EndedArm]) -> Iterator[Pair]:
    as_advised = [arm for arm in arms if arm.kind[question] == advised[question]]
    if question != "basis":  # what yardsticks do with refits, say, is nobody's question
        as_advised = [arm for arm in as_advised if arm.kind.basis not in YARDSTICKS]
    if question == "rounds" and advised.rounds == BOOSTING:
        as_advised = _nearest(as_advised, advised)
    for arm in as_advised:
        for other in arms:
            differs = other.kind[question] != advised[question]
            seeds = [seed for seed in arm.values if seed in other.values]
            if differs and seeds and other.kind.but(question) == arm.kind.but(question):
                yield Pair(
                    arm=arm.arm,
                    other=other.arm,
                    instead=other.kind[question],
                    differences=tuple(arm.values[seed] - other.values[seed] for seed in seeds),
                )


def _nearest(arms: Sequence[EndedArm], advised: Kind) -> list[EndedArm]:
    """Those most like what is advised: rounds are advised together with their sampler and refits."""

    def alike(arm: EndedArm) -> int:
        return (arm.kind.sampler == advised.sampler) + (arm.kind.refits == advised.refits)

    most = max(map(alike, arms), default=0)
    return [arm for arm in arms if alike(arm) == most]
