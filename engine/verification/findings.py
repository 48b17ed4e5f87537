"""What was compared, how it came out, and where a candidate departs first."""

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
    """One quantity of one round at one place: a site, a split, or a group of trained numbers."""

    round: int
    quantity: str
    where: str
    error: float
    allowed: float
    """Both absolute, in the quantity's own unit; of decisions, how many differ without excuse, and 0."""
    step: int | None = None
    """The optimiser step: the first that departs, else the one with the largest ratio."""
    compared: int = 1
    undefined: int = 0
    """Of `compared + undefined` directions, how many the weight does not define."""
    excused: int = 0
    """Decisions that differ where the truth is undecided."""
    note: str = ""

    @property
    def ratio(self) -> float:
        """Error in units of what is allowed; above 1 the candidate departs. NaN counts as infinite."""
        if math.isnan(self.error):
            return math.inf
        if self.error == 0.0:
            return 0.0
        return self.error / self.allowed if self.allowed > 0.0 else math.inf

    @property
    def departed(self) -> bool:
        """Whether this is more than what is allowed."""
        return self.ratio > 1.0

    @property
    def place(self) -> str:
        """Where, in words."""
        step = "" if self.step is None else f", step {self.step}"
        return f"round {self.round}, {self.where}{step}"

    def as_json(self) -> dict[str, Any]:
        """The finding for scripts; what is not finite becomes null."""
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
    """Rounds in which one did."""
    compared: int
    undefined: int
    excused: int


@attrs.frozen(kw_only=True)
class Verification:
    """The whole comparison."""

    subject: str
    candidate: str
    criteria: tuple[str, ...]
    rounds: int
    limits: tuple[str, ...]
    """What was left out on request."""
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding | None:
        """The first departure, in the order of the computation; None if there is none."""
        departed = [f for f in self.findings if f.departed]
        return min(departed, key=lambda f: (f.round, *order(f.quantity, f.step)), default=None)

    @property
    def passed(self) -> bool:
        """Whether nothing departed, and something was compared."""
        return self.first is None and bool(self.findings)

    def rows(self) -> list[Row]:
        """One a quantity, in the order of the computation."""
        by_name = {name: [f for f in self.findings if f.quantity == name] for name in QUANTITIES}
        return [_row(name, found) for name, found in by_name.items() if found]

    def as_json(self) -> dict[str, Any]:
        """Everything, for scripts."""
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
    """Of several at one place: the first that departs, else the one with the largest ratio."""
    found = list(findings)
    return next((f for f in found if f.departed), None) or max(found, key=lambda f: f.ratio)


def distance(a: Matrix, b: Matrix) -> float:
    """`max|a - b|`; infinite where shapes differ or something is NaN."""
    if a.shape != b.shape:
        return math.inf
    found = float(np.max(np.abs(a - b), initial=0.0))
    return math.inf if math.isnan(found) else found


def magnitude(a: Matrix) -> float:
    """`max|a|`."""
    return float(np.max(np.abs(a), initial=0.0))
