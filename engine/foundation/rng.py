"""Named random streams: one seed, and for every purpose, round and site a generator of its own.

An extra draw in one place changes nothing anywhere else, and every backend sees the same draws, since all of them are
NumPy's (Philox, a counter-based generator: Salmon et al., 2011).
"""

from __future__ import annotations

import hashlib

import attrs
import numpy as np


@attrs.frozen
class Streams:
    """All randomness of a run, from its seed."""

    seed: int

    def __call__(
        self,
        purpose: str,
        round: int | None = None,  # noqa: A002
        site: str | None = None,
    ) -> np.random.Generator:
        """The generator of `(seed, purpose, round, site)`: always the same draws, whoever asks and when."""
        name = repr((self.seed, purpose, round, site)).encode()
        key = int.from_bytes(hashlib.sha256(name).digest()[:16], "little")
        return np.random.Generator(np.random.Philox(key=key))
