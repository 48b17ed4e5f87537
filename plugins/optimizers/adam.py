"""Adam with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import attrs

from ...engine.foundation.options import Limit, option, positive
from ...engine.hookspecs import hookimpl
from ...engine.sdk.schedules import LearningRateSchedule

rate = Limit("at least 0 and less than 1", lambda x: 0 <= x < 1)


@attrs.frozen(kw_only=True)
class Adam(LearningRateSchedule):
    """Adam (arXiv 1412.6980), its state new every round; weight decay is decoupled (arXiv 1711.05101)."""

    rule: ClassVar[str] = "adam"

    beta1: float = option(0.9, "decay of the mean of gradients", rate)
    beta2: float = option(0.999, "decay of the mean of squared gradients", rate)
    eps: float = option(1e-8, "added to the root of the second moment", positive)
    weight_decay: float = option(
        0.0, "decoupled decay of the trained values, times the learning rate", min=0.0
    )


@hookimpl
def register_optimizers(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `adam`."""
    register("adam", Adam)
