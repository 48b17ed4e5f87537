"""The unused directions of a site: orthogonal complements on both sides, and the site's random stream."""

from __future__ import annotations

import attrs
import numpy as np

from .complement import OrthogonalComplement


@attrs.frozen(kw_only=True, eq=False)
class SiteComplements:
    """The directions of a site that earlier rounds have left unused."""

    name: str
    left: OrthogonalComplement
    """In `R^d_out`, output space: where a frame's U lies."""
    right: OrthogonalComplement
    """In `R^d_in`, input space: where a frame's V lies."""
    rng: np.random.Generator
    """The site's own stream, for sketches and for directions that the data leaves open."""

    def without(self, U: np.ndarray, V: np.ndarray) -> SiteComplements:
        """The complements without orthonormal columns `U (d_out, k)` and `V (d_in, k)` of theirs."""
        return attrs.evolve(self, left=self.left.without(U), right=self.right.without(V))
