"""Frames (orthonormal left and right directions of a site), and the view of a site from which a basis builds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(kw_only=True, eq=False)
class Frame:
    """A site's directions in one round: `U (d_out, r)` and `V (d_in, r)` with orthonormal columns, `S (r,)`; float64."""

    U: NDArray[np.float64]
    S: NDArray[np.float64]
    V: NDArray[np.float64]

    @property
    def rank(self) -> int:
        """Number of directions r."""
        return int(self.S.shape[0])

    def take(self, columns: Sequence[int] | range) -> Frame:
        """The frame of the given columns."""
        index = np.asarray(columns, dtype=np.int64)
        return Frame(U=self.U[:, index], S=self.S[index], V=self.V[:, index])

    def departure(self) -> float:
        """Departure from orthonormality: `max(max|U'U - I|, max|V'V - I|)`."""
        identity = np.eye(self.rank)
        return float(max(np.max(np.abs(X.T @ X - identity), initial=0.0) for X in (self.U, self.V)))


class SiteView(Protocol):
    """A site as a basis sees it: its shape and singular directions, never the weight itself."""

    @property
    def name(self) -> str:
        """Parameter path."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """`(d_out, d_in)`."""
        ...

    @property
    def used(self) -> Sequence[Frame]:
        """This site's frames of earlier merged rounds, oldest first."""
        ...

    def directions(self, indices: Sequence[int] | range) -> Frame:
        """Singular triplets of the *base* weight, the largest has index 0, in the order of `indices`.

        Raises IndexError for an index at or beyond the basis's `depth`.
        Signs are canonical, since an SVD fixes them only up to `(-u, -v)`: the largest-magnitude entry of each left vector is positive.
        """
        ...

    def merged_directions(self, count: int) -> Frame:
        """The `count` leading singular triplets of the *current*, merged weight."""
        ...

    def rms_singular_value(self) -> float:
        """`||W||_F / sqrt(min(d_out, d_in))` of the base weight: the root mean square of its singular values."""
        ...
