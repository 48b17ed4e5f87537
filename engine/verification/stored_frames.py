"""Checks of stored data-driven frames by the properties that every correct backend's share, since their vectors are not unique.

Columns are orthonormal. They are orthogonal to those of earlier rounds on every side on which the truth's frames are. They
capture as much as the truth's do: of a gradient `||U' G V||_F`, of inputs `tr(V' C V)`, by the truth's own products. Nearly
equivalent directions pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Frame
from .criterion import Criterion
from .findings import Finding, distance, magnitude, worst
from .gradient_products import ACTIVATIONS, GRADIENTS, CalibratedFrames, OracleQuery
from .session import Session, at

Matrix = NDArray[np.float64]
QUANTITY = "recorded frames"
SLACK_FACTOR = 4.0
"""Error terms in the captured norm: truth and run, each in the search and in the frame."""


def compare_stored_frames(
    session: Session,
    number: int,
    calibrated: CalibratedFrames,
    recorded: Mapping[str, Frame],
    criterion: Criterion,
) -> list[Finding]:
    """Check every recorded frame of a site that the truth adapts too."""
    both = [site for site in recorded if site in calibrated.frames]
    captured = _captured(session, number, calibrated, {site: recorded[site] for site in both}, criterion)
    findings = list[Finding]()
    for site in both:
        where, right, found = at(number, QUANTITY, site), calibrated.frames[site], recorded[site]
        if [x.shape for x in (found.U, found.S, found.V)] != [x.shape for x in (right.U, right.S, right.V)]:
            findings.append(attrs.evolve(where, error=math.inf, note="of another shape"))
            continue
        used = session.runners.truth.experiment.views[site].used
        checks = [*_check_frame(where, right, found, used, criterion), *captured.get(site, ())]
        findings.append(attrs.evolve(worst(checks), compared=len(checks)))
    return findings


def other_sites(calibrated: CalibratedFrames, recorded: Mapping[str, Frame]) -> str:
    """A note if the run adapted other sites than the truth."""
    differing = set(recorded) ^ set(calibrated.frames)
    return (
        "the run adapted other sites than the truth; their gradient norms were not compared"
        if differing
        else ""
    )


def _check_frame(
    where: Finding, right: Frame, found: Frame, used: Sequence[Frame], criterion: Criterion
) -> list[Finding]:
    """Check singular values, orthonormal columns, and orthogonality to earlier rounds."""
    size = max(len(right.U), len(right.V))
    bound = criterion.sine(1.0, math.inf, size) or 0.0
    checks = [
        attrs.evolve(
            where,
            error=distance(found.S, right.S),
            allowed=criterion.value(magnitude(right.S), size),
            note="singular values",
        )
    ]
    for side in ("U", "V"):
        ours, theirs = getattr(right, side), getattr(found, side)
        off = distance(theirs.T @ theirs, np.eye(theirs.shape[1]))
        checks.append(attrs.evolve(where, error=off, allowed=bound, note=f"{side}: orthonormal columns"))
        if used:
            earlier = np.hstack([getattr(frame, side) for frame in used])
            if magnitude(earlier.T @ ours) <= bound:
                overlap = magnitude(earlier.T @ theirs)
                note = f"{side}: orthogonal to earlier rounds"
                checks.append(attrs.evolve(where, error=overlap, allowed=bound, note=note))
    return checks


def _captured(
    session: Session,
    number: int,
    calibrated: CalibratedFrames,
    recorded: Mapping[str, Frame],
    criterion: Criterion,
) -> dict[str, list[Finding]]:
    """Compare by site what recorded frames and the truth's capture, for sites whose frames do not depend on the weights."""
    sites = [site for site in recorded if session.runners.spectra[site] is None]
    found = dict[str, list[Finding]]()
    for kind in (GRADIENTS, ACTIVATIONS):
        query = next((query for query in calibrated.of_basis if query.kind == kind), None)
        if query is None or not sites:
            continue
        pairs = {site: (calibrated.frames[site], recorded[site]) for site in sites}
        both = {site: np.hstack([frame.V for frame in pair]) for site, pair in pairs.items()}
        query = attrs.evolve(query, right=both, left={})
        answers = {
            role: query.of(model) for role, model in session.models.items() if role in {"truth", "yardstick"}
        }
        for site, pair in pairs.items():
            t = answers["truth"][site, "right"]
            yard = distance(answers.get("yardstick", answers["truth"])[site, "right"], t)
            error, allowed = _missing_capture(query, pair, t, criterion.allowed(kind, yard, magnitude(t)))
            one = at(number, QUANTITY, site, error=error, allowed=allowed, note=f"less captured of {kind}")
            found.setdefault(site, []).append(one)
    return found


def _missing_capture(
    query: OracleQuery, pair: tuple[Frame, Frame], products: Matrix, entry: float
) -> tuple[float, float]:
    """How much less the second frame captures, and the allowed deficit for products with entrywise error `entry`."""
    right, found = pair
    ours, theirs = np.split(products, 2, axis=1)
    allowed = SLACK_FACTOR * entry * math.sqrt(products.size)
    if query.kind == GRADIENTS:
        more, less = (float(np.linalg.norm(f.U.T @ P)) for f, P in ((right, ours), (found, theirs)))
        return max(more - less, 0.0), allowed
    more, less = (float(np.sum(f.V * P)) for f, P in ((right, ours), (found, theirs)))
    return max(more - less, 0.0), allowed * right.rank
