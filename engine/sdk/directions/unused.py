"""A site as the search for directions sees it: what is free on both of its sides, and its stream."""

from __future__ import annotations

import attrs
import numpy as np

from .complement import Complement


@attrs.frozen(kw_only=True, eq=False)
class Unused:
    """What a round may still choose from at a site."""

    name: str
    left: Complement
    """Of `R^d_out`, where a frame's U lies."""
    right: Complement
    """Of `R^d_in`, where its V lies."""
    rng: np.random.Generator
    """The site's own stream: sketches, and directions where the data asks for none."""

    def without(self, U: np.ndarray, V: np.ndarray) -> Unused:
        """What is left when orthonormal columns from both sides are taken."""
        return attrs.evolve(self, left=self.left.without(U), right=self.right.without(V))
