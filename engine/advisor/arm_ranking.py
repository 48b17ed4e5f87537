"""How arms would be ranked by the energy that they hold, against how they ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import attrs

By = Literal["first", "together"]
WAYS: tuple[By, ...] = ("first", "together")


@attrs.frozen(kw_only=True)
class ArmEnergy:
    """One arm: what a look says of it, and what became of it."""

    arm: str
    block: str
    basis: str
    adapter: str
    rank: int
    rounds: int
    sampler: str
    refits: bool
    first: float | None
    """Held-out share that the first round captures with the arm's own core; None where the adapter has no frame, or there is no round."""
    together: float | None
    """All its rounds together."""
    metric: float
    """The study's metric, mean over seeds."""


@attrs.frozen(kw_only=True)
class Verdict:
    """One way of ranking, in one block."""

    block: str
    by: By
    picked: str
    best: str
    hit: bool
    """Whether the arm that ranks first is the study's best, or one that has the same metric."""
    lost: float
    """The best arm's metric less the picked one's, in the metric's own unit; positive where the pick is worse."""
    spearman: float | None
    """Rank correlation of captured energy with the metric (its sign turned where lower is better); None below three arms or on ties."""
    arms: int


def judge(arms: Sequence[ArmEnergy], by: By, *, lower: bool) -> Verdict:
    """Rank arms of one block, all of which have frames and a finite metric."""
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
    from scipy.stats import spearmanr  # noqa: PLC0415 - heavy, and needed here alone

    if len(captured) < 3 or len(set(captured)) < 2 or len(set(metric)) < 2:
        return None
    coefficient: Any = spearmanr(captured, metric)
    return float(coefficient.statistic)
