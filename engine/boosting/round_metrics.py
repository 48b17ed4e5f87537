"""What is recorded of a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..contracts import Batch, Outcome, Refusal, Site, Training, Update
from ..contracts.records import RoundRecord
from ..runs.provenance import memory_bytes
from ..sdk.judge import metrics_of
from ..sdk.rank import RankReport, overlap, rank_of
from .rollouts import Rollout
from .tokens import SPLITS


def trained_on(batches: Sequence[Batch] | Rollout) -> dict[str, Any]:
    """How many different examples were drawn, and what was answered to them."""
    drawn = batches.batches if isinstance(batches, Rollout) else batches
    indices = [batch.indices for batch in drawn if len(batch)]
    facts = {"rollouts": batches.facts} if isinstance(batches, Rollout) else {}
    return {"trained_on": len(np.unique(np.concatenate(indices))) if indices else 0, **facts}


def without_signal(batches: Sequence[Batch] | Rollout) -> Refusal | None:
    """A round in which no answer was better than another has trained nothing."""
    if not isinstance(batches, Rollout) or any(len(batch) for batch in batches.batches):
        return None
    return Refusal("all answers to a prompt were rewarded alike, in every step: nothing could be learned")


def loss_ends(training: Training) -> dict[str, float | None]:
    """The loss of the first and the last batch."""
    losses = training.losses
    return {"loss_first": float(losses[0]), "loss_last": float(losses[-1])} if len(losses) else {}


def overlap_of(
    updates: Mapping[str, Update],
    ensemble: Sequence[tuple[Mapping[str, Update], float]],
    so_far: float | None,
) -> float | None:
    """The largest cosine between a round's directions and any earlier round's, or that of earlier rounds among themselves."""
    found = [
        overlap(update, [earlier[site] for earlier, _ in ensemble if site in earlier])
        for site, update in updates.items()
    ]
    return max((x for x in (*found, so_far) if x is not None), default=None)


def ranks_of(
    ensemble: Sequence[tuple[Mapping[str, Update], float]], sites: Sequence[Site]
) -> dict[str, RankReport]:
    """What the ensemble spans at every site."""
    return {
        site.name: rank_of([(u[site.name], s) for u, s in ensemble if site.name in u], site.shape)
        for site in sites
    }


def record_of(
    number: int, status: Any, outcomes: Mapping[str, Outcome], ranks: Mapping[str, RankReport], **facts: Any
) -> RoundRecord:
    """A round's line: metrics of every split, ranks of every site, memory so far, and the facts given."""
    return RoundRecord(
        round=number,
        status=status,
        **{split: metrics_of(outcomes[split]) for split in SPLITS},
        rank={site: report.rank for site, report in ranks.items()},
        effective_rank={site: report.effective for site, report in ranks.items()},
        memory_bytes=memory_bytes(),
        **facts,
    )
