"""Error bounds of a candidate, quantity by quantity.

`t` is the truth (the reference in float64), `c` the candidate, `y` the yardstick (the reference in float32). All
start every round from the same ensemble and train on the same batches in the same frames.

**A candidate in float32** may be off by

    max|c - t|  <=  MULTIPLE * max|y - t|  +  FLOOR * u32 * max|t|,    u32 = 2^-24 the unit roundoff.

The yardstick measures the float32 error of this computation, including the model's depth and the optimiser's amplification;
the multiple allows for another order of summation. The floor covers quantities that the yardstick happens to compute
exactly. Training steps use the largest error of the yardstick so far, since errors propagate to later steps. **In lower
precision** both terms grow by the ratio of unit roundoffs (bfloat16: 2^16, float16: 2^13).

**A candidate in float64** is as exact as the truth, so no yardstick is needed: `max|c - t|` is at most the
`tight` bound of the quantity, in the table below, times `max|t|`. These bounds are about ten times the largest errors measured
between NumPy and PyTorch on perceptrons (up to 512 wide), MiniLM and SmolLM2.

**A loss near 0** is the logarithm of a number near 1: `-log p_y = log T + (max z - z_y)`, `T = sum_j exp(z_j - max z) >= 1`. A rounding
of T changes the loss by about u, however small the loss is. In every precision a batch's loss
`sum_i w_i l_i / b` may therefore be off by `SUMS * u * sum_i |w_i| / b` more. The yardstick has such errors too, but those of a batch's
examples may cancel by chance, and the floor is relative to a loss without lower bound. Large logits do not widen the bound of a batch's loss.

**A loss of single examples** is a difference of logits, and as exact as they are: its error is relative to the largest of 1 nat, the losses
and the logits. Relative to the losses alone, a correct backend in float32 fails where logits are large and losses are not.

**Singular directions** are determined up to their gaps (Davis and Kahan, 1970; Wedin, 1972): in every precision their sine
may be `SPECTRAL * sqrt(n) * u * s_1 / gap`, with n the weight's longer side (n roundings add up to about sqrt(n) u). If the
bound exceeds `UNDEFINED`, the weight does not determine them: they are counted, not compared. Singular values are always
determined (Weyl) up to `SPECTRAL * sqrt(n) * u * s_1`.

**Data-driven frames** are not determined vector by vector, so only the truth computes them. Its oracle queries are repeated
on the other models, and their products are compared (`gradient_products.py`); stored frames are checked for the properties
of such frames (`stored_frames.py`).

**Training** may amplify rounding errors: Adam may step either way if a gradient is smaller than its error, and a ReLU may
flip. A step beyond its bound is recomputed by the truth *at the candidate's own parameters* (`step_replay.py`), and a
parameter may be off by its propagated gradient errors (`error_propagation.py`). If a recomputed step agrees, the candidate is
right but has diverged by rounding: later steps of that round are counted as undefined.

**Decisions** (a class, a count of right tokens, a sampler's examples) may differ only if the truth is undecided: if the margin
of its logits is at most twice their allowed error, since both logits may move.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

from ..errors import UsageError

UNITS: Mapping[str, float] = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}
"""Unit roundoffs: largest relative error of one rounding."""
MULTIPLE = 10.0
FLOOR = 16.0
SUMS = 4.0
"""Roundings of a sum of exponentials: the depth of a pairwise sum over 10 classes, or the square root of a vocabulary's 16."""
SPECTRAL = 8.0
UNDEFINED = 0.05


@attrs.frozen(kw_only=True)
class Quantity:
    """A compared quantity."""

    name: str
    what: str
    tight: float = 0.0
    """Bound for float64, relative to the largest magnitude of the truth; 0 if another rule applies."""
    reason: str = ""
    """Reason for the bound."""


