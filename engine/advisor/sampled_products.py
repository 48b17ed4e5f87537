"""Products of the gradient with all candidate frames, in one pass for all sites and bases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Frame
from .candidate_frames import FrameSet, concatenate_frames
from .gradient_energy import Sides, shared_energy
from .gradient_sample import PARTS, GradientSample, Part
from .sketches import Sketch, products_in_passes

Matrix = NDArray[np.float64]

COMPARABLE_PARTS: Mapping[Part, frozenset[Part | None]] = {
    "all": frozenset({None, "all"}),
    "one": frozenset({None, "one", "other"}),
    "other": frozenset({None, "one", "other"}),
}
"""By measured part, the calibration parts of the frames to compare on it."""


@attrs.frozen(kw_only=True, eq=False)
class SiteCapture:
    """What a frame set captures of one site's gradient."""

    C: Matrix
    """`U'G V (m, m)` of all its columns."""
    left: float
    """`||U'G||_F^2` of the next round's frame: restricted outputs, free inputs."""
    right: float
    """`||G V||_F^2`."""


@attrs.frozen(kw_only=True, eq=False)
class PartMeasurement:
    """Measurements of one part: every site's gradient sketch, and what every frame set captures of it."""

    sketches: Mapping[str, Sketch]
    captures: Sequence[tuple[FrameSet, Mapping[str, SiteCapture]]]
    total: float
    """`sum_sites ||G||_F^2`."""


def measure_part(sample: GradientSample, part: Part, frame_sets: Sequence[FrameSet]) -> PartMeasurement:
    """Measure the gradient of one part, and exactly what comparable frame sets capture of it."""
    compared = [frame_set for frame_set in frame_sets if frame_set.part in COMPARABLE_PARTS[part]]
    names = [site.name for site in sample.experiment.sites]
    right = {name: np.hstack([frame_set.first(name).V for frame_set in compared]) for name in names}
    left = {name: np.hstack([frame_set.rounds[name].U for frame_set in compared]) for name in names}
    products = products_in_passes(sample.oracle(part), right, left)
    captures, at = list[tuple[FrameSet, Mapping[str, SiteCapture]]](), dict.fromkeys(names, 0)
    for number, frame_set in enumerate(compared):
        found, r = dict[str, SiteCapture](), frame_set.rank
        for name in names:
            GU, GV = products[name].left, products[name].right
            assert GU is not None and GV is not None, f"{name}: no products"  # noqa: PT018
            frame, start = frame_set.rounds[name], at[name]
            GU, at[name] = GU[:, start : start + frame.rank], start + frame.rank
            found[name] = SiteCapture(
                C=GU.T @ frame.V,
                left=float(np.sum(GU[:, :r] ** 2)),
                right=float(np.sum(GV[:, number * r : (number + 1) * r] ** 2)),
            )
        captures.append((frame_set, found))
    sketches = sample.sketches(part)
    return PartMeasurement(
        sketches=sketches, captures=captures, total=sum(sketch.energy for sketch in sketches.values())
    )


def used_energies(
    sample: GradientSample, used: Sequence[Mapping[str, Frame]]
) -> dict[tuple[Part, Part], float]:
    """By pairs of parts, `<P G_a, P G_b>` of their gradients projected onto the span of earlier rounds, each with its own full core."""
    names = dict.fromkeys(name for frames in used for name in frames)
    frames = {name: [found[name] for found in used if name in found] for name in names}
    joined = {name: concatenate_frames(own) for name, own in frames.items()}
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
    products = products_in_passes(sample.oracle(part), {}, {name: frame.U for name, frame in frames.items()})
    found = dict[str, Matrix]()
    for name, frame in frames.items():
        GU = products[name].left
        assert GU is not None, f"{name}: no products"
        found[name] = GU.T @ frame.V
    return found
