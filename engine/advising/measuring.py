"""Products of the gradient with everything that is to be measured: one pass for all sites and all bases together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Frame
from .capturing import Sides, square_energy
from .framing import Framing, beside
from .looking import Look, Part
from .sketching import Sketch, ask

Matrix = NDArray[np.float64]

HELD_AGAINST: Mapping[Part, frozenset[Part | None]] = {
    "all": frozenset({None, "all"}),
    "one": frozenset({None, "one", "other"}),
    "other": frozenset({None, "one", "other"}),
}
"""By the part that is measured, what frames must have heard to be measured on it."""


@attrs.frozen(kw_only=True, eq=False)
class Hold:
    """What a framing has of one site's gradient."""

    C: Matrix
    """`U'G V (m, m)` of all its columns."""
    left: float
    """`||U'G||_F^2` of the next round's frame: what it could reach if outputs were held to it, and inputs free."""
    right: float
    """`||G V||_F^2`."""


@attrs.frozen(kw_only=True, eq=False)
class Reading:
    """One part of what was heard: every site's gradient in a sketch, and what every framing has of it."""

    sketches: Mapping[str, Sketch]
    holds: Sequence[tuple[Framing, Mapping[str, Hold]]]
    total: float
    """`sum_sites ||G||_F^2`."""


def read(look: Look, part: Part, framings: Sequence[Framing]) -> Reading:
    """The gradient of one part, and exactly what the framings that may be held against it have of it."""
    asked = [framing for framing in framings if framing.part in HELD_AGAINST[part]]
    names = [site.name for site in look.experiment.sites]
    right = {name: np.hstack([framing.first(name).V for framing in asked]) for name in names}
    left = {name: np.hstack([framing.rounds[name].U for framing in asked]) for name in names}
    products = ask(look.evidence(part), right, left)
    holds, at = list[tuple[Framing, Mapping[str, Hold]]](), dict.fromkeys(names, 0)
    for number, framing in enumerate(asked):
        found, r = dict[str, Hold](), framing.rank
        for name in names:
            GU, GV = products[name].left, products[name].right
            assert GU is not None and GV is not None, f"{name}: no products"  # noqa: PT018
            frame, start = framing.rounds[name], at[name]
            GU, at[name] = GU[:, start : start + frame.rank], start + frame.rank
            found[name] = Hold(
                C=GU.T @ frame.V,
                left=float(np.sum(GU[:, :r] ** 2)),
                right=float(np.sum(GV[:, number * r : (number + 1) * r] ** 2)),
            )
        holds.append((framing, found))
    sketches = look.sketches(part)
    return Reading(sketches=sketches, holds=holds, total=sum(sketch.energy for sketch in sketches.values()))


def used_energy(look: Look, used: Sequence[Mapping[str, Frame]]) -> float:
    """What the directions of earlier rounds hold of the whole gradient, every round with a full core of its own."""
    names = dict.fromkeys(name for frames in used for name in frames)
    joined = {name: beside([frames[name] for frames in used if name in frames]) for name in names}
    rank = {name: next(frames[name].rank for frames in used if name in frames) for name in names}
    products, energy = ask(look.evidence("all"), {}, {name: f.U for name, f in joined.items()}), 0.0
    for name, frame in joined.items():
        GU = products[name].left
        assert GU is not None, f"{name}: no products"
        energy += square_energy(GU.T @ frame.V, Sides.of(frame.U, frame.V), rank[name])
    return energy
