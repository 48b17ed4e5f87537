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
    """Examples that were `gained`, wrong at the base and right now, and `lost`, right at the base and wrong now."""

    gained: Effect
    lost: Effect


def effects(pairing: Pairing) -> Effects:
    """What each side gained and lost. Where the bases differ, an example that A gained may have been right for B all along."""
    now, base = (pairing.a.correct, pairing.b.correct), (pairing.a_base.correct, pairing.b_base.correct)
    gained = [~was & is_ for was, is_ in zip(base, now, strict=True)]
    lost = [was & ~is_ for was, is_ in zip(base, now, strict=True)]
    return Effects(gained=_effect(pairing.ids, *gained), lost=_effect(pairing.ids, *lost))


def _effect(ids: Ids, a: Mask, b: Mask) -> Effect:
    return Effect(both=ids[a & b], only_a=ids[a & ~b], only_b=ids[~a & b])
