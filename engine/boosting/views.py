"""The basis's view of a site, and the disk cache of singular directions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..contracts import Frame, Site
from ..foundation.cache import arrays_sha256, cached, key_of
from ..runs.provenance import versions


class Weights(Protocol):
    """What views need of weights. A `BoostedModel` satisfies it, and so does an adapter around a `WeightStore`."""

    def directions(self, site: str, count: int, *, merged: bool = False) -> Frame:
        """Leading singular triplets of the base weight, or of the merged one."""
        ...

    def rms_singular_value(self, site: str) -> float:
        """`||W||_F / sqrt(min(d_out, d_in))` of the base weight."""
        ...

    def weight(self, site: str) -> NDArray[np.float64]:
        """The current weight `(d_out, d_in)`."""
        ...


class DirectionCache:
    """Disk cache of leading singular directions, shared by runs. The key holds weight, depth, backend and library versions."""

    def __init__(self, model: Weights, backend: str, folder: Path) -> None:
        self._model, self._backend, self._folder = model, backend, folder
        found = versions()
        self._versions = {
            name: found[name] for name in ("boostlora", "numpy", "scipy", "torch") if name in found
        }

    def leading(self, site: Site, depth: int) -> Frame:
        """The `depth` largest singular triplets of the site's base weight."""
        weight = self._model.weight(site.name)
        key = key_of(
            {
                "weight": arrays_sha256({"W": weight}),
                "depth": depth,
                "backend": self._backend,
                "versions": self._versions,
            }
        )

        def compute() -> dict[str, np.ndarray]:
            frame = self._model.directions(site.name, depth)
            return {"U": frame.U, "S": frame.S, "V": frame.V}

        return Frame(**cached(self._folder / "directions", key, compute).arrays())


class View:
    """The `SiteView` of one site."""

    def __init__(self, model: Weights, site: Site, leading: Frame | None) -> None:
        self._model, self._site, self._leading = model, site, leading
        self._used = list[Frame]()

    @property
    def name(self) -> str:
        """Parameter path."""
        return self._site.name

    @property
    def shape(self) -> tuple[int, int]:
        """`(d_out, d_in)`."""
        return self._site.shape

    @property
    def used(self) -> Sequence[Frame]:
        """Frames of earlier rounds, oldest first."""
        return tuple(self._used)

    def directions(self, indices: Sequence[int] | range) -> Frame:
        """Singular triplets of the base weight. Raises IndexError beyond the depth that the basis declared."""
        depth = 0 if self._leading is None else self._leading.rank
        if self._leading is None or (len(indices) > 0 and not 0 <= min(indices) <= max(indices) < depth):
            raise IndexError(
                f"directions {list(indices)} of {self.name} requested, but depth() declared {depth}"
            )
        return self._leading.take(indices)

    def merged_directions(self, count: int) -> Frame:
        """Leading singular triplets of the current merged weight. Not cached: that weight changes every round."""
        return self._model.directions(self.name, count, merged=True)

    def rms_singular_value(self) -> float:
        """Root mean square of the base weight's singular values."""
        return self._model.rms_singular_value(self.name)

    def remember(self, frame: Frame) -> None:
        """Add the frame of a merged round to `used`."""
        self._used.append(frame)
