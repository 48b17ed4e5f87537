"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import attrs

from ...engine.foundation.options import Limit, option
from ...engine.hookspecs import hookimpl
from ...engine.sdk.schedules import LearningRateSchedule


@attrs.frozen(kw_only=True)
class Sgd(LearningRateSchedule):
    """SGD with momentum: `m <- momentum * m + g + decay * v`, `v <- v - lr * m`; its state is reset every round."""

    rule: ClassVar[str] = "sgd"

    momentum: float = option(
        0.9, "momentum coefficient", Limit("at least 0 and less than 1", lambda x: 0 <= x < 1)
    )
    nesterov: bool = option(False, "use Nesterov momentum")
    weight_decay: float = option(0.0, "L2 penalty added to the gradient", min=0.0)


@hookimpl
def register_optimizers(register: Callable[[str, type[Any]], None]) -> None:
    """Register `sgd`."""
    register("sgd", Sgd)
