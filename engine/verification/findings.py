"""Results of comparisons, the first departure of a candidate, and notes on rounds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from .criterion import QUANTITIES, order

Matrix = NDArray[np.float64]


@attrs.frozen(kw_only=True)
class Finding:
    """One quantity of one round at one location: a site, a split, or a group of parameters."""

    round: int
    quantity: str
    where: str
    error: float
    allowed: float
    """Both absolute, in the quantity's unit; for decisions, the number of unexcused differences, and 0."""
    step: int | None = None
    """The optimiser step: the first departure, or the step with the largest ratio."""
    compared: int = 1
    undefined: int = 0
    """Number of directions that the weight does not determine; they are not in `compared`."""
    excused: int = 0
    """Differing decisions that are excused, since the truth is undecided."""
    note: str = ""

    @property
    def ratio(self) -> float:
        """Error over allowed error; above 1 the candidate departs. NaN counts as infinite."""
        if math.isnan(self.error):
            return math.inf
        if self.error == 0.0:
            return 0.0
        return self.error / self.allowed if self.allowed > 0.0 else math.inf

    @property
    def departed(self) -> bool:
        """Whether the error exceeds the allowed error."""
        return self.ratio > 1.0

    @property
    def place(self) -> str:
        """Round, location and step, as text."""
        step = "" if self.step is None else f", step {self.step}"
        return f"round {self.round}, {self.where}{step}"

    def as_json(self) -> dict[str, Any]:
        """The finding as JSON; numbers that are not finite become null."""
        content = {**attrs.asdict(self), "ratio": self.ratio, "departed": self.departed}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in content.items()}


@attrs.frozen(kw_only=True)
class Row:
    """One quantity over all rounds."""

    quantity: str
    worst: Finding
    departed: int
    """Comparisons that departed."""
    rounds: tuple[int, ...]
    """Rounds with a departure."""
    compared: int
    undefined: int
    excused: int


@attrs.frozen(kw_only=True)
class Verification:
    """The result of a verification."""

    subject: str
    candidate: str
    criteria: tuple[str, ...]
    rounds: int
    limits: tuple[str, ...]
    """What the user's limits left out."""
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding | None:
        """The first departure in the order of computation, if any."""
        departed = [f for f in self.findings if f.departed]
        return min(departed, key=lambda f: (f.round, *order(f.quantity, f.step)), default=None)

    @property
    def passed(self) -> bool:
        """Whether something was compared and nothing departed."""
        return self.first is None and bool(self.findings)

    def rows(self) -> list[Row]:
        """One row per quantity, in the order of computation."""
        by_name = {name: [f for f in self.findings if f.quantity == name] for name in QUANTITIES}
        return [_row(name, found) for name, found in by_name.items() if found]

    def as_json(self) -> dict[str, Any]:
        """The result as JSON."""
        first = self.first
        keys = ("subject", "candidate", "criteria", "rounds", "limits", "notes")
        return {
            "passed": self.passed,
            **{key: getattr(self, key) for key in keys},
            "first_departure": None if first is None else first.as_json(),
            "quantities": [
                {**attrs.asdict(row), "worst": row.worst.as_json(), "tight": QUANTITIES[row.quantity].tight}
                for row in self.rows()
            ],
            "findings": [finding.as_json() for finding in self.findings],
        }


def _row(name: str, found: list[Finding]) -> Row:
    departed = [f for f in found if f.departed]
    return Row(
        quantity=name,
        worst=max(found, key=lambda f: (f.ratio, f.error)),
        departed=len(departed),
        rounds=tuple(sorted({f.round for f in departed})),
        compared=sum(f.compared for f in found),
        undefined=sum(f.undefined for f in found),
        excused=sum(f.excused for f in found),
    )


def worst(findings: Iterable[Finding]) -> Finding:
    """Of several findings at one location: the first departure, or the one with the largest ratio."""
    found = list(findings)
    return next((f for f in found if f.departed), None) or max(found, key=lambda f: f.ratio)


def distance(a: Matrix, b: Matrix) -> float:
    """`max|a - b|`; infinite if shapes differ or an entry is NaN."""
    if a.shape != b.shape:
        return math.inf
    found = float(np.max(np.abs(a - b), initial=0.0))
    return math.inf if math.isnan(found) else found


def magnitude(a: Matrix) -> float:
    """`max|a|`."""
    return float(np.max(np.abs(a), initial=0.0))


CONVERGED = "the sampler chose no example: nothing is left to learn"
NOTHING_TO_REFIT = "no merged round has cores to refit"
NOT_STORED = "the calibration rollouts of its basis were not stored, so its frames were taken as recorded"
UNFINISHED = "the candidate could not finish it; no further round was compared"


class Notes:
    """Notes on rounds, without duplicates."""

    def __init__(self) -> None:
        self._rounds = dict[str, list[int]]()

    def add(self, number: int, text: str) -> None:
        """Add a note on a round; empty texts are ignored."""
        if text:
            self._rounds.setdefault(text, []).append(number)

    def lines(self) -> tuple[str, ...]:
        """`rounds 1, 2: …`."""
        return tuple(
            f"round{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}: {text}"
            for text, numbers in self._rounds.items()
        )
