"""Frames on disk that hang on data: held to what any right backend's have in common, since their vectors are not defined.

Columns are orthonormal. They are orthogonal to those of earlier rounds, on every side on which the truth's own frames of the round are.
And they capture as much as the truth's do of what the basis asked about: of a gradient `||U' G V||_F`, of inputs `tr(V' C V)`, by the truth's
own products. A direction that is nearly as good as another is as good here.
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
ROOM = 4.0
"""Times that errors of products may enter into what is captured: of the truth and of the run, each in the search and in its frame."""


def hold_recorded(
    session: Session,
    number: int,
    heard: CalibratedFrames,
    recorded: Mapping[str, Frame],
    criterion: Criterion,
) -> list[Finding]:
    """Every recorded frame of a site that the truth adapts too."""
    both = [site for site in recorded if site in heard.frames]
    captured = _captured(session, number, heard, {site: recorded[site] for site in both}, criterion)
    findings = list[Finding]()
    for site in both:
        where, right, found = at(number, QUANTITY, site), heard.frames[site], recorded[site]
        if [x.shape for x in (found.U, found.S, found.V)] != [x.shape for x in (right.U, right.S, right.V)]:
            findings.append(attrs.evolve(where, error=math.inf, note="of another shape"))
            continue
        used = session.runners.truth.experiment.views[site].used
        held = [*_shape_of(where, right, found, used, criterion), *captured.get(site, ())]
        findings.append(attrs.evolve(worst(held), compared=len(held)))
    return findings


def other_sites(heard: CalibratedFrames, recorded: Mapping[str, Frame]) -> str:
    """What is to be said where the run adapted other sites than the truth would."""
    strange = set(recorded) ^ set(heard.frames)
    return (
        "the run adapted other sites than the truth would have; whether they are as steep was not compared"
        if strange
        else ""
    )


def _shape_of(
    where: Finding, right: Frame, found: Frame, used: Sequence[Frame], criterion: Criterion
) -> list[Finding]:
    """Singular values, orthonormal columns, and earlier rounds kept clear of."""
    size = max(len(right.U), len(right.V))
    bound = criterion.sine(1.0, math.inf, size) or 0.0
    held = [
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
        held.append(attrs.evolve(where, error=off, allowed=bound, note=f"{side}: orthonormal columns"))
        if used:
            earlier = np.hstack([getattr(frame, side) for frame in used])
            if magnitude(earlier.T @ ours) <= bound:
                overlap = magnitude(earlier.T @ theirs)
                note = f"{side}: orthogonal to earlier rounds"
                held.append(attrs.evolve(where, error=overlap, allowed=bound, note=note))
    return held


def _captured(
    session: Session,
    number: int,
    heard: CalibratedFrames,
    recorded: Mapping[str, Frame],
    criterion: Criterion,
) -> dict[str, list[Finding]]:
    """By site, what recorded frames lack of what the truth's capture; of sites where no weight has a say in the frame."""
    sites = [site for site in recorded if session.runners.spectra[site] is None]
    found = dict[str, list[Finding]]()
    for kind in (GRADIENTS, ACTIVATIONS):
        question = next((asked for asked in heard.of_basis if asked.kind == kind), None)
        if question is None or not sites:
            continue
        pairs = {site: (heard.frames[site], recorded[site]) for site in sites}
        both = {site: np.hstack([frame.V for frame in pair]) for site, pair in pairs.items()}
        asked = attrs.evolve(question, right=both, left={})
        answers = {
            role: asked.of(model) for role, model in session.models.items() if role in {"truth", "yardstick"}
        }
        for site, pair in pairs.items():
            t = answers["truth"][site, "right"]
            yard = distance(answers.get("yardstick", answers["truth"])[site, "right"], t)
            error, allowed = _lack(asked, pair, t, criterion.allowed(kind, yard, magnitude(t)))
            one = at(number, QUANTITY, site, error=error, allowed=allowed, note=f"less captured of {kind}")
            found.setdefault(site, []).append(one)
    return found


def _lack(
    asked: OracleQuery, pair: tuple[Frame, Frame], products: Matrix, entry: float
) -> tuple[float, float]:
    """What the second frame captures less than the first, and how much that may be where entries of products are off by `entry`."""
    right, found = pair
    ours, theirs = np.split(products, 2, axis=1)
    room = ROOM * entry * math.sqrt(products.size)
    if asked.kind == GRADIENTS:
        more, less = (float(np.linalg.norm(f.U.T @ P)) for f, P in ((right, ours), (found, theirs)))
        return max(more - less, 0.0), room
    more, less = (float(np.sum(f.V * P)) for f, P in ((right, ours), (found, theirs)))
    return max(more - less, 0.0), room * right.rank
