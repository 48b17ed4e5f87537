"""Compare singular directions as far as the weight determines them: subspaces with gaps, and isolated columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..boosting.views import View
from ..contracts import BoostedModel, Frame, Site
from .criterion import Criterion
from .findings import Finding, worst

Matrix = NDArray[np.float64]

TIE = 1e-6
"""Entries of a left vector within this relative distance of its largest one may determine its sign instead."""


class RecordingView(View):
    """A site's view that records the requested singular directions."""

    def __init__(self, model: BoostedModel, site: Site, leading: Frame | None) -> None:
        super().__init__(model, site, leading)
        self.base, self.merged = list[int](), list[int]()
        """Requested indices since `reset`, of the base weight and of the merged weight."""

    def reset(self) -> None:
        """Clear the record for a new round."""
        self.base.clear()
        self.merged.clear()

    def directions(self, indices: Sequence[int] | range) -> Frame:
        """Triplets of the base weight."""
        self.base += indices
        return super().directions(indices)

    def merged_directions(self, count: int) -> Frame:
        """Triplets of the merged weight."""
        self.merged += range(count)
        return super().merged_directions(count)


@attrs.frozen(kw_only=True, eq=False)
class Spectrum:
    """Leading singular values, with one more than are compared if it exists."""

    values: Matrix
    shape: tuple[int, int]

    @property
    def leading(self) -> float:
        """`s_1`."""
        return float(self.values[0])

    def behind(self, count: int, *, longer: bool) -> float:
        """The gap after the `count` leading directions, on the longer or shorter side; 0 if it is unknown.

        After the last direction, the longer side has the null space at singular value 0, and the shorter side has no gap to close.
        """
        if count < min(self.shape):
            return float(self.values[count - 1] - self.values[count]) if count < len(self.values) else 0.0
        return float(self.values[count - 1]) if longer and self.shape[0] != self.shape[1] else math.inf

    def around(self, index: int, *, longer: bool) -> float:
        """The distance of one singular value from its neighbours."""
        before = float(self.values[index - 1] - self.values[index]) if index else math.inf
        return min(before, self.behind(index + 1, longer=longer))


def compare_values(truth: Frame, other: Frame, where: Finding, criterion: Criterion) -> Finding:
    """Compare singular values, which are always determined."""
    same = truth.S.shape == other.S.shape
    error = float(np.max(np.abs(truth.S - other.S), initial=0.0)) if same else math.inf
    return attrs.evolve(
        where,
        quantity="singular values",
        error=error,
        allowed=criterion.value(float(truth.S[0]), max(len(truth.U), len(truth.V))),
        compared=truth.rank,
        note="" if same else f"{other.rank} of them, expected {truth.rank}",
    )


def compare_blocks(
    truth: Frame, other: Frame, counts: Sequence[int], where: Finding, criterion: Criterion
) -> Finding:
    """Compare subspaces of the `counts` leading directions, left and right, if there is a gap after them."""
    if (wrong := _shape_mismatch(truth, other)) is not None:
        return attrs.evolve(where, error=math.inf, note=wrong)
    spectrum = Spectrum(values=truth.S, shape=(truth.U.shape[0], truth.V.shape[0]))
    found, undefined = list[Finding](), 0
    for count in counts:
        for side, ours, theirs in _sides(truth, other):
            gap = spectrum.behind(count, longer=ours.shape[0] == max(spectrum.shape))
            bound = criterion.sine(spectrum.leading, gap, max(spectrum.shape))
            if bound is None:
                undefined += 1
                continue
            error = sine(ours[:, :count], theirs[:, :count])
            note = f"{side}, {count} leading directions"
            found.append(attrs.evolve(where, error=error, allowed=bound, note=note))
    return _summary(where, found, undefined)


def sine(ours: Matrix, theirs: Matrix) -> float:
    """Sine of the largest principal angle between orthonormal columns, `||(I - Y Y^T) X||_2`: accurate for small angles."""
    if not np.isfinite(theirs).all():
        return math.inf
    return float(np.linalg.norm(ours - theirs @ (theirs.T @ ours), 2))


def compare_frames(
    truth: Frame, other: Frame, gaps: Sequence[tuple[float, float]], where: Finding, criterion: Criterion
) -> Finding:
    """Compare signed columns. `gaps` holds `(s_1, gap)` per column; an infinite gap means that the column is not a singular direction."""
    if (wrong := _shape_mismatch(truth, other)) is not None:
        return attrs.evolve(where, error=math.inf, note=wrong)
    found, undefined = list[Finding](), 0
    for column, (leading, gap) in enumerate(gaps):
        bound = criterion.sine(leading, gap, max(len(truth.U), len(truth.V)))
        if bound is None:
            undefined += 1
            continue
        error = _column_error(truth.take([column]), other.take([column]), bound)
        found.append(attrs.evolve(where, error=error, allowed=bound, note=f"column {column}"))
    return _summary(where, found, undefined)


def gaps_of(
    view: RecordingView, rank: int, base: Matrix | None, merged: Matrix | None
) -> list[tuple[float, float]]:
    """`(s_1, gap)` per column of a frame, from the directions that the basis requested."""
    sides = [
        (Spectrum(values=values, shape=view.shape), index)
        for values, requested in ((base, view.base), (merged, view.merged))
        if values is not None
        for index in requested
    ]
    found = [(s.leading, min(s.around(i, longer=True), s.around(i, longer=False))) for s, i in sides]
    if len(found) == rank:
        return found
    # A mixture of directions is as exact as the least isolated of them; a frame without any is exact.
    return [min(found, key=lambda pair: pair[1] / pair[0])] * rank if found else [(1.0, math.inf)] * rank


def _column_error(truth: Frame, other: Frame, bound: float) -> float:
    """Largest norm of a difference, left or right; up to sign if two entries of the left vector may determine it."""
    if not all(np.isfinite(x).all() for x in (other.U, other.V)):
        return math.inf

    def off(sign: float) -> float:
        pairs = ((truth.U, other.U), (truth.V, other.V))
        return max(float(np.linalg.norm(ours - sign * theirs)) for ours, theirs in pairs)

    U = truth.U[:, 0]
    top = float(np.abs(U).max())
    competing = U[np.abs(U) >= (1 - TIE) * top - 2 * bound]
    return min(off(1.0), off(-1.0)) if competing.min() < 0.0 < competing.max() else off(1.0)


def _sides(truth: Frame, other: Frame) -> list[tuple[str, Matrix, Matrix]]:
    return [("left", truth.U, other.U), ("right", truth.V, other.V)]


def _shape_mismatch(truth: Frame, other: Frame) -> str | None:
    ours, theirs = ([x.shape for x in (f.U, f.S, f.V)] for f in (truth, other))
    return None if ours == theirs else f"shapes of U, S, V are {theirs}, expected {ours}"


def _summary(where: Finding, found: list[Finding], undefined: int) -> Finding:
    if not found:
        return attrs.evolve(where, compared=0, undefined=undefined)
    return attrs.evolve(worst(found), compared=len(found), undefined=undefined)
