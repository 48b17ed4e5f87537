"""How far a candidate may be from the truth, quantity by quantity.

`t` is the truth (the reference in float64), `c` the candidate, `y` the yardstick: the reference again, in float32. All of them
start every round from the same ensemble and train on the same batches in the same frames.

**A candidate that computes in float32** may be off by

    max|c - t|  <=  MULTIPLE * max|y - t|  +  FLOOR * u32 * max|t|,    u32 = 2^-24 the unit roundoff.

The yardstick makes the same roundings in another order, so it says what float32 costs *here*, whatever the model's depth and
however the optimiser amplifies errors; the multiple is room for sums in another order. The floor is for quantities of which
the yardstick happens to be exact. Steps of training are held to the largest error of the yardstick so far, since errors of
one step go into the next. **In lower precision** both terms grow by the ratio of unit roundoffs (bfloat16: 2^16, float16: 2^13).

**A candidate that computes in float64** is as exact as the truth itself, so no yardstick is needed: `max|c - t|` is at most the
`tight` bound of the quantity, in the table below, times `max|t|`. These are about ten times the largest errors measured between
NumPy and PyTorch on perceptrons (up to 512 wide), MiniLM and SmolLM2.

**A loss near 0** is the logarithm of a number near 1: `-log p_y = log T + (max z - z_y)`, `T = sum_j exp(z_j - max z) >= 1`. Every rounding
of T moves it by u, however small it is: where all other terms are below u, it is lost as a whole. In every precision a batch's loss
`sum_i w_i l_i / b` may therefore be off by `SUMS * u * sum_i |w_i| / b` more. The yardstick makes such errors too, but a batch's loss is one
number, in which those of its examples may cancel by chance; and relative to a loss that has no lower bound there is no floor. That logits
are large excuses nothing: `max z - z_y` is as exact as they are, unless `max z` is added to `log T` first, which costs `u max|z|`.

**Singular directions** are defined as well as their gaps allow (Davis and Kahan, 1970; Wedin, 1972): in every precision
their sine may be `SPECTRAL * sqrt(n) * u * s_1 / gap`, n the weight's longer side, since sums of n roundings grow so. Where that is
more than `UNDEFINED` the weight does not define them: they are counted, and not compared. Singular values are always defined
(Weyl): within `SPECTRAL * sqrt(n) * u * s_1`.

**Frames that hang on data** are not defined vector by vector, and made by the truth alone. What it asks of its model for them is asked of
the others in the same words, and the answers are compared (`hearing.py`); frames on disk are held to what such frames promise (`kept.py`).

**Training** may amplify an honest error: Adam steps either way where a gradient is smaller than its own error, a ReLU flips. A
step that is off by more is asked again of the truth *at the candidate's own numbers* (`local.py`), and a trained number may be
off by what the optimiser makes of the errors of its gradient (`transfer.py`). Where the truth had to be asked again the candidate
has done nothing wrong, but went elsewhere: later steps of that round are counted as undefined.

**Decisions** (a class, a count of right tokens, the examples a sampler chooses) may differ only where the truth itself is
undecided: where the margin in its logits is at most twice what the logits are allowed, since both sides of a margin may move.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from ..errors import UsageError

UNITS: Mapping[str, float] = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}
"""Unit roundoffs: the largest relative error of one rounding."""
MULTIPLE = 10.0
FLOOR = 16.0
SUMS = 4.0
"""Roundings of a sum of exponentials that is at least 1: as many as a tree of 10 has levels, or the root of the 16 of a vocabulary's."""
SPECTRAL = 8.0
UNDEFINED = 0.05


@attrs.frozen(kw_only=True)
class Quantity:
    """One thing that is compared."""

    name: str
    what: str
    tight: float = 0.0
    """Bound for float64, relative to the largest magnitude of the truth; 0 where another rule decides."""
    reason: str = ""
    """Why that bound."""


