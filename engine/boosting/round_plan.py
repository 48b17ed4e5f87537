"""The plan of one round: its rank, optimiser and calibration, as functions of the spec and the round number alone."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Adapter, CalibrationSpec, Optimizer
from ..spec import Spec
from ..spec.ranks import Ranks

SITE_EXAMPLES = 256
"""Calibration examples for `top_sites` where the basis itself needs none."""


@attrs.frozen(kw_only=True, eq=False)
class RoundPlan:
    """Round `number` of a spec, counted from 1."""

    spec: Spec
    number: int
    refit: bool
    """Whether it trains all earlier cores again in their frames, without new directions."""
    rank: int
    """Rank r of its frames; in a refit, the rank of the next round with new directions."""
    earlier: tuple[int, ...]
    """Ranks of the earlier rounds with new directions, oldest first."""
    adapter: Adapter
    """The spec's adapter at `rank`."""
    calibration: CalibrationSpec | None
    """Calibration examples of the basis and of `top_sites`; None: neither needs any."""
    data_driven: bool
    """Whether the frames depend on training data, not on the weights alone."""
    top_sites: int
    """Number of sites that it adapts; 0: all."""

    @property
    def fresh(self) -> int:
        """Number of earlier rounds with new directions."""
        return len(self.earlier)

    def exceeds(self, capacity: int | None) -> bool:
        """Whether it needs new directions where earlier rounds have used up those of `capacity` rounds; None: unlimited."""
        return capacity is not None and not self.refit and self.fresh >= capacity

    @property
    def optimizer(self) -> Optimizer:
        """The spec's optimiser; in a refit, with `refit_steps` and `refit_lr`."""
        return _optimizer(self.spec, refit=self.refit)

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return self.optimizer.steps

    @property
    def batch_size(self) -> int:
        """Examples per step."""
        return self.optimizer.batch_size

    @property
    def learning_rates(self) -> NDArray[np.float64]:
        """Learning rate of every step `(steps,)`."""
        return self.optimizer.rates(self.number - 1, self.spec.rounds)


def plan_round(spec: Spec, number: int) -> RoundPlan:
    """The plan of round `number` (from 1)."""
    refit, fresh = spec.boosting.is_refit(number), spec.boosting.fresh_before(number)
    rank = spec.ranks[fresh]
    return RoundPlan(
        spec=spec,
        number=number,
        refit=refit,
        rank=rank,
        earlier=spec.ranks.first(fresh),
        adapter=with_rank(spec.adapter, rank),
        calibration=None if refit else calibration_at(spec, rank),
        data_driven=spec.adapter.framed and spec.basis.calibration(spec.adapter.rank) is not None,
        top_sites=spec.boosting.top_sites,
    )


def steps_in(spec: Spec, rounds: int) -> int:
    """Total optimiser steps of the first `rounds` rounds."""
    fresh = spec.boosting.fresh_in(rounds)
    refit_steps = _optimizer(spec, refit=True).steps if rounds > fresh else 0
    return fresh * spec.optimizer.steps + (rounds - fresh) * refit_steps


def _optimizer(spec: Spec, *, refit: bool) -> Any:
    if not refit:
        return spec.optimizer
    changes = {"steps": spec.boosting.refit_steps, "lr": spec.boosting.refit_lr}
    optimizer: Any = spec.optimizer
    return attrs.evolve(optimizer, **{name: value for name, value in changes.items() if value})


def calibration_at(spec: Spec, rank: int) -> CalibrationSpec | None:
    """The calibration of a round of this rank, one pass more with `top_sites`; None: no data is needed."""
    if not spec.adapter.framed:
        return None
    calibration, choose_sites = spec.basis.calibration(rank), spec.boosting.top_sites > 0
    if calibration is not None:
        return attrs.evolve(calibration, passes=calibration.passes + choose_sites)
    if not choose_sites:
        return None
    return CalibrationSpec(source="chosen", examples=SITE_EXAMPLES, batches=1, passes=1, columns=rank)


def with_rank(adapter: Any, rank: int) -> Any:
    """The adapter at another rank; unchanged where it has no option `rank`, or `rank` is 0."""
    if rank in {0, adapter.rank} or not has_option(adapter, "rank"):
        return adapter
    return attrs.evolve(adapter, rank=rank)


def with_ranks(spec: Spec, ranks: Ranks) -> Spec:
    """The spec with other ranks of its rounds."""
    adapter = attrs.evolve(spec.slots["adapter"], plugin=with_rank(spec.adapter, ranks.usual))
    return attrs.evolve(
        spec,
        slots={**spec.slots, "adapter": adapter},
        boosting=attrs.evolve(spec.boosting, ranks=tuple(ranks.listed)),
        start=attrs.evolve(spec.start, ranks=tuple(ranks.inherited)),
    )


def has_option(plugin: Any, name: str) -> bool:
    """Whether a plugin has an option of this name."""
    return name in {field.name for field in attrs.fields(type(plugin))}
