"""Compares where a round begins: singular directions of the base weights, and the frames a basis makes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from itertools import accumulate, takewhile

from ..boosting.round_setup import NothingToRefitError
from ..boosting.rounds import Player
from ..contracts import Frame
from ..spec.ranks import Ranks
from .criterion import Criterion
from .directions import Matrix, WatchedView, compare_blocks, compare_frames, compare_values, gaps_of
from .findings import Finding
from .gradient_products import informed
from .session import Bench, at


def compare_directions(bench: Bench, number: int) -> None:
    """Singular values and leading subspaces of every base weight, asked for anew: merges must not change them."""
    truth = bench.trio.truth.experiment
    for done, plan in enumerate(truth.plan.sites):
        site, right = plan.site.name, bench.trio.spectra[plan.site.name]
        if right is None:
            continue
        bench.report("directions", done, len(truth.plan.sites))
        with bench.asking(number, "directions", site):
            found = bench.models["candidate"].directions(site, right.rank)
        counts = _ends(truth.spec.ranks, plan.depth)
        where = at(number, "directions", site)
        bench.add(
            [
                compare_values(right, found, where, bench.criterion),
                compare_blocks(right, found, counts, where, bench.criterion),
            ]
        )


def _ends(ranks: Ranks, depth: int) -> list[int]:
    """How many leading directions the blocks of rounds end at, up to all of them."""
    ends = takewhile(lambda end: end < depth, accumulate(ranks))
    return sorted({*ends, depth} - {0})


def frames_of_weights(bench: Bench, number: int) -> dict[str, Frame]:
    """Frames that the spec's basis makes of each one's own directions. Returns the truth's.

    None where they hang on data. A fully corrective round has those of earlier rounds, which are the truth's for everybody; none where
    no earlier round was merged.
    """
    truth, candidate = bench.trio.truth, bench.trio.candidate
    spec = truth.experiment.spec
    if informed(spec) and not spec.boosting.is_refit(number):
        return {}
    for player in (truth, candidate):
        for view in _views(player).values():
            view.forget()
    if spec.boosting.is_refit(number):
        with suppress(NothingToRefitError):
            return truth.frames(number)
        return {}
    right = truth.frames(number)
    with bench.asking(number, "frames", "every site"):
        found = candidate.frames(number)
    bench.add(match_frames(bench, number, "frames", right, found, criterion=bench.criterion))
    return right


def match_frames(
    bench: Bench,
    number: int,
    quantity: str,
    right: Mapping[str, Frame],
    found: Mapping[str, Frame],
    *,
    criterion: Criterion,
) -> list[Finding]:
    """Signed columns of every site's frame against the truth's, just made."""
    findings, views = list[Finding](), _views(bench.trio.truth)
    for site, frame in right.items():
        where, view, base = at(number, quantity, site), views[site], bench.trio.spectra[site]
        if site not in found:
            findings.append(at(number, quantity, site, error=math.inf, note="no frame"))
            continue
        gaps = gaps_of(view, frame.rank, None if base is None else base.S, _merged_values(bench, site, view))
        findings.append(compare_frames(frame, found[site], gaps, where, criterion))
    return findings


def _views(player: Player) -> dict[str, WatchedView]:
    return {name: view for name, view in player.experiment.views.items() if isinstance(view, WatchedView)}


def _merged_values(bench: Bench, site: str, view: WatchedView) -> Matrix | None:
    """Singular values of the truth's merged weight, where a basis asked for its directions."""
    if not view.merged:
        return None
    count = min(max(view.merged) + 2, *view.shape)
    return bench.models["truth"].directions(site, count, merged=True).S
