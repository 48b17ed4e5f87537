"""Arms of a study: grid, zip and cases, repeated across blocks, and adjusted by conditions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import product
from math import prod

import attrs

from ..spec.document import Document
from ..spec.faults import did_you_mean, listed
from ..spec.spans import Path
from ..spec.structure import show
from .ablate import MAX_CELLS, Case
from .ablate_parser import Reader, key_place
from .assignments import Assignment, matches, overlapping
from .record import Block, setting_text

Candidates = Mapping[str, list[Assignment]]
CONDITION = "a condition"


@attrs.frozen(kw_only=True)
class ArmDefinition:
    """An arm as defined: the keys it sets, and its candidates for tuned keys."""

    label: str
    sets: Assignment
    tune: Candidates
    place: Path
    """Its position, for faults of the whole arm."""
    own: Collection[str] = ()
    """Keys with its own candidates."""


@attrs.frozen(kw_only=True)
class BlockArm:
    """An arm in a block, after conditions."""

    arm: ArmDefinition
    block: Block
    document: Document
    tune: Candidates
    setters: Mapping[str, str]
    """What sets each key that differs from the base, as text."""

    @property
    def where(self) -> str:
        """Display name of the arm and its block."""
        return " · ".join(part for part in (self.arm.label, self.block.label) if part)


class Conditions:
    """The `[[ablate.when]]` tables, applied in order; a condition that never matches is a fault."""

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

    def place(self, arm: ArmDefinition, block: Block, setting: Assignment, base: Document) -> BlockArm | None:
        """Put an arm into a block; None if a condition drops it."""
        setters = dict.fromkeys(setting.values, f'the block "{block.label}"')
        setters |= dict.fromkeys([*arm.sets.values, *arm.own], f'the arm "{arm.label}"')
        document = Assignment.joined([setting, arm.sets]).applied(base)
        found = BlockArm(arm=arm, block=block, document=document, tune=arm.tune, setters=setters)
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
                    f'"{key}" is tuned: a condition cannot match it, since the arm has several candidates'
                )
                self._reader.fault_once(place, message)

    def _adjusted(self, found: BlockArm, sets: Assignment, tune: Candidates) -> BlockArm:
        """The arm adjusted by a condition: keys it sets are no longer tuned, and keys it tunes take its candidates."""
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
        """Record a fault for conditions that match no arm, which are probably misspelt."""
        for _, path, condition, _, _ in self._conditions:
            if path not in self._matched and condition.values:
                wanted = ", ".join(
                    f"{key} = {setting_text(value)}" for key, value in condition.values.items()
                )
                self._reader.fault((*path, "match"), f"matches no arm: {wanted}", at_key=True)


def _places(rows: Iterable[Assignment]) -> Iterable[tuple[str, Path]]:
    return ((key, key_place(place)) for row in rows for key, place in row.places.items())


def arm_definitions(reader: Reader, base: str) -> list[ArmDefinition]:
    """Every arm, in the order of the text: the grid's combinations, then the cases; by default only the spec itself, `base`."""
    grid = reader.lists(reader.ablate.grid, ("ablate", "grid"))
    axes = [*grid.values(), *reader.zips()]
    tune = reader.lists(reader.ablate.tune, ("ablate", "tune"))
    apart = _check_axes(reader, [*axes, *tune.values()])
    combined = _combined(reader, axes, tune)
    cases = [_case(case, path, tune, reader) for case, path in reader.cases()]
    _check_labels([*combined, *cases] if apart else cases, reader)
    return [*combined, *cases] or [ArmDefinition(label=base, sets=Assignment(), tune=tune, place=("ablate",))]


def _combined(reader: Reader, axes: Sequence[Sequence[Assignment]], tune: Candidates) -> list[ArmDefinition]:
    """An arm per combination; none, with a fault, if there are more than the limit of cells."""
    count = prod(len(axis) for axis in axes)
    if count > MAX_CELLS:
        reader.fault(("ablate",), f"{count:,} arms; a study has at most {MAX_CELLS:,} cells", at_key=True)
    if not axes or count > MAX_CELLS:
        return []
    keys = list(dict.fromkeys(key for axis in axes for row in axis for key in row.values))
    place: Path = ("ablate", "grid" if reader.ablate.grid else "zip")
    joined = (Assignment.joined(row) for row in product(*axes))
    return [ArmDefinition(label=sets.label(keys), sets=sets, tune=tune, place=place) for sets in joined]


def _case(case: Case, path: Path, tune: Candidates, reader: Reader) -> ArmDefinition:
    """An explicit arm; keys it sets are not tuned, and it may have its own candidates."""
    own = reader.lists(case.tune, (*path, "tune"))
    sets = reader.assignment(case.set, (*path, "set"))
    for key, rows in own.items():
        if overlapping(key, sets.values):
            place = key_place(rows[0].places[next(iter(rows[0].places))])
            reader.fault(place, f'"{key}" is set by this case already', at_key=True)
    left = {key: rows for key, rows in tune.items() if not overlapping(key, [*sets.values, *own])}
    return ArmDefinition(
        label=case.name, sets=sets, tune={**left, **own}, place=(*path, "name"), own=tuple(own)
    )


