"""Random directions, independent of the weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Frame, SiteView
from ...engine.hookspecs import hookimpl
from ...engine.sdk.site_basis import UnboundedBasis


@attrs.frozen(kw_only=True)
class Random(UnboundedBasis):
    """Uniformly random (Haar) orthonormal columns, new in every round; `S` is the weight's root mean square singular value.

    Two rounds are not orthogonal, but together span `2 r` directions almost surely (if `2 r <= min(d_out, d_in)`).
    """

    def frame(self, site: SiteView, earlier: Sequence[int], rank: int, rng: np.random.Generator) -> Frame:
        """Both sides drawn independently."""
        del earlier
        d_out, d_in = site.shape
        # Random directions have no singular values; this scale makes updates comparable to those in the weight's own directions.
        scale = np.full(rank, site.rms_singular_value())
        return Frame(U=_orthonormal(rng, d_out, rank), S=scale, V=_orthonormal(rng, d_in, rank))


def _orthonormal(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.float64]:
    """QR of a Gaussian matrix, signs fixed by `diag(R) > 0`: uniform (Haar) over orthonormal columns (Mezzadri, 2007)."""
    Q, R = np.linalg.qr(rng.standard_normal((rows, columns)))
    return Q * np.where(np.diag(R) < 0.0, -1.0, 1.0)


@hookimpl
def register_bases(register: Callable[[str, type[Any]], None]) -> None:
    """Register `random`."""
    register("random", Random)
