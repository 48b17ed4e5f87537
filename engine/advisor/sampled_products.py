"""Products of the gradient with everything that is to be measured: one pass for all sites and all bases together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Frame
from .candidate_frames import FrameSet, beside
from .gradient_energy import Sides, shared_energy
from .gradient_sample import PARTS, GradientSample, Part
from .sketches import Sketch, ask

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
    holds: Sequence[tuple[FrameSet, Mapping[str, Hold]]]
    total: float
    """`sum_sites ||G||_F^2`."""


def read(sample: GradientSample, part: Part, frame_sets: Sequence[FrameSet]) -> Reading:
    """The gradient of one part, and exactly what the framings that may be held against it have of it."""
    asked = [framing for framing in frame_sets if framing.part in HELD_AGAINST[part]]
    names = [site.name for site in sample.experiment.sites]
    right = {name: np.hstack([framing.first(name).V for framing in asked]) for name in names}
    left = {name: np.hstack([framing.rounds[name].U for framing in asked]) for name in names}
    products = ask(sample.oracle(part), right, left)
    holds, at = list[tuple[FrameSet, Mapping[str, Hold]]](), dict.fromkeys(names, 0)
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
    sketches = sample.sketches(part)
    return Reading(sketches=sketches, holds=holds, total=sum(sketch.energy for sketch in sketches.values()))


def used_energies(
    sample: GradientSample, used: Sequence[Mapping[str, Frame]]
) -> dict[tuple[Part, Part], float]:
    """By pairs of parts, `<P G_a, P G_b>` of their gradients projected onto what earlier rounds reach, each with a full core of its own."""
    names = dict.fromkeys(name for frames in used for name in frames)
    frames = {name: [found[name] for found in used if name in found] for name in names}
    joined = {name: beside(own) for name, own in frames.items()}
    held = {part: _cores(sample, part, joined) for part in PARTS}

    def shared(one: Part, other: Part) -> float:
        return sum(
            shared_energy(held[one][n], held[other][n], Sides.of(f.U, f.V), [own.rank for own in frames[n]])
            for n, f in joined.items()
        )

    pairs: list[tuple[Part, Part]] = [*((part, part) for part in PARTS), ("one", "other")]
    return {pair: shared(*pair) for pair in pairs}


def _cores(sample: GradientSample, part: Part, frames: Mapping[str, Frame]) -> dict[str, Matrix]:
    """`U'G V` by site."""
    products = ask(sample.oracle(part), {}, {name: frame.U for name, frame in frames.items()})
    found = dict[str, Matrix]()
    for name, frame in frames.items():
        GU = products[name].left
        assert GU is not None, f"{name}: no products"
        found[name] = GU.T @ frame.V
    return found
