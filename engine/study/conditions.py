"""Arms brought into their blocks, where the `[[ablate.when]]` tables drop or adjust them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import attrs

from ..spec.document import Document
from ..spec.spans import Path
from .ablate_parser import Reader, key_place
from .assignments import Assignment, matches, overlapping
from .labels import text
from .record import Block

Candidates = Mapping[str, list[Assignment]]
CONDITION = "a condition"


@attrs.frozen(kw_only=True)
class Draft:
    """An arm before it is brought into a block: what it sets, and what is tuned in it."""

    label: str
    sets: Assignment
    tune: Candidates
    place: Path
    """Where it is written, for faults that concern the whole arm."""
    own: Collection[str] = ()
    """Keys for which it brings candidates of its own."""


@attrs.frozen(kw_only=True)
class Placed:
    """An arm in a block, conditions applied."""

    arm: Draft
    block: Block
    document: Document
    tune: Candidates
    setters: Mapping[str, str]
    """Who sets a key that is not the base's, in words."""

    @property
    def where(self) -> str:
        """The arm and its block, for people."""
        return " · ".join(part for part in (self.arm.label, self.block.label) if part)


class Conditions:
    """The `[[ablate.when]]` tables, applied in their order; one that never matches is a fault."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._conditions = [
            (
                when,
                path,
                reader.assignment(when.match, (*path, "match")),
                reader.assignment(when.set, (*path, "set")),
                reader.lists(when.tune, (*path, "tune")),
            )
            for when, path in reader.conditions()
        ]
        for _, path, _, sets, tune in self._conditions:
            for key in tune:
                if overlapping(key, sets.values):
                    reader.fault_once((*path, "tune"), f'"{key}" is set by this condition already')
        self._matched = set[Path]()
        self.dropped = list[str]()

    def place(self, arm: Draft, block: Block, setting: Assignment, base: Document) -> Placed | None:
        """An arm in a block; None where a condition drops it."""
        setters = dict.fromkeys(setting.values, f'the block "{block.label}"')
        setters |= dict.fromkeys([*arm.sets.values, *arm.own], f'the arm "{arm.label}"')
        document = Assignment.joined([setting, arm.sets]).applied(base)
        found = Placed(arm=arm, block=block, document=document, tune=arm.tune, setters=setters)
        for when, path, condition, sets, tune in self._conditions:
            self._check_match(condition, found.tune)
            if not matches(found.document, condition, self._reader.registry):
                continue
            self._matched.add(path)
            if when.drop:
                self.dropped.append(found.where)
                return None
            found = self._adjusted(found, sets, tune)
        return found

    def _check_match(self, condition: Assignment, tune: Candidates) -> None:
        for key, place in condition.places.items():
            if overlapping(key, tune):
                message = (
                    f'"{key}" is tuned: no condition can ask for it, since an arm has all its candidates'
                )
                self._reader.fault_once(place, message)

    def _adjusted(self, found: Placed, sets: Assignment, tune: Candidates) -> Placed:
        """The arm under a condition: what it sets is not tuned any more, and what it tunes has its candidates alone."""
        hint = "match other arms here, or leave it out there"
        settings = {**sets.places, **{key: place for r in tune.values() for key, place in _places(r)}}
        fixed = [key for key, who in found.setters.items() if who != CONDITION]
        for key, place in settings.items():
            if other := overlapping(key, fixed):
                message = f'"{key}" is set by {found.setters[other]} already'
                self._reader.fault_once(place, message, hint=hint)
        left = {k: rows for k, rows in found.tune.items() if not overlapping(k, [*sets.values, *tune])}
        return attrs.evolve(
            found,
            document=sets.applied(found.document),
            tune={**left, **tune},
            setters={**found.setters, **dict.fromkeys(sets.values, CONDITION)},
        )

    def check(self) -> None:
        """Take down conditions that matched no arm: they are misspelt, or of no use."""
        for _, path, condition, _, _ in self._conditions:
            if path not in self._matched and condition.values:
                wanted = ", ".join(f"{key} = {text(value)}" for key, value in condition.values.items())
                self._reader.fault((*path, "match"), f"matches no arm: {wanted}", at_key=True)


def _places(rows: Iterable[Assignment]) -> Iterable[tuple[str, Path]]:
    return ((key, key_place(place)) for row in rows for key, place in row.places.items())
