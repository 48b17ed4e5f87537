"""Two sides aligned by example, and what the pairs say."""

from __future__ import annotations

from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from ...contracts import Outcome
from ...statistics.bootstrap import Interval
from ...statistics.examples import PairedExamples, compare_examples
from ...statistics.means import MANY, mean_interval
from .sides import Side

Ids = NDArray[np.int64]


@attrs.frozen(kw_only=True, eq=False)
class Pairing:
    """The outcomes of both sides, now and at their bases, at the same `ids` `(n,)`, ascending, each once."""

    ids: Ids
    a: Outcome
    b: Outcome
    a_base: Outcome
    b_base: Outcome
    others_a: int
    """Examples of A that B does not have, or that were left out."""
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
        """Whether every example of both sides is in."""
        return not self.others_a and not self.others_b


@attrs.frozen(kw_only=True)
class LossDifference:
    """The mean of `loss_A - loss_B` in nats over the examples on which both are finite."""

    mean: float
    interval: Interval
    method: Literal["bca", "normal"]
    examples: int


def pair(a: Side, b: Side, left_out: Ids | None = None) -> Pairing:
    """Align two sides by the ids of examples; those in `left_out` are not paired. Nothing in common gives a pairing of length 0."""
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
    """The rows of the examples `ids` `(m,)`, in that order, with their texts; all of them must be there. Measures are the whole split's."""
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
    """The paired mean difference of the loss: BCa bootstrap over examples, above `MANY` of them `mean +- z s / sqrt(n)`.

    None where no example has a finite loss on both sides.
    """
    with np.errstate(invalid="ignore"):
        differences = pairing.a.loss - pairing.b.loss
    differences = differences[np.isfinite(differences)]
    if len(differences) == 0:
        return None
    mean = float(np.mean(differences))
    method = "bca" if len(differences) <= MANY else "normal"
    interval = mean_interval(differences, confidence)
    return LossDifference(mean=mean, interval=interval, method=method, examples=len(differences))