def _check_axes(reader: Reader, axes: Iterable[Sequence[Assignment]]) -> bool:
    """Record a fault for keys that vary in two places; True if there are none."""
    seen, apart = dict[str, str](), True
    for axis in axes:
        new = dict[str, str]()
        for key, place in ((key, place) for row in axis for key, place in row.places.items()):
            if other := overlapping(key, seen):
                message = f'"{key}" is in {_word(seen[other], other, key)} already'
                reader.fault_once(key_place(place), message, hint="a key may vary in only one place")
                apart = False
            new[key] = str(place[1])
        seen |= new
    return apart


def _word(table: str, other: str, key: str) -> str:
    return f"ablate.{table}" if other == key else f'ablate.{table} as "{other}"'


def _check_labels(found: Sequence[ArmDefinition], reader: Reader) -> None:
    seen = set[str]()
    for definition in found:
        if definition.label in seen:
            named = definition.place[1] == "case"
            hint = "" if named else "give arms of [[ablate.case]] distinct names"
            reader.fault(
                definition.place, f'two arms are called "{definition.label}"', at_key=not named, hint=hint
            )
        seen.add(definition.label)


def blocks_of(reader: Reader, definitions: Iterable[ArmDefinition]) -> list[tuple[Block, Assignment]]:
    """Every combination of `across` with its settings; one unnamed block by default."""
    lists = reader.lists(reader.ablate.across, ("ablate", "across"))
    if (count := prod(len(rows) for rows in lists.values())) > MAX_CELLS:
        message = f"{count:,} blocks; a study has at most {MAX_CELLS:,} cells"
        reader.fault(("ablate", "across"), message, at_key=True)
        return []
    rows = [Assignment.joined(row) for row in product(*lists.values())]
    _check_axes(reader, lists.values())
    _check_blocks(reader, [row for column in lists.values() for row in column], definitions)
    keys = list(dict.fromkeys(key for row in rows for key in row.values))
    found = [(Block(label=row.label(keys), values=dict(row.values)), row) for row in rows]
    for label, count in Counter(block.label for block, _ in found).items():
        if count > 1:
            reader.fault(("ablate", "across"), f'{count} blocks are called "{label}"', at_key=True)
    return found


def _check_blocks(reader: Reader, rows: Iterable[Assignment], definitions: Iterable[ArmDefinition]) -> None:
    """Record a fault for keys that vary across blocks and are also set or tuned by an arm."""
    places = {key: place for row in rows for key, place in row.places.items()}
    for definition in definitions if places else ():
        for key in [*definition.sets.values, *definition.tune]:
            if other := overlapping(key, places):
                does = "tunes" if key in definition.tune else "sets"
                message = f'"{other}" varies across blocks, but the arm "{definition.label}" {does} it'
                hint = "a key may vary in only one place"
                reader.fault_once(key_place(places[other]), message, hint=hint)


def tunings(candidates: Candidates) -> list[Assignment]:
    """Every combination of the tuned keys' candidates."""
    return [Assignment.joined(row) for row in product(*candidates.values())]


def tunings_count(candidates: Candidates) -> int:
    """The number of combinations."""
    return prod(len(rows) for rows in candidates.values())


def find_baseline(reader: Reader, block_arms: Iterable[BlockArm]) -> str | None:
    """The label of the arm that `baseline` identifies; None, with a fault, unless exactly one matches."""
    given, path = reader.ablate.baseline, ("ablate", "baseline")
    first: Mapping[str, BlockArm] = {p.arm.label: p for p in reversed(list(block_arms))}
    labels = list(reversed(first))
    if isinstance(given, str):
        if given and given not in first:
            allowed, hint = listed(labels), did_you_mean(given, labels)
            reader.fault(path, f'no arm is called "{given}"', allowed=allowed, hint=hint)
        return given or None
    if not isinstance(given, dict):
        reader.fault(path, f"ablate.baseline: expected an arm's label or a table of keys, got {show(given)}")
        return None
    wanted = reader.assignment(given, path)
    if not wanted.values:
        return None
    found = [label for label in labels if matches(first[label].document, wanted, reader.registry)]
    if len(found) != 1:
        problem = f"describes {len(found)} arms, not one" + (f": {', '.join(found)}" if found else "")
        reader.fault(path, problem, at_key=True, allowed=", ".join(labels))
        return None
    for key in wanted.values:
        if overlapping(key, first[found[0]].tune):
            reader.fault(wanted.places[key], f'"{key}" is tuned, so it cannot identify an arm', at_key=True)
    return found[0]
