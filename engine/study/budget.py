"""Equal budgets: a key is solved for, so that every arm trains as many numbers, steps or examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs

from ..errors import BoostLoraError, ExhaustedError
from ..spec.document import Document
from ..spec.faults import SpecError
from ..spec.spans import Path
from .ablate import QUANTITIES, Budget
from .ablate_parser import Reader
from .assignments import MISSING, Assignment, lookup, matches, overlapping
from .budget_quantities import Measures
from .conditions import Placed
from .expand import tunings, tunings_count

LARGEST = 2**40
"""No key is solved beyond this."""
BEYOND = 2**80
"""Stands for the quantity where the key's value is larger than what is legal."""


@attrs.frozen(kw_only=True)
class _Place:
    """A budget in an arm, a block and a tuning."""

    budget: Budget
    path: Path
    placed: Placed
    tuning: Assignment
    document: Document

    def setting(self, value: int) -> Document:
        """The document with the dependent key set."""
        return Assignment().adding(self.budget.by, value, (*self.path, "by")).applied(self.document)

    @property
    def where(self) -> str:
        """The place for people."""
        return " · ".join(part for part in (self.placed.where, self.tuning.label()) if part)


class Budgets:
    """The `[[ablate.budget]]` tables, solved one after another in every arm, block and tuning."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self._measures = reader, Measures(reader.registry)
        self._budgets = [
            (budget, path, reader.assignment(budget.match, (*path, "match")))
            for budget, path in reader.budgets()
        ]
        self._targets = dict[tuple[int, str], int]()
        self._told = dict[str, dict[tuple[str, int], list[_Place]]]()

    @property
    def notes(self) -> list[str]:
        """What was solved, in words: a line a budget, with an arm once for all its tunings where they agree."""
        return [f"{told}: {', '.join(_values(arms))}" for told, arms in self._told.items()]

    def solve(
        self, placed: Placed, tuning: Assignment, baseline: Placed | None
    ) -> tuple[Document, dict[str, int]]:
        """The arm's document under a tuning with the dependent keys set, and their values; faults are taken down."""
        return self._solved(placed, tuning, baseline, len(self._budgets))

    def _solved(
        self, placed: Placed, tuning: Assignment, baseline: Placed | None, count: int
    ) -> tuple[Document, dict[str, int]]:
        """The same under the first budgets alone."""
        document, solved = tuning.applied(placed.document), dict[str, int]()
        if count and not self._measures.is_sound(document):
            return document, solved  # its faults are told when the arm is read
        for number, (budget, path, condition) in enumerate(self._budgets[:count]):
            if not matches(document, condition, self._reader.registry):
                continue
            place = _Place(budget=budget, path=path, placed=placed, tuning=tuning, document=document)
            own = baseline is not None and placed.arm.label == baseline.arm.label and not budget.at
            if own and lookup(document, budget.by, self._reader.registry) is MISSING:
                continue  # the others are held to it by a key that it need not have
            now = self._present(place)
            if now is None or not (own or self._is_free(place)):
                continue
            if not own:
                target = budget.at or self._target(number, placed, baseline)
                now = self._value(place, now, target) if target else None
            if now is not None:
                document, solved[budget.by] = place.setting(now), now
        return document, solved

    def _present(self, place: _Place) -> int | None:
        """The dependent key's value so far; None, with a fault, where the spec has no such key."""
        key = place.budget.by
        value = lookup(place.document, key, self._reader.registry)
        if value is not MISSING and isinstance(value, int) and not isinstance(value, bool) and key != "seed":
            return value
        message = f'"{key}" is not a key of the arm "{place.placed.arm.label}" that takes a whole number'
        allowed = "such as rounds, optimizer.steps, adapter.rank"
        self._reader.fault_once((*place.path, "by"), message, at_key=False, allowed=allowed)
        return None

    def _is_free(self, place: _Place) -> bool:
        """Whether the arm leaves the dependent key to the budget."""
        key, placed = place.budget.by, place.placed
        if other := overlapping(key, placed.setters):
            message = f'"{key}" is solved for, but {placed.setters[other]} sets it too'
        elif overlapping(key, placed.tune):
            message = f'"{key}" is solved for, but it is tuned in the arm "{placed.arm.label}"'
        else:
            return True
        hint = "leave it out there, or match other arms here"
        self._reader.fault_once((*place.path, "by"), message, at_key=False, hint=hint)
        return False

    def _target(self, number: int, placed: Placed, baseline: Placed | None) -> int:
        """What the baseline of the block has, under the budgets before; 0, with a fault, where that cannot be told."""
        budget, path, _ = self._budgets[number]
        if baseline is None:
            block = f' in the block "{placed.block.label}"' if placed.block.label else ""
            message = f"without a baseline{block}, a budget needs a number to hold"
            self._reader.fault_once(path, message, hint="at = …, or ablate.baseline = …")
            return 0
        place = (number, placed.block.label)
        if place not in self._targets:
            documents = [self._solved(baseline, t, baseline, number)[0] for t in tunings(baseline.tune)]
            found = {self._measured(budget, path, document) for document in documents}
            if len(found) > 1:
                told = ", ".join(str(quantity) for quantity in sorted(found))
                message = f"{budget.hold} of the baseline depend on what is tuned in it: {told}"
                self._reader.fault_once(path, message, hint="say which with at = …")
            self._targets[place] = found.pop() if len(found) == 1 else 0
        return self._targets[place]

    def _measured(self, budget: Budget, path: Path, document: Document) -> int:
        """The quantity of a document; 0, with the faults taken down, where it cannot be told."""
        try:
            return self._measures.of(document, budget.hold)
        except SpecError as error:
            self._reader.faults.extend(error.faults)
        except ExhaustedError:
            return BEYOND
        except BoostLoraError as error:
            self._reader.fault_once(path, f"{budget.hold} cannot be told: {error}")
        return 0

    def _value(self, place: _Place, now: int, target: int) -> int | None:
        """The whole number that brings the quantity nearest to its target: the present one, where none is nearer."""
        budget, arm = place.budget, place.placed.arm.label
        reached = self._measured(budget, place.path, place.document)
        if reached in {0, target}:
            return now if reached else None

        def quantity(value: int) -> int:
            found = self._measures.on_trial(place.setting(value), budget.hold)
            return found if found is not None else BEYOND if value > now else 0

        what, path = QUANTITIES[budget.hold], (*place.path, "by")
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
            message = f'"{arm}": {what} cannot be {target}; {near if at_value < BEYOND else "none will do"}'
            hint = "allow it with tolerance = …, or hold another number"
            self._reader.fault(path, message, hint=hint)
            return None
        told = f"{budget.by} solved so that {what} are {at_value}"
        told += "" if at_value == target else f" (wanted: {target})"
        self._told.setdefault(told, {}).setdefault((place.placed.where, value), []).append(place)
        return value


def _values(arms: Mapping[tuple[str, int], Sequence[_Place]]) -> Iterator[str]:
    """`32 (rank=2)`: a key's value, and the arm or, where its tunings differ, the tunings that have it."""
    for (where, value), places in arms.items():
        every = len(places) == tunings_count(places[0].placed.tune)
        yield from (
            f"{value} ({where if every else place.where})" for place in places[: 1 if every else None]
        )


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
