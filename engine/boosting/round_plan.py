"""What one round is: decided once, from the spec alone, and handed down."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Adapter, CalibrationSpec, Optimizer
from ..spec import Spec
from ..spec.ranks import Ranks

SITE_EXAMPLES = 256
"""Calibration examples by which sites are chosen, where the basis uses none."""


@attrs.frozen(kw_only=True, eq=False)
class RoundPlan:
    """Round `number` of a spec, counted from 1."""

    spec: Spec
    number: int
    refit: bool
    """Whether it trains all earlier cores again, in their frames, and takes no new direction."""
    rank: int
    """Rank r of its frames; of a refit, that of the next round that takes new directions."""
    earlier: tuple[int, ...]
    """Ranks of the rounds before it that took new directions, oldest first."""
    adapter: Adapter
    """The spec's, at `rank`."""
    calibration: CalibrationSpec | None
    """The examples on which the basis, or the choice of sites, is calibrated; None: none."""
    data_driven: bool
    """Whether its frames depend on data, and not on the weights alone."""
    top_sites: int
    """Sites that it adapts; 0: all."""

    @property
    def optimizer(self) -> Optimizer:
        """The spec's; of a refit, with the steps and the rate meant for it."""
        return _optimizer(self.spec, refit=self.refit)

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return self.optimizer.steps

    @property
    def batch_size(self) -> int:
        """Examples a step."""
        return self.optimizer.batch_size

    @property
    def learning_rates(self) -> NDArray[np.float64]:
        """One a step, `(steps,)`."""
        return self.optimizer.rates(self.number - 1, self.spec.rounds)


def plan_round(spec: Spec, number: int) -> RoundPlan:
    """The plan of round `number` (from 1)."""
    refit, rank = spec.boosting.is_refit(number), spec.rank_of(number)
    return RoundPlan(
        spec=spec,
        number=number,
        refit=refit,
        rank=rank,
        earlier=spec.ranks.first(spec.boosting.fresh_before(number)),
        adapter=with_rank(spec.adapter, rank),
        calibration=None if refit else calibration_at(spec, rank),
        data_driven=is_data_driven(spec),
        top_sites=spec.boosting.top_sites,
    )


def steps_in(spec: Spec, rounds: int) -> int:
    """Optimiser steps of the first `rounds` rounds together."""
    fresh = spec.boosting.fresh_in(rounds)
    again = _optimizer(spec, refit=True).steps if rounds > fresh else 0
    return fresh * spec.optimizer.steps + (rounds - fresh) * again


def _optimizer(spec: Spec, *, refit: bool) -> Any:
    if not refit:
        return spec.optimizer
    changes = {"steps": spec.boosting.refit_steps, "lr": spec.boosting.refit_lr}
    optimizer: Any = spec.optimizer
    return attrs.evolve(optimizer, **{name: value for name, value in changes.items() if value})


def is_data_driven(spec: Spec) -> bool:
    """Whether frames depend on data, and not on the weights alone."""
    return spec.adapter.framed and spec.basis.calibration(spec.adapter.rank) is not None


def calibration_at(spec: Spec, rank: int) -> CalibrationSpec | None:
    """What a round of this rank is calibrated on; None: nothing."""
    if not spec.adapter.framed:
        return None
    calibration, choosing = spec.basis.calibration(rank), spec.boosting.top_sites > 0
    if calibration is not None:
        return attrs.evolve(calibration, passes=calibration.passes + choosing)
    if not choosing:
        return None
    return CalibrationSpec(source="chosen", examples=SITE_EXAMPLES, batches=1, passes=1, columns=rank)


def with_rank(adapter: Any, rank: int) -> Any:
    """An adapter at another rank; as it is where it has no such option, or `rank` is 0."""
    if rank in {0, adapter.rank} or not has_option(adapter, "rank"):
        return adapter
    return attrs.evolve(adapter, rank=rank)


def with_ranks(spec: Spec, ranks: Ranks) -> Spec:
    """A spec whose rounds have other ranks."""
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
