"""Equal budgets: a key is solved for, so that every arm trains as many numbers, steps or examples."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ..boosting.experiment import prepare
from ..errors import BoostLoraError, ExhaustedError
from ..spec.document import Document
from ..spec.faults import SpecError
from ..spec.resolve import resolve
from ..spec.spans import Path
from ..spec.spec import Spec
from .ablate import QUANTITIES, Budget, Quantity, Reader
from .assignments import MISSING, Assignment, lookup, matches
from .expand import Placed

LARGEST = 2**40
"""No key is solved beyond this."""


def measure(spec: Spec, quantity: Quantity) -> int:
    """A quantity of a spec: `parameters`, `parameters * rounds`, `steps * rounds`, or `batch_size * steps * rounds`.

    The number of parameters comes from the plan, so tying and every site count; directions need not suffice for it.
    """
    optimizer, rounds = spec["optimizer"], spec.rounds
    match quantity:
        case "steps":
            return optimizer.steps * rounds
        case "examples":
            return optimizer.batch_size * optimizer.steps * rounds
        case "parameters":
            return _parameters(spec)
        case "total_parameters":
            return _parameters(spec) * rounds


def _parameters(spec: Spec) -> int:
    # One round needs the fewest directions: what many rounds need is held against the plan later, with all keys solved.
    return prepare(attrs.evolve(spec, head=attrs.evolve(spec.head, rounds=1))).plan.parameters


class Budgets:
    """The `[[ablate.budget]]` tables."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self._registry = reader, reader.registry
        self._budgets = [
            (budget, path, reader.assignment(budget.match, (*path, "match")))
            for budget, path in reader.budgets()
        ]
        self.notes = list[str]()
        """What was solved, in words."""

    def solve(self, placed: Placed, baseline: Placed | None) -> tuple[Document, dict[str, int]]:
        """The arm's document with the dependent keys set, and their values; faults are taken down."""
        document, solved = placed.document, dict[str, int]()
        for budget, path, condition in self._budgets:
            if not matches(document, condition, self._registry) or not self._is_free(budget, path, placed):
                continue
            target = budget.at or self._target(budget, path, baseline)
            value = target and self._value(budget, path, placed, document, target)
            if value:
                document = Assignment().adding(budget.by, value, (*path, "by")).applied(document)
                solved[budget.by] = value
        return document, solved

    def _is_free(self, budget: Budget, path: Path, placed: Placed) -> bool:
        """Whether the arm leaves the dependent key to the budget, and the spec has such a key."""
        if budget.by in placed.arm.sets.values or budget.by in placed.block.values:
            message = f'"{budget.by}" is solved for, but the arm "{placed.arm.label}" sets it too'
            self._reader.fault((*path, "by"), message, hint="leave it out there, or match other arms here")
            return False
        value = lookup(placed.document, budget.by, self._registry)
        if value is MISSING or isinstance(value, bool) or not isinstance(value, int):
            message = f'"{budget.by}" is not a key of the arm "{placed.arm.label}" that takes a whole number'
            self._reader.fault(
                (*path, "by"), message, allowed="such as rounds, optimizer.steps, adapter.rank"
            )
            return False
        return True

    def _target(self, budget: Budget, path: Path, baseline: Placed | None) -> int:
        if baseline is None:
            message = "without a baseline, a budget needs a number to hold"
            self._reader.fault(path, message, at_key=True, hint="at = …, or ablate.baseline = …")
            return 0
        return self._measured(budget, path, baseline.document) or 0

    def _measured(self, budget: Budget, path: Path, document: Document) -> int | None:
        try:
            return measure(resolve(document, self._registry), budget.hold)
        except SpecError as error:
            self._reader.faults.extend(error.faults)
        except ExhaustedError:  # more directions than there are: too large, whatever is wanted
            return 2 * LARGEST
        except BoostLoraError as error:
            self._reader.fault(path, f"{budget.hold} cannot be told: {error}", at_key=True)
        return None

    def _value(
        self, budget: Budget, path: Path, placed: Placed, document: Document, target: int
    ) -> int | None:
        """The whole number that brings the quantity nearest to its target."""

        def quantity(value: int) -> int | None:
            setting = Assignment().adding(budget.by, value, (*path, "by"))
            return self._measured(budget, path, setting.applied(document))

        faults = len(self._reader.faults)
        found = nearest(quantity, target)
        if found is None:
            if len(self._reader.faults) == faults:
                message = (
                    f'no {budget.by} brings {QUANTITIES[budget.hold]} of "{placed.arm.label}" to {target}'
                )
                self._reader.fault((*path, "by"), message)
            return None
        value, reached = found
        if abs(reached - target) > budget.tolerance * target:
            message = (
                f'"{placed.arm.label}": {QUANTITIES[budget.hold]} cannot be {target}; the nearest is {reached}, with '
                f"{budget.by} = {value}"
            )
            self._reader.fault(
                (*path, "by"), message, hint="allow it with tolerance = …, or hold another number"
            )
            return None
        where = " · ".join(part for part in (placed.arm.label, placed.block.label) if part)
        told = f"{where}: {budget.by} = {value}, so that {QUANTITIES[budget.hold]} are {reached}"
        self.notes.append(told if reached == target else f"{told} (wanted: {target})")
        return value


def nearest(quantity: Callable[[int], int | None], target: int) -> tuple[int, int] | None:
    """The whole number, from 1, at which a quantity that grows with it comes nearest to a target, and what it is there.

    It is found by doubling, then by halving; None where the quantity cannot be told, or never reaches the target.
    """
    high, at_high = 1, quantity(1)
    low, at_low = 0, 0
    while at_high is not None and at_high < target:
        low, at_low, high = high, at_high, 2 * high
        at_high = quantity(high) if high <= LARGEST else None
    if at_high is None:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        at_middle = quantity(middle)
        if at_middle is None:
            return None
        if at_middle < target:
            low, at_low = middle, at_middle
        else:
            high, at_high = middle, at_middle
    if low > 0 and target - at_low < at_high - target:
        return low, at_low
    return high, at_high
