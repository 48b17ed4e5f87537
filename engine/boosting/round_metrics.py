"""Metrics of a round: lost and gained examples, losses, ranks, effective ranks, and the overlap of directions.

With singular values `sigma` of a site's accumulated update `sum_t s_t dW_t` and `p = sigma / sum sigma`, the effective rank is
`exp(-sum_i p_i log p_i)` (Roy and Vetterli, 2007). The overlap of a round with an earlier round t is
`max(||U_t' U||_2, ||V_t' V||_2)`, the cosine of the smallest principal angle (Bjorck and Golub, 1973): 0 for orthogonal
directions, 1 for a direction used twice. See `sdk.rank`.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np
from threadpoolctl import threadpool_limits

from ..contracts import Batch, Outcome, Refusal, Site, Training, Update
from ..contracts.records import RoundRecord, Status
from ..runs.provenance import memory_bytes
from ..sdk.judge import metrics_of
from ..sdk.rank import RankReport, overlap, rank_of
from .rollouts import Rollout
from .tokens import SPLITS


class Clock:
    """Seconds spent in each phase of a round."""

    def __init__(self) -> None:
        self.seconds = dict[str, float]()

    @contextmanager
    def __call__(self, phase: str) -> Generator[None]:
        """Add the time spent inside to a phase. A phase may be entered several times."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start


@attrs.define(eq=False)
class RecordDraft:
    """The fields of a `RoundRecord` that are known so far, by name; the others keep their defaults."""

    known: dict[str, Any]

    @classmethod
    def of(cls, number: int, **known: Any) -> RecordDraft:
        """A draft of round `number`."""
        return cls({"round": number, **known})

    def add(self, **known: Any) -> None:
        """Set fields of the record."""
        self.known |= known

    def add_batches(self, batches: Sequence[Batch] | Rollout) -> None:
        """Number of distinct examples in the batches, and reward statistics of rollouts."""
        drawn = batches.batches if isinstance(batches, Rollout) else batches
        indices = [batch.indices for batch in drawn if len(batch)]
        self.add(
            trained_on=len(np.unique(np.concatenate(indices))) if indices else 0,
            rollouts=batches.metrics if isinstance(batches, Rollout) else None,
        )

    def add_training(self, training: Training) -> None:
        """Number of trained parameters, and the loss of the first and the last batch."""
        self.add(parameters=training.parameters)
        if len(training.losses):
            self.add(loss_first=float(training.losses[0]), loss_last=float(training.losses[-1]))

    def add_outcomes(self, before: Outcome, after: Outcome) -> None:
        """Training examples that changed from right to wrong (lost), and from wrong to right (gained)."""
        self.add(
            # Counted by example: the accuracy alone hides examples lost where as many are gained.
            lost=int(np.sum(before.correct & ~after.correct)),
            gained=int(np.sum(~before.correct & after.correct)),
        )

    def finish(
        self,
        status: Status,
        outcomes: Mapping[str, Outcome],
        ranks: Mapping[str, RankReport],
        seconds: Mapping[str, float],
        reason: str = "",
    ) -> RoundRecord:
        """The record, completed by metrics of every split, ranks of every site, and peak memory."""
        return RoundRecord(
            status=status,
            reason=reason,
            **{split: metrics_of(outcomes[split]) for split in SPLITS},
            rank={site: report.rank for site, report in ranks.items()},
            effective_rank={site: report.effective for site, report in ranks.items()},
            seconds=dict(seconds),
            memory_bytes=memory_bytes(),
            **self.known,
        )


def refuse_without_signal(batches: Sequence[Batch] | Rollout) -> Refusal | None:
    """A refusal where every group of answers had zero reward variance, so that no step had a gradient; otherwise None."""
    if not isinstance(batches, Rollout) or any(len(batch) for batch in batches.batches):
        return None
    # The reason is part of the record, and so of the run's digest: its text must not change.
    return Refusal("all answers to a prompt were rewarded alike, in every step: nothing could be learned")


def overlap_of(
    updates: Mapping[str, Update],
    ensemble: Sequence[tuple[Mapping[str, Update], float]],
    so_far: float | None,
) -> float | None:
    """The largest overlap of any two rounds, over sites: of `updates` with the rounds of `ensemble`, or `so_far` among those.

    None where no site was changed twice.
    """
    with threadpool_limits(
        1, user_api="blas"
    ):  # its rounding, and so the record, must not depend on the number of cores
        found = [
            overlap(update, [earlier[site] for earlier, _ in ensemble if site in earlier])
            for site, update in updates.items()
        ]
    return max((x for x in (*found, so_far) if x is not None), default=None)


def ranks_of(
    ensemble: Sequence[tuple[Mapping[str, Update], float]], sites: Sequence[Site]
) -> dict[str, RankReport]:
    """Numerical and effective rank of `sum_t s_t dW_t`, by site."""
    with threadpool_limits(1, user_api="blas"):
        return {
            # Rounds that did not change a site contribute nothing to its sum.
            site.name: rank_of([(u[site.name], s) for u, s in ensemble if site.name in u], site.shape)
            for site in sites
        }
