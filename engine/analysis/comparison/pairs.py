"""Two sides aligned by example: paired differences, and the examples that each gained or lost."""

from __future__ import annotations

from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ...contracts import Outcome
from ...statistics.bootstrap import MAX_BOOTSTRAP, Interval, mean_interval
from ...statistics.examples import PairedExamples, compare_examples
from .sides import Side

Ids = NDArray[np.int64]


@attrs.frozen(kw_only=True, eq=False)
class Pairing:
    """The outcomes of both sides and of their bases on the same `ids` `(n,)`, ascending and unique."""

    ids: Ids
    a: Outcome
    b: Outcome
    a_base: Outcome
    b_base: Outcome
    others_a: int
    """Examples of A that are not paired."""
    others_b: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def both(self) -> Ids:
        """Ids that both get right."""
        return self.ids[self.a.correct & self.b.correct]

    @property
    def only_a(self) -> Ids:
        """Ids that A alone gets right."""
        return self.ids[self.a.correct & ~self.b.correct]

    @property
    def only_b(self) -> Ids:
        """Ids that B alone gets right."""
        return self.ids[~self.a.correct & self.b.correct]

    @property
    def neither(self) -> Ids:
        """Ids that both get wrong."""
        return self.ids[~self.a.correct & ~self.b.correct]

    @property
    def is_whole(self) -> bool:
        """Whether every example of both sides is paired."""
        return not self.others_a and not self.others_b


@attrs.frozen(kw_only=True)
class LossDifference:
    """The mean of `loss_A - loss_B` in nats over the examples on which both are finite."""

    mean: float
    interval: Interval
    method: Literal["bca", "normal"]
    examples: int


def pair(a: Side, b: Side, left_out: Ids | None = None) -> Pairing:
    """Align two sides by example id, without those in `left_out`. Without common ids the pairing has length 0."""
    outcomes = (a.now, b.now, a.base, b.base)
    ids = np.unique(outcomes[0].ids)
    for outcome in outcomes[1:]:
        ids = np.intersect1d(ids, outcome.ids)
    if left_out is not None:
        ids = np.setdiff1d(ids, left_out)
    ids = ids.astype(np.int64)
    rows = [rows_of(outcome, ids) for outcome in outcomes]
    return Pairing(
        ids=ids,
        a=rows[0],
        b=rows[1],
        a_base=rows[2],
        b_base=rows[3],
        others_a=len(a.now) - len(ids),
        others_b=len(b.now) - len(ids),
    )


def rows_of(outcome: Outcome, ids: Ids) -> Outcome:
    """The rows of the examples `ids` `(m,)`, in that order, with their texts; all must exist. Measures stay those of the whole split."""
    order = np.argsort(outcome.ids, kind="stable")
    index = order[np.searchsorted(outcome.ids[order], ids)]

    def texts(found: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if found is None:
            return None
        each = len(found) // max(1, len(outcome))
        return tuple(text for i in index.tolist() for text in found[i * each : (i + 1) * each])

    return attrs.evolve(
        outcome,
        ids=ids,
        prediction=outcome.prediction[index],
        loss=outcome.loss[index],
        correct=outcome.correct[index],
        reward=outcome.reward[index],
        texts=texts(outcome.texts),
        verdicts=texts(outcome.verdicts),
    )


def accuracy_difference(pairing: Pairing, confidence: float = 0.95) -> PairedExamples:
    """Counts, the accuracy of A minus that of B with its interval, and the exact McNemar p. The pairing must not be empty."""
    found = compare_examples(
        [((pairing.ids, pairing.a.correct), (pairing.ids, pairing.b.correct))], confidence
    )
    if found is None:
        raise ValueError("nothing is paired")
    return found


def loss_difference(pairing: Pairing, confidence: float = 0.95) -> LossDifference | None:
    """The paired mean difference of the loss: BCa bootstrap over examples, above `MAX_BOOTSTRAP` of them `mean +- z s / sqrt(n)`.

    None if no example has a finite loss on both sides.
    """
    with np.errstate(invalid="ignore"):
        differences = pairing.a.loss - pairing.b.loss
    differences = differences[np.isfinite(differences)]
    if len(differences) == 0:
        return None
    mean = float(np.mean(differences))
    method = "bca" if len(differences) <= MAX_BOOTSTRAP else "normal"
    interval = mean_interval(differences, confidence)
    return LossDifference(mean=mean, interval=interval, method=method, examples=len(differences))


Mask = NDArray[np.bool_]


@attrs.frozen(kw_only=True, eq=False)
class Effect:
    """Ids of the affected examples: on both sides, only on A's, only on B's."""

    both: Ids
    only_a: Ids
    only_b: Ids


@attrs.frozen(kw_only=True, eq=False)
class Effects:
    """Examples that were `gained`, wrong at the base and right now, and `lost`, right at the base and wrong now."""

    gained: Effect
    lost: Effect


def effects(pairing: Pairing) -> Effects:
    """What each side gained and lost against its own base. If the bases differ, an example that A gained may be right at B's base."""
    now, base = (pairing.a.correct, pairing.b.correct), (pairing.a_base.correct, pairing.b_base.correct)
    gained = [~was & is_ for was, is_ in zip(base, now, strict=True)]
    lost = [was & ~is_ for was, is_ in zip(base, now, strict=True)]
    return Effects(gained=_effect(pairing.ids, *gained), lost=_effect(pairing.ids, *lost))


def _effect(ids: Ids, a: Mask, b: Mask) -> Effect:
    return Effect(both=ids[a & b], only_a=ids[a & ~b], only_b=ids[~a & b])