QUANTITIES: Mapping[str, Quantity] = {
    q.name: q
    for q in (
        Quantity(name="singular values", what="of the base weight, as many as the basis uses"),
        Quantity(name="directions", what="subspaces of leading singular directions of the base weight"),
        Quantity(
            name="frames",
            what="signed columns of the frames that the basis computes from the candidate's own directions",
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
            reason="same as the logits",
        ),
        Quantity(name="predictions", what="before the round"),
        Quantity(name="chosen examples", what="the sampler's selection from the candidate's own answers"),
        Quantity(
            name="activation products",
            what="X'X O / n of every calibration query of the basis",
            tight=1e-13,
            reason="a mean over rows of activations, without cancellation",
        ),
        Quantity(
            name="gradient products",
            what="G O and G'Q of every calibration query of the basis, and of the selection of sites",
            tight=2e-12,
            reason="same as the gradient",
        ),
        Quantity(
            name="answers",
            what="tokens of the round's first and last rollouts, by inverting the truth's cumulative probabilities at their draws",
        ),
        Quantity(
            name="answer log-probabilities",
            what="of the round's first and last rollouts, under the policy that sampled them and under the initial policy",
            tight=4e-14,
            reason="same as the logits",
        ),
        Quantity(
            name="training loss",
            what="of every step's batch",
            tight=1e-13,
            reason="same as the logits, plus errors of earlier steps; near 0, plus rounding of sums",
        ),
        Quantity(
            name="gradient",
            what="of the trained parameters, at every step",
            tight=2e-12,
            reason="a sum over the batch with cancellation, plus errors of earlier steps",
        ),
        Quantity(
            name="core",
            what="the trained parameters, after every step",
            tight=1e-11,
            reason="Adam normalises gradients, and so keeps relative errors of small ones",
        ),
        Quantity(
            name="update",
            what="dW of every site",
            tight=1e-14,
            reason="the core's error, preserved by orthonormal columns",
        ),
        Quantity(
            name="trial loss",
            what="on validation with the trial update, as for merge policies",
            tight=5e-14,
            reason="errors of the logits and the update",
        ),
        Quantity(
            name="merged weight",
            what="W_0 + sum of updates",
            tight=1e-14,
            reason="the update's error; updates are small compared with the weight",
        ),
        Quantity(
            name="logits after",
            what="with the candidate's own update merged",
            tight=3e-14,
            reason="same as before the round",
        ),
        Quantity(name="predictions after", what="with the candidate's own update merged"),
        Quantity(name="recorded frames", what="stored frames against the truth's"),
        Quantity(
            name="recorded update",
            what="stored dW against the truth's, trained in the stored frames",
            tight=1e-10,
            reason="same as the update",
        ),
        Quantity(
            name="recorded loss", what="stored, after the round", tight=4e-14, reason="same as the loss"
        ),
        Quantity(name="recorded predictions", what="stored, after the round"),
    )
}
"""In the order of computation, so that the first departure of a round is the cause of later ones."""

_NAMES = list(QUANTITIES)
_STEPWISE = ("training loss", "gradient", "core")


def order(quantity: str, step: int | None) -> tuple[int, int, int]:
    """Sort key of a comparison in the order of computation, step by step."""
    place = _NAMES.index(quantity)
    phase = _NAMES.index(_STEPWISE[0]) if quantity in _STEPWISE else place
    return phase, step or 0, place


def dtype_of(backend: object) -> str:
    """The precision of a backend: its option `dtype`, or float64."""
    dtype = str(getattr(backend, "dtype", "float64"))
    if dtype not in UNITS:
        raise UsageError(f'unknown precision of dtype "{dtype}"; known: {", ".join(UNITS)}')
    return dtype


@attrs.frozen(kw_only=True)
class Criterion:
    """The bounds for a candidate that computes in `dtype`."""

    dtype: str

    @property
    def unit(self) -> float:
        """Unit roundoff."""
        return UNITS[self.dtype]

    @property
    def needs_yardstick(self) -> bool:
        """Whether the bound depends on float32 errors of the yardstick."""
        return self.dtype != "float64"

    def allowed(self, quantity: str, yardstick: float, scale: float, sums: float = 0.0) -> float:
        """Allowed error of a quantity, for a yardstick error `yardstick` and a truth of magnitude `scale`.

        `sums` is the total weight of log-sum-exp terms in it.
        """
        near_zero = SUMS * self.unit * sums
        if not self.needs_yardstick:
            return QUANTITIES[quantity].tight * scale + near_zero
        ratio = self.unit / UNITS["float32"]
        return ratio * (MULTIPLE * yardstick + FLOOR * UNITS["float32"] * scale) + near_zero

    def sine(self, leading: float, gap: float, size: int) -> float | None:
        """Allowed sine between directions of a weight with longer side `size` and a gap; `leading` is `s_1`.

        None if the gap is too small to determine them. An infinite gap leaves only the rounding of orthonormal columns.
        """
        amplified = max(1.0, leading / gap) if gap > 0.0 else math.inf
        bound = SPECTRAL * math.sqrt(size) * self.unit * amplified
        return bound if bound <= UNDEFINED or gap == math.inf else None

    def value(self, leading: float, size: int) -> float:
        """Allowed error of a singular value."""
        return SPECTRAL * math.sqrt(size) * self.unit * leading

    def __str__(self) -> str:
        """The rule in one line."""
        if not self.needs_yardstick:
            return "float64: |c - t| <= tight bound of the quantity x max|t|"
        ratio = self.unit / UNITS["float32"]
        bound = f"{MULTIPLE:g} |y - t| + {FLOOR:g} u max|t|"
        bound = bound if ratio == 1 else f"{ratio:g} x ({bound})"
        return f"{self.dtype}: |c - t| <= {bound}, y the reference in float32, u = 2^-24"
