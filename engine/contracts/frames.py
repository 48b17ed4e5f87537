"""Frames, and the view of a site from which a basis builds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(kw_only=True, eq=False)
class Frame:
    """A site's slice of basis for one round: `U (d_out, r)`, `S (r,)`, `V (d_in, r)`, columns orthonormal, float64."""

    U: NDArray[np.float64]
    S: NDArray[np.float64]
    V: NDArray[np.float64]

    @property
    def rank(self) -> int:
        """Number of directions r."""
        return int(self.S.shape[0])

    def take(self, columns: Sequence[int] | range) -> Frame:
        """The frame of the chosen columns."""
        index = np.asarray(columns, dtype=np.int64)
        return Frame(U=self.U[:, index], S=self.S[index], V=self.V[:, index])

    def departure(self) -> float:
        """How far the columns are from orthonormal: `max(max|U'U - I|, max|V'V - I|)`."""
        identity = np.eye(self.rank)
        return float(max(np.max(np.abs(X.T @ X - identity), initial=0.0) for X in (self.U, self.V)))


class SiteView(Protocol):
    """A site as a basis sees it: shapes and numbers, never a weight."""

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
        """The frames this site was given in earlier rounds, oldest first."""
        ...

    def directions(self, indices: Sequence[int] | range) -> Frame:
        """Singular triplets of the *base* weight, largest first, by index in `[0, min(d_out, d_in))`.

        Signs are canonical: the largest-magnitude entry of each left vector is positive.
        """
        ...

    def merged_directions(self, count: int) -> Frame:
        """The `count` leading singular triplets of the *current*, merged weight."""
        ...

    def rms_singular_value(self) -> float:
        """`||W||_F / sqrt(min(d_out, d_in))` of the base weight: the scale of a typical direction."""
        ...
