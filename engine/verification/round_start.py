"""Compares where a round begins: singular directions of the base weights, and the frames a basis makes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from itertools import accumulate, takewhile

from ..boosting.round_plan import is_data_driven
from ..boosting.round_setup import NothingToRefitError
from ..boosting.rounds import RoundRunner
from ..contracts import Frame
from ..spec.ranks import Ranks
from .criterion import Criterion
from .directions import Matrix, WatchedView, compare_blocks, compare_frames, compare_values, gaps_of
from .findings import Finding
from .session import Session, at


def compare_directions(session: Session, number: int) -> None:
    """Singular values and leading subspaces of every base weight, asked for anew: merges must not change them."""
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
    """How many leading directions the blocks of rounds end at, up to all of them."""
    ends = takewhile(lambda end: end < depth, accumulate(ranks))
    return sorted({*ends, depth} - {0})


def frames_of_weights(session: Session, number: int) -> dict[str, Frame]:
    """Frames that the spec's basis makes of each one's own directions. Returns the truth's.

    None where they hang on data. A fully corrective round has those of earlier rounds, which are the truth's for everybody; none where
    no earlier round was merged.
    """
    truth, candidate = session.runners.truth, session.runners.candidate
    spec = truth.experiment.spec
    if is_data_driven(spec) and not spec.boosting.is_refit(number):
        return {}
    for runner in (truth, candidate):
        for view in _views(runner).values():
            view.forget()
    if spec.boosting.is_refit(number):
        with suppress(NothingToRefitError):
            return truth.frames(number)
        return {}
    right = truth.frames(number)
    with session.blamed(number, "frames", "every site"):
        found = candidate.frames(number)
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
    """Signed columns of every site's frame against the truth's, just made."""
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


def _views(runner: RoundRunner) -> dict[str, WatchedView]:
    return {name: view for name, view in runner.experiment.views.items() if isinstance(view, WatchedView)}


def _merged_values(session: Session, site: str, view: WatchedView) -> Matrix | None:
    """Singular values of the truth's merged weight, where a basis asked for its directions."""
    if not view.merged:
        return None
    count = min(max(view.merged) + 2, *view.shape)
    return session.models["truth"].directions(site, count, merged=True).S
