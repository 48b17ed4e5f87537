"""The common base class of data-driven bases: calibration options, capacity and the projection onto unused directions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import attrs
import numpy as np

from ...contracts import CalibrationExamples, CalibrationSpec, Frame, GradientOracle, SiteView
from ...errors import ExhaustedError, RunError
from ...foundation.options import option
from ..site_basis import Exhausted
from .complement import OrthogonalComplement
from .pairs import SingularPairs
from .site_complements import SiteComplements

ProjectedSides = Literal["both", "left", "right", "none"]
"""Sides on which a round's directions are orthogonal to those of all earlier rounds."""


@attrs.frozen(kw_only=True, eq=False)
class PairsRequest:
    """What a round's singular pairs are computed from."""

    sites: Sequence[SiteView]
    complements: Mapping[str, SiteComplements]
    """The unused directions of every site, by name."""
    earlier: Sequence[int]
    """Ranks of all earlier rounds with new directions, oldest first."""
    rank: int
    oracle: GradientOracle
    """Gradients on the calibration examples."""


@attrs.frozen(kw_only=True)
class DataDrivenBasis:
    """A basis computed from calibration examples: singular pairs in the orthogonal complement of earlier rounds' directions.

    A subclass implements `pairs`.
    """

    data: CalibrationExamples = option(
        "chosen",
        "calibration examples: those chosen for the round, with their weights (half failures and half replay under the default "
        "sampler), all failures, or the whole training split",
    )
    examples: int = option(256, "maximum calibration examples; 0: all, once", min=0)
    batches: int = option(8, "calibration batches a pass; more need less memory", min=1)
    oversample: int = option(
        8, "columns beyond the rank; more approximate the leading directions better", min=0
    )
    project: ProjectedSides = option(
        "both",
        "sides on which directions are orthogonal to all earlier rounds': left is output space, right is input space",
    )
    exhausted: Exhausted = option(
        "error",
        "when directions run out: refuse before the run, stop at that round, or start over with all directions unused",
    )

    def capacity(self, width: int) -> int | None:
        """All `width` directions; None (unlimited) if the basis wraps or does not project."""
        return None if self.project == "none" or self.exhausted == "wrap" else width

    def depth(self, ranks: Sequence[int], width: int) -> int:
        """0: no singular directions of the base weight, unless a subclass overrides it."""
        del ranks, width
        return 0

    @property
    def passes(self) -> int:
        """Passes over the calibration examples."""
        return 2

    def calibration(self, rank: int) -> CalibrationSpec:
        """`rank + oversample` columns, on the examples that `data` names."""
        return CalibrationSpec(
            source=self.data,
            examples=self.examples,
            batches=self.batches,
            passes=self.passes,
            columns=rank + self.oversample,
        )

    def frames(
        self,
        sites: Sequence[SiteView],
        earlier: Sequence[int],
        rank: int,
        oracle: GradientOracle | None,
        rng: Callable[[str], np.random.Generator],
    ) -> Mapping[str, Frame]:
        """Every site's singular pairs as a frame.

        All entries of `S` are the root mean square singular value of the weight, as for random directions. Raises `ExhaustedError`, and
        `NonFiniteError` for products with NaN or Inf.
        """
        if oracle is None:
            raise RunError("a data-driven basis needs a gradient oracle")
        complements = {site.name: self.complements_of(site, rank, rng(site.name)) for site in sites}
        request = PairsRequest(
            sites=sites, complements=complements, earlier=earlier, rank=rank, oracle=oracle
        )
        pairs = self.pairs(request)
        return {site.name: pairs[site.name].frame(site.rms_singular_value()) for site in sites}

    def pairs(self, request: PairsRequest) -> Mapping[str, SingularPairs]:
        """By site, `rank` pairs of directions in the complements."""
        raise NotImplementedError

    def complements_of(self, site: SiteView, rank: int, rng: np.random.Generator) -> SiteComplements:
        """A site's unused directions. Raises `ExhaustedError` if fewer than `rank` are left on a side."""
        frames = list(site.used)
        if self.exhausted == "wrap":
            # After a wrap, directions from before it count as unused again.
            frames = frames_since_wrap(frames, rank, min(site.shape))
        left = [frame.U for frame in frames] if self.project in {"both", "left"} else []
        right = [frame.V for frame in frames] if self.project in {"both", "right"} else []
        complement = SiteComplements(
            name=site.name,
            left=OrthogonalComplement.of(site.shape[0], left),
            right=OrthogonalComplement.of(site.shape[1], right),
            rng=rng,
        )
        # A round needs `rank` columns on each side, so the smaller complement decides.
        if (free := min(complement.left.dimension, complement.right.dimension)) < rank:
            raise ExhaustedError(
                f"{site.name} {site.shape}: {len(frames)} earlier rounds leave {free} unused directions, fewer than the rank {rank}; "
                'set basis.exhausted = "wrap" to start over, basis.project = "none" to let rounds share directions, '
                "a smaller adapter.rank or fewer rounds"
            )
        return complement


def frames_since_wrap(used: Iterable[Frame], rank: int, width: int) -> list[Frame]:
    """The frames since the last wrap; a basis wraps when fewer directions are left than a round's rank."""
    current, taken = list[Frame](), 0
    for frame in used:
        if taken + frame.rank > width:
            current, taken = [], 0
        current.append(frame)
        taken += frame.rank
    # The round to come may itself be the first after a wrap.
    return current if taken + rank <= width else []
