"""From the `[ablate]` table to arms: grid, zip and cases, repeated across blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from math import prod

from ..spec.faults import did_you_mean, listed
from ..spec.spans import Path
from ..spec.structure import show
from .ablate import MOST_CELLS, Case
from .ablate_parser import Reader, key_place
from .assignments import Assignment, matches, overlapping
from .conditions import Candidates, Draft, Placed
from .record import Block


def drafts_of(reader: Reader, base: str) -> list[Draft]:
    """Every arm, in the order of the text: the grid's combinations, then the cases. Without any: the spec as it is, `base`."""
    grid = reader.lists(reader.ablate.grid, ("ablate", "grid"))
    axes = [*grid.values(), *reader.zips()]
    tune = reader.lists(reader.ablate.tune, ("ablate", "tune"))
    apart = _check_axes(reader, [*axes, *tune.values()])
    combined = _combined(reader, axes, tune)
    cases = [_case(case, path, tune, reader) for case, path in reader.cases()]
    _check_labels([*combined, *cases] if apart else cases, reader)
    return [*combined, *cases] or [Draft(label=base, sets=Assignment(), tune=tune, place=("ablate",))]


def _combined(reader: Reader, axes: Sequence[Sequence[Assignment]], tune: Candidates) -> list[Draft]:
    """An arm for every combination; none, with a fault, where they are more than any study has cells."""
    count = prod(len(axis) for axis in axes)
    if count > MOST_CELLS:
        reader.fault(("ablate",), f"{count:,} arms; a study has at most {MOST_CELLS:,} cells", at_key=True)
    if not axes or count > MOST_CELLS:
        return []
    keys = list(dict.fromkeys(key for axis in axes for row in axis for key in row.values))
    place: Path = ("ablate", "grid" if reader.ablate.grid else "zip")
    joined = (Assignment.joined(row) for row in product(*axes))
    return [Draft(label=sets.label(keys), sets=sets, tune=tune, place=place) for sets in joined]


def _case(case: Case, path: Path, tune: Candidates, reader: Reader) -> Draft:
    """A case; what it sets is not tuned in it, unless it brings candidates of its own."""
    own = reader.lists(case.tune, (*path, "tune"))
    sets = reader.assignment(case.set, (*path, "set"))
    for key, rows in own.items():
        if overlapping(key, sets.values):
            place = key_place(rows[0].places[next(iter(rows[0].places))])
            reader.fault(place, f'"{key}" is set by this case already', at_key=True)
    left = {key: rows for key, rows in tune.items() if not overlapping(key, [*sets.values, *own])}
    return Draft(label=case.name, sets=sets, tune={**left, **own}, place=(*path, "name"), own=tuple(own))


def _check_axes(reader: Reader, axes: Iterable[Sequence[Assignment]]) -> bool:
    """Take down keys that vary in two places: what wins would be anybody's guess. True: there are none."""
    seen, apart = dict[str, str](), True
    for axis in axes:
        new = dict[str, str]()
        for key, place in ((key, place) for row in axis for key, place in row.places.items()):
            if other := overlapping(key, seen):
                message = f'"{key}" is in {_word(seen[other], other, key)} already'
                reader.fault_once(key_place(place), message, hint="a key varies in one place alone")
                apart = False
            new[key] = str(place[1])
        seen |= new
    return apart


def _word(table: str, other: str, key: str) -> str:
    return f"ablate.{table}" if other == key else f'ablate.{table} as "{other}"'


def _check_labels(found: Sequence[Draft], reader: Reader) -> None:
    seen = set[str]()
    for draft in found:
        if draft.label in seen:
            named = draft.place[1] == "case"
            hint = "" if named else "arms of [[ablate.case]] have names of their own"
            reader.fault(draft.place, f'two arms are called "{draft.label}"', at_key=not named, hint=hint)
        seen.add(draft.label)


def blocks_of(reader: Reader, drafts: Iterable[Draft]) -> list[tuple[Block, Assignment]]:
    """Every combination of `across`, with what it sets; one block without a name where there is none."""
    lists = reader.lists(reader.ablate.across, ("ablate", "across"))
    if (count := prod(len(rows) for rows in lists.values())) > MOST_CELLS:
        message = f"{count:,} blocks; a study has at most {MOST_CELLS:,} cells"
        reader.fault(("ablate", "across"), message, at_key=True)
        return []
    rows = [Assignment.joined(row) for row in product(*lists.values())]
    _check_axes(reader, lists.values())
    _check_blocks(reader, [row for column in lists.values() for row in column], drafts)
    keys = list(dict.fromkeys(key for row in rows for key in row.values))
    found = [(Block(label=row.label(keys), values=dict(row.values)), row) for row in rows]
    for label, count in Counter(block.label for block, _ in found).items():
        if count > 1:
            reader.fault(("ablate", "across"), f'{count} blocks are called "{label}"', at_key=True)
    return found


def _check_blocks(reader: Reader, rows: Iterable[Assignment], drafts: Iterable[Draft]) -> None:
    """Take down keys that vary across blocks, and are set or tuned by an arm as well."""
    places = {key: place for row in rows for key, place in row.places.items()}
    for draft in drafts if places else ():
        for key in [*draft.sets.values, *draft.tune]:
            if other := overlapping(key, places):
                does = "tunes" if key in draft.tune else "sets"
                message = f'"{other}" varies across blocks, but the arm "{draft.label}" {does} it'
                hint = "a key varies in one place alone"
                reader.fault_once(key_place(places[other]), message, hint=hint)


def tunings(candidates: Candidates) -> list[Assignment]:
    """Every combination of the tuned keys' candidates."""
    return [Assignment.joined(row) for row in product(*candidates.values())]


def tunings_count(candidates: Candidates) -> int:
    """How many combinations there are."""
    return prod(len(rows) for rows in candidates.values())


def find_baseline(reader: Reader, placed: Iterable[Placed]) -> str | None:
    """The label of the arm that `baseline` names or describes; None, with a fault, where that is not exactly one."""
    given, path = reader.ablate.baseline, ("ablate", "baseline")
    first: Mapping[str, Placed] = {p.arm.label: p for p in reversed(list(placed))}
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
            reader.fault(wanted.places[key], f'"{key}" is tuned, so it tells no arm', at_key=True)
    return found[0]
