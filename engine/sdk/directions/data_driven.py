"""What bases that hear the data have in common: whom they ask, and how long their directions last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import attrs
import numpy as np

from ...contracts import CalibrationExamples, CalibrationSpec, Frame, GradientOracle, SiteView
from ...errors import ExhaustedError, RunError
from ...foundation.options import option
from ..rank_allocation import Exhausted
from .complement import Complement
from .pairs import Pairs
from .unused import Unused

Project = Literal["both", "left", "right", "none"]
"""On which sides a round avoids the directions of all earlier rounds."""


@attrs.frozen(kw_only=True)
class DataDriven:
    """A basis asks its `question`, and finds `pairs` among directions that no earlier round has used."""

    data: CalibrationExamples = option(
        "chosen",
        "who is asked: the examples chosen for the round, in their shares (under the default sampler half failures, half replay), "
        "all failures, or the whole training split",
    )
    examples: int = option(256, "how many examples are drawn from them; 0: every one once", min=0)
    batches: int = option(
        8, "in how many parts they are computed, one after the other: more take less memory", min=1
    )
    oversample: int = option(
        8, "columns asked for beyond the rank: more find the leading directions better", min=0
    )
    project: Project = option(
        "both",
        "on which sides a round keeps clear of all earlier rounds' directions: left are outputs, right are inputs",
    )
    exhausted: Exhausted = option(
        "error",
        "when directions run out: refuse before the run, stop when it comes to it, or start over with none used",
    )

    def capacity(self, width: int) -> int | None:
        """All `width` directions; without end when it wraps, or projects nothing."""
        return None if self.project == "none" or self.exhausted == "wrap" else width

    def depth(self, ranks: Sequence[int], width: int) -> int:
        """None of the base weight's own directions, unless a basis says else."""
        del ranks, width
        return 0

    @property
    def passes(self) -> int:
        """Times that the examples are computed."""
        return 2

    def calibration(self, rank: int) -> CalibrationSpec:
        """`rank + oversample` columns, the examples of `data`."""
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
        """Every site's pairs as a frame; its singular values are the weight's root mean square, as of random directions."""
        if oracle is None:
            raise RunError("a data-driven basis needs a gradient oracle")
        places = {site.name: self.unused(site, rank, rng(site.name)) for site in sites}
        pairs = self.pairs(sites, places, earlier, rank, oracle)
        return {site.name: pairs[site.name].frame(site.rms_singular_value()) for site in sites}

    def pairs(
        self,
        sites: Sequence[SiteView],
        places: Mapping[str, Unused],
        earlier: Sequence[int],
        rank: int,
        oracle: GradientOracle,
    ) -> Mapping[str, Pairs]:
        """By site, `rank` pairs of directions among those unused: what a basis is about."""
        raise NotImplementedError

    def unused(self, site: SiteView, rank: int, rng: np.random.Generator) -> Unused:
        """What is left of a site's directions. Raises `ExhaustedError` where that is fewer than `rank`, unless it wraps."""
        frames = list(site.used)
        if self.exhausted == "wrap":
            frames = since_start(frames, rank, min(site.shape))
        left = [frame.U for frame in frames] if self.project in {"both", "left"} else []
        right = [frame.V for frame in frames] if self.project in {"both", "right"} else []
        place = Unused(
            name=site.name,
            left=Complement.of(site.shape[0], left),
            right=Complement.of(site.shape[1], right),
            rng=rng,
        )
        if (free := min(place.left.dimension, place.right.dimension)) < rank:
            raise ExhaustedError(
                f"{site.name} {site.shape}: {len(frames)} earlier rounds leave {free} unused directions, fewer than the rank {rank}; "
                'set basis.exhausted = "wrap" to start over, basis.project = "none" to let rounds share directions, '
                "a smaller adapter.rank or fewer rounds"
            )
        return place


def since_start(used: Iterable[Frame], rank: int, width: int) -> list[Frame]:
    """The frames since directions were last started over with, which is whenever those left are fewer than a round takes."""
    current, taken = list[Frame](), 0
    for frame in used:
        if taken + frame.rank > width:
            current, taken = [], 0
        current.append(frame)
        taken += frame.rank
    return current if taken + rank <= width else []
