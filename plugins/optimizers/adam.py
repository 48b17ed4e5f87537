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
    """Adam (Kingma and Ba, 2015) with decoupled weight decay (Loshchilov and Hutter, 2019); its state is reset every round.

    `v <- v - lr (m^ / (sqrt s^ + eps) + decay v)`, with bias-corrected means `m^` of the gradients and `s^` of their squares.
    """

    rule: ClassVar[str] = "adam"

    beta1: float = option(0.9, "decay rate of the first moment", rate)
    beta2: float = option(0.999, "decay rate of the second moment", rate)
    eps: float = option(1e-8, "added to the root of the second moment", positive)
    weight_decay: float = option(0.0, "decoupled weight decay, multiplied by the learning rate", min=0.0)


@hookimpl
def register_optimizers(register: Callable[[str, type[Any]], None]) -> None:
    """Register `adam`."""
    register("adam", Adam)
