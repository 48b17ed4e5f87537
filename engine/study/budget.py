"""Equal budgets: solve for a key, so that all arms train equally many parameters, steps or examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs

from ..errors import BoostLoraError, ExhaustedError
from ..spec.document import Document
from ..spec.faults import SpecError
from ..spec.spans import Path
from .ablate import QUANTITIES, Budget
from .ablate_parser import Reader
from .arms import BlockArm, tunings, tunings_count
from .assignments import MISSING, Assignment, lookup, matches, overlapping
from .budget_quantities import QuantityCache

MAX_VALUE = 2**40
"""Largest value that a key is solved for."""
OUT_OF_RANGE = 2**80
"""Stands for the quantity if the key's value is above its legal range."""


@attrs.frozen(kw_only=True)
class _BudgetCase:
    """A budget in an arm, a block and a tuning."""

    budget: Budget
    path: Path
    block_arm: BlockArm
    tuning: Assignment
    document: Document

    def setting(self, value: int) -> Document:
        """The document with the solved key set."""
        return Assignment().adding(self.budget.by, value, (*self.path, "by")).applied(self.document)

    @property
    def where(self) -> str:
        """Display name of the arm, block and tuning."""
        return " · ".join(part for part in (self.block_arm.where, self.tuning.label()) if part)


