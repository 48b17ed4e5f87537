"""Compare the start of a round: singular directions of the base weights, and the frames of the basis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from itertools import accumulate, takewhile

from ..boosting.round_plan import RoundPlan
from ..boosting.round_setup import NothingToRefitError
from ..boosting.rounds import RoundRunner
from ..contracts import Frame
from ..spec.ranks import Ranks
from .criterion import Criterion
from .directions import Matrix, RecordingView, compare_blocks, compare_frames, compare_values, gaps_of
from .findings import Finding
from .session import Session, at


def compare_directions(session: Session, number: int) -> None:
    """Compare singular values and leading subspaces of every base weight, recomputed, since merges must not change them."""
    truth = session.runners.truth.experiment
    for done, plan in enumerate(truth.plan.sites):
        site, right = plan.site.name, session.runners.spectra[plan.site.name]
        if right is None:
            continue
        session.report("directions", done, len(truth.plan.sites))
        with session.blamed(number, "directions", site):
            found = session.models["candidate"].directions(site, right.rank)
        counts = _ends(truth.spec.ranks, plan.depth)
        where = at(number, "directions", site)
        session.add(
            [
                compare_values(right, found, where, session.criterion),
                compare_blocks(right, found, counts, where, session.criterion),
            ]
        )


def _ends(ranks: Ranks, depth: int) -> list[int]:
    """Cumulative ranks of rounds up to `depth`."""
    ends = takewhile(lambda end: end < depth, accumulate(ranks))
    return sorted({*ends, depth} - {0})


def frames_of_weights(session: Session, plan: RoundPlan) -> dict[str, Frame]:
    """Compare frames that the spec's basis computes from each model's own directions. Returns the truth's.

    Empty for data-driven bases. A fully corrective round has the truth's frames of earlier rounds, or none if no round was
    merged.
    """
    truth, candidate, number = session.runners.truth, session.runners.candidate, plan.number
    if plan.data_driven and not plan.refit:
        return {}
    for runner in (truth, candidate):
        for view in _views(runner).values():
            view.reset()
    if plan.refit:
        with suppress(NothingToRefitError):
            return truth.frames(plan)
        return {}
    right = truth.frames(plan)
    with session.blamed(number, "frames", "every site"):
        found = candidate.frames(plan)
    session.add(match_frames(session, number, "frames", right, found, criterion=session.criterion))
    return right


def match_frames(
    session: Session,
    number: int,
    quantity: str,
    right: Mapping[str, Frame],
    found: Mapping[str, Frame],
    *,
    criterion: Criterion,
) -> list[Finding]:
    """Compare signed columns of every site's frame with the truth's, which must have been computed last."""
    findings, views = list[Finding](), _views(session.runners.truth)
    for site, frame in right.items():
        where, view, base = at(number, quantity, site), views[site], session.runners.spectra[site]
        if site not in found:
            findings.append(at(number, quantity, site, error=math.inf, note="no frame"))
            continue
        gaps = gaps_of(
            view, frame.rank, None if base is None else base.S, _merged_values(session, site, view)
        )
        findings.append(compare_frames(frame, found[site], gaps, where, criterion))
    return findings


def _views(runner: RoundRunner) -> dict[str, RecordingView]:
    return {name: view for name, view in runner.experiment.views.items() if isinstance(view, RecordingView)}


def _merged_values(session: Session, site: str, view: RecordingView) -> Matrix | None:
    """Singular values of the truth's merged weight, if the basis requested its directions."""
    if not view.merged:
        return None
    count = min(max(view.merged) + 2, *view.shape)
    return session.models["truth"].directions(site, count, merged=True).S