QUANTITIES: Mapping[str, Quantity] = {
    q.name: q
    for q in (
        Quantity(name="singular values", what="of the base weight, as many as the basis asks for"),
        Quantity(name="directions", what="subspaces of leading singular directions of the base weight"),
        Quantity(
            name="frames", what="signed columns of what the basis makes of the candidate's own directions"
        ),
        Quantity(
            name="logits",
            what="of every split, before the round",
            tight=3e-14,
            reason="a dot product of length n errs by about sqrt(n) u, a layer after another",
        ),
        Quantity(
            name="loss",
            what="of every example, before the round",
            tight=4e-14,
            reason="as the logits it is made of",
        ),
        Quantity(name="predictions", what="before the round"),
        Quantity(name="chosen examples", what="what the sampler makes of the candidate's own answers"),
        Quantity(
            name="activation products",
            what="X'X O / n, of every question that a basis asks of the data",
            tight=1e-13,
            reason="a mean over rows of what the layers before make, and nothing cancels",
        ),
        Quantity(
            name="gradient products",
            what="G O and G'Q, of every question that a basis asks of the data, or by which sites are chosen",
            tight=2e-12,
            reason="as the gradient",
        ),
        Quantity(
            name="answers",
            what="tokens of the round's first and last rollouts, each where its draw falls in the truth's probabilities",
        ),
        Quantity(
            name="answer log-probabilities",
            what="of the round's first and last rollouts, under the policy that gave them, and where it began",
            tight=4e-14,
            reason="as the logits they are made of",
        ),
        Quantity(
            name="training loss",
            what="of every step's batch",
            tight=1e-13,
            reason="as the logits, with the errors of the steps before; near 0, its sums' rounding comes on top",
        ),
        Quantity(
            name="gradient",
            what="of the trained numbers, at every step",
            tight=2e-12,
            reason="a sum over the batch that cancels, with the errors of the steps before",
        ),
        Quantity(
            name="core",
            what="the trained numbers, after every step",
            tight=1e-11,
            reason="Adam divides a gradient by its own size, and so repeats relative errors of small ones",
        ),
        Quantity(
            name="update",
            what="dW of every site",
            tight=1e-14,
            reason="the core's error, through orthonormal columns",
        ),
        Quantity(
            name="trial loss",
            what="on validation with the update tried, as merge policies see it",
            tight=5e-14,
            reason="the logits', and the update's",
        ),
        Quantity(
            name="merged weight",
            what="W_0 + sum of updates",
            tight=1e-14,
            reason="the update's error; updates are small against the weight",
        ),
        Quantity(
            name="logits after", what="with the candidate's own update merged", tight=3e-14, reason="as above"
        ),
        Quantity(name="predictions after", what="with the candidate's own update merged"),
        Quantity(name="recorded frames", what="frames on disk against the truth's"),
        Quantity(
            name="recorded update",
            what="dW on disk against the truth's, trained in the recorded frames",
            tight=1e-10,
            reason="as the update",
        ),
        Quantity(name="recorded loss", what="on disk, after the round", tight=4e-14, reason="as the loss"),
        Quantity(name="recorded predictions", what="on disk, after the round"),
    )
}
"""In the order of the computation, so that the first departure of a round is its cause."""

_NAMES = list(QUANTITIES)
_STEPWISE = ("training loss", "gradient", "core")


def order(quantity: str, step: int | None) -> tuple[int, int, int]:
    """Where in a round's computation a comparison stands; the quantities of one step come before the next step's."""
    place = _NAMES.index(quantity)
    phase = _NAMES.index(_STEPWISE[0]) if quantity in _STEPWISE else place
    return phase, step or 0, place


def dtype_of(backend: Any) -> str:
    """In what a backend computes: its option `dtype`, float64 where it has none."""
    dtype = str(getattr(backend, "dtype", "float64"))
    if dtype not in UNITS:
        raise UsageError(f'the precision of dtype "{dtype}" is not known; known: {", ".join(UNITS)}')
    return dtype


@attrs.frozen(kw_only=True)
class Criterion:
    """The rules above, for a candidate that computes in `dtype`."""

    dtype: str

    @property
    def unit(self) -> float:
        """Unit roundoff."""
        return UNITS[self.dtype]

    @property
    def needs_yardstick(self) -> bool:
        """Whether float32's own errors are part of the rule."""
        return self.dtype != "float64"

    def allowed(self, quantity: str, yardstick: float, scale: float, sums: float = 0.0) -> float:
        """Largest error of a quantity whose yardstick is off by `yardstick` and whose truth has magnitude `scale`.

        `sums` is the weight that logarithms of sums of exponentials have in it.
        """
        near_zero = SUMS * self.unit * sums
        if not self.needs_yardstick:
            return QUANTITIES[quantity].tight * scale + near_zero
        ratio = self.unit / UNITS["float32"]
        return ratio * (MULTIPLE * yardstick + FLOOR * UNITS["float32"] * scale) + near_zero

    def sine(self, leading: float, gap: float, size: int) -> float | None:
        """Largest sine between directions of a weight with longer side `size`, behind a gap; `leading` is `s_1`.

        None where the gap defines nothing. An infinite gap: all that is at stake is orthonormal columns.
        """
        amplified = max(1.0, leading / gap) if gap > 0.0 else math.inf
        bound = SPECTRAL * math.sqrt(size) * self.unit * amplified
        return bound if bound <= UNDEFINED or gap == math.inf else None

    def value(self, leading: float, size: int) -> float:
        """Largest error of a singular value."""
        return SPECTRAL * math.sqrt(size) * self.unit * leading

    def __str__(self) -> str:
        """The rule in one line."""
        if not self.needs_yardstick:
            return "float64: |c - t| <= tight bound of the quantity x max|t|"
        ratio = self.unit / UNITS["float32"]
        bound = f"{MULTIPLE:g} |y - t| + {FLOOR:g} u max|t|"
        bound = bound if ratio == 1 else f"{ratio:g} x ({bound})"
        return f"{self.dtype}: |c - t| <= {bound}, y the reference in float32, u = 2^-24"