class Budgets:
    """The `[[ablate.budget]]` tables, solved one after another in every arm, block and tuning."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self._measures = reader, QuantityCache(reader.registry)
        self._budgets = [
            (budget, path, reader.assignment(budget.match, (*path, "match")))
            for budget, path in reader.budgets()
        ]
        self._targets = dict[tuple[int, str], int]()
        self._reported = dict[str, dict[tuple[str, int], list[_BudgetCase]]]()

    @property
    def notes(self) -> list[str]:
        """The solved values, one line per budget; an arm is listed once if its tunings agree."""
        return [f"{note}: {', '.join(_values(arms))}" for note, arms in self._reported.items()]

    def solve(
        self, block_arm: BlockArm, tuning: Assignment, baseline: BlockArm | None
    ) -> tuple[Document, dict[str, int]]:
        """The arm's document at a tuning with the solved keys set, and their values; faults are recorded."""
        return self._solved(block_arm, tuning, baseline, len(self._budgets))

    def _solved(
        self, block_arm: BlockArm, tuning: Assignment, baseline: BlockArm | None, count: int
    ) -> tuple[Document, dict[str, int]]:
        """The same with only the first `count` budgets."""
        document, solved = tuning.applied(block_arm.document), dict[str, int]()
        if count and not self._measures.is_valid(document):
            return document, solved  # its faults are reported when the arm is parsed
        for number, (budget, path, condition) in enumerate(self._budgets[:count]):
            if not matches(document, condition, self._reader.registry):
                continue
            case = _BudgetCase(
                budget=budget, path=path, block_arm=block_arm, tuning=tuning, document=document
            )
            own = baseline is not None and block_arm.arm.label == baseline.arm.label and not budget.at
            if own and lookup(document, budget.by, self._reader.registry) is MISSING:
                continue  # the baseline defines the target and may lack the key
            now = self._present(case)
            if now is None or not (own or self._is_free(case)):
                continue
            if not own:
                target = budget.at or self._target(number, block_arm, baseline)
                now = self._value(case, now, target) if target else None
            if now is not None:
                document, solved[budget.by] = case.setting(now), now
        return document, solved

    def _present(self, case: _BudgetCase) -> int | None:
        """The current value of the solved key; None, with a fault, if the spec has no such key."""
        key = case.budget.by
        value = lookup(case.document, key, self._reader.registry)
        if value is not MISSING and isinstance(value, int) and not isinstance(value, bool) and key != "seed":
            return value
        message = f'"{key}" is not a key of the arm "{case.block_arm.arm.label}" that takes a whole number'
        allowed = "such as rounds, optimizer.steps, adapter.rank"
        self._reader.fault_once((*case.path, "by"), message, at_key=False, allowed=allowed)
        return None

    def _is_free(self, case: _BudgetCase) -> bool:
        """Whether nothing but the budget sets the key in this arm."""
        key, block_arm = case.budget.by, case.block_arm
        if other := overlapping(key, block_arm.setters):
            message = f'"{key}" is solved for, but {block_arm.setters[other]} sets it too'
        elif overlapping(key, block_arm.tune):
            message = f'"{key}" is solved for, but it is tuned in the arm "{block_arm.arm.label}"'
        else:
            return True
        hint = "leave it out there, or match other arms here"
        self._reader.fault_once((*case.path, "by"), message, at_key=False, hint=hint)
        return False

    def _target(self, number: int, block_arm: BlockArm, baseline: BlockArm | None) -> int:
        """The baseline's quantity in this block, with the earlier budgets applied; 0, with a fault, if it is unknown."""
        budget, path, _ = self._budgets[number]
        if baseline is None:
            block = f' in the block "{block_arm.block.label}"' if block_arm.block.label else ""
            message = f"without a baseline{block}, a budget needs a target"
            self._reader.fault_once(path, message, hint="at = …, or ablate.baseline = …")
            return 0
        case = (number, block_arm.block.label)
        if case not in self._targets:
            documents = [self._solved(baseline, t, baseline, number)[0] for t in tunings(baseline.tune)]
            found = {self._measured(budget, path, document) for document in documents}
            if len(found) > 1:
                note = ", ".join(str(quantity) for quantity in sorted(found))
                message = f"{budget.hold} of the baseline depend on its tuning: {note}"
                self._reader.fault_once(path, message, hint="set the target with at = …")
            self._targets[case] = found.pop() if len(found) == 1 else 0
        return self._targets[case]

    def _measured(self, budget: Budget, path: Path, document: Document) -> int:
        """The quantity of a document; 0, with the faults recorded, if it is unknown."""
        try:
            return self._measures.of(document, budget.hold)
        except SpecError as error:
            self._reader.faults.extend(error.faults)
        except ExhaustedError:
            return OUT_OF_RANGE
        except BoostLoraError as error:
            self._reader.fault_once(path, f"{budget.hold} cannot be computed: {error}")
        return 0

    def _value(self, case: _BudgetCase, now: int, target: int) -> int | None:
        """The integer that brings the quantity closest to its target; the current one on ties."""
        budget, arm = case.budget, case.block_arm.arm.label
        reached = self._measured(budget, case.path, case.document)
        if reached in {0, target}:
            return now if reached else None

        def quantity(value: int) -> int:
            found = self._measures.try_measure(case.setting(value), budget.hold)
            return found if found is not None else OUT_OF_RANGE if value > now else 0

        what, path = QUANTITIES[budget.hold], (*case.path, "by")
        if quantity(1) > reached:
            message = f"{what} do not grow with {budget.by}: it cannot be solved for"
            self._reader.fault_once(path, message, at_key=False)
            return None
        found = nearest(quantity, target)
        if found is None or abs(found[1] - target) >= abs(reached - target):
            found = (now, reached)
        value, at_value = found
        if abs(at_value - target) > budget.tolerance * target:
            near = f"the nearest is {at_value}, with {budget.by} = {value}"
            message = f'"{arm}": {what} cannot be {target}; {near if at_value < OUT_OF_RANGE else "no value comes close"}'
            hint = "allow it with tolerance = …, or choose another target"
            self._reader.fault(path, message, hint=hint)
            return None
        note = f"{budget.by} solved so that {what} are {at_value}"
        note += "" if at_value == target else f" (target: {target})"
        self._reported.setdefault(note, {}).setdefault((case.block_arm.where, value), []).append(case)
        return value


def _values(arms: Mapping[tuple[str, int], Sequence[_BudgetCase]]) -> Iterator[str]:
    """`32 (rank=2)`: a key's value, and the arm; the single tunings if they differ."""
    for (where, value), places in arms.items():
        every = len(places) == tunings_count(places[0].block_arm.tune)
        yield from (f"{value} ({where if every else case.where})" for case in places[: 1 if every else None])


def nearest(quantity: Callable[[int], int | None], target: int) -> tuple[int, int] | None:
    """The integer from 1 at which an increasing quantity is closest to a target, and the quantity there.

    Doubling brackets the target, and bisection finds it. None if the quantity is unknown, or never reaches the target.
    """
    high, at_high = 1, quantity(1)
    low, at_low = 0, 0
    while at_high is not None and at_high < target:
        low, at_low, high = high, at_high, 2 * high
        at_high = quantity(high) if high <= MAX_VALUE else None
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
