"""What boosting did to single examples on either side, measured against that side's own base."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from .pairs import Ids, Pairing

Mask = NDArray[np.bool_]


@attrs.frozen(kw_only=True, eq=False)
class Effect:
    """Ids of the examples that something happened to: on both sides, on A's alone, on B's alone."""

    both: Ids
    only_a: Ids
    only_b: Ids


@attrs.frozen(kw_only=True, eq=False)
class Effects:
    """Examples that were `fixed`, wrong at the base and right now, and `broken`, right at the base and wrong now."""

    fixed: Effect
    broken: Effect


def effects(pairing: Pairing) -> Effects:
    """What each side fixed and broke. Where the bases differ, an example that A fixed may have been right for B all along."""
    now, base = (pairing.a.correct, pairing.b.correct), (pairing.a_base.correct, pairing.b_base.correct)
    fixed = [~was & is_ for was, is_ in zip(base, now, strict=True)]
    broken = [was & ~is_ for was, is_ in zip(base, now, strict=True)]
    return Effects(fixed=_effect(pairing.ids, *fixed), broken=_effect(pairing.ids, *broken))


def _effect(ids: Ids, a: Mask, b: Mask) -> Effect:
    return Effect(both=ids[a & b], only_a=ids[a & ~b], only_b=ids[~a & b])
