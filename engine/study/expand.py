"""From the `[ablate]` table to arms: grid, zip and cases, repeated across blocks, dropped and adjusted by conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

import attrs

from ..spec.document import Document
from ..spec.faults import did_you_mean, listed
from ..spec.spans import Path
from .ablate import Case, Reader, When
from .assignments import Assignment, matches, text
from .record import Block

Candidates = Mapping[str, list[Assignment]]


@attrs.frozen(kw_only=True)
class Draft:
    """An arm before it is brought into a block: what it sets, and what is tuned in it."""

    label: str
    sets: Assignment
    tune: Candidates
    place: Path
    """Where it is written, for faults that concern the whole arm."""


@attrs.frozen(kw_only=True)
class Placed:
    """An arm in a block, conditions applied."""

    arm: Draft
    block: Block
    document: Document
    tune: Candidates


def drafts_of(reader: Reader, base: str) -> list[Draft]:
    """Every arm, in the order of the text: the grid's combinations, then the cases. Without any: the spec as it is, `base`."""
    grid = reader.lists(reader.ablate.grid, ("ablate", "grid"))
    axes = [*grid.values(), *reader.zips()]
    tune = reader.lists(reader.ablate.tune, ("ablate", "tune"))
    keys = list(dict.fromkeys(key for axis in axes for row in axis for key in row.values))
    found = list[Draft]()
    for row in product(*axes) if axes else []:
        sets = Assignment.joined(row)
        found.append(Draft(label=sets.label(keys), sets=sets, tune=tune, place=("ablate", "grid")))
    found += [_case(case, path, tune, reader) for case, path in reader.cases()]
    if not found:
        found = [Draft(label=base, sets=Assignment(), tune=tune, place=("ablate",))]
    _check_labels(found, reader)
    return found


def _case(case: Case, path: Path, tune: Candidates, reader: Reader) -> Draft:
    own = reader.lists(case.tune, (*path, "tune"))
    sets = reader.assignment(case.set, (*path, "set"))
    return Draft(label=case.name, sets=sets, tune={**tune, **own}, place=(*path, "name"))


def _check_labels(found: Sequence[Draft], reader: Reader) -> None:
    seen = set[str]()
    for draft in found:
        if draft.label in seen or not draft.label.strip():
            reader.fault(
                draft.place,
                f'two arms are called "{draft.label}"' if draft.label else "an arm without a name",
            )
        seen.add(draft.label)


def blocks_of(reader: Reader) -> list[tuple[Block, Assignment]]:
    """Every combination of `across`, with what it sets; one block without a name where there is none."""
    lists = reader.lists(reader.ablate.across, ("ablate", "across"))
    rows = [Assignment.joined(row) for row in product(*lists.values())]
    return [(Block(label=row.label(list(lists)), values=dict(row.values)), row) for row in rows]


class Conditions:
    """The `[[ablate.when]]` tables, applied in their order; one that never matches is a fault."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._conditions = [
            (when, path, reader.assignment(when.match, (*path, "match")))
            for when, path in reader.conditions()
        ]
        self._matched = set[Path]()
        self.dropped = list[str]()

    def place(self, arm: Draft, block: Block, setting: Assignment, base: Document) -> Placed | None:
        """An arm in a block; None where a condition drops it."""
        document, tune = Assignment.joined([setting, arm.sets]).applied(base), arm.tune
        for when, path, condition in self._conditions:
            if not matches(document, condition, self._reader.registry):
                continue
            self._matched.add(path)
            if when.drop:
                self.dropped.append(" · ".join(part for part in (arm.label, block.label) if part))
                return None
            document, tune = self._adjusted(when, path, document, tune)
        return Placed(arm=arm, block=block, document=document, tune=tune)

    def _adjusted(
        self, when: When, path: Path, document: Document, tune: Candidates
    ) -> tuple[Document, Candidates]:
        if when.set:
            document = self._reader.assignment(when.set, (*path, "set")).applied(document)
        return document, {**tune, **self._reader.lists(when.tune, (*path, "tune"))}

    def check(self) -> None:
        """Take down conditions that matched no arm: they are misspelt, or of no use."""
        for _, path, condition in self._conditions:
            if path not in self._matched and condition.values:
                wanted = ", ".join(f"{key} = {text(value)}" for key, value in condition.values.items())
                self._reader.fault((*path, "match"), f"matches no arm: {wanted}", at_key=True)


def tunings(candidates: Candidates) -> list[Assignment]:
    """Every combination of the tuned keys' candidates."""
    return [Assignment.joined(row) for row in product(*candidates.values())]


def find_baseline(reader: Reader, placed: Iterable[Placed]) -> str | None:
    """The label of the arm that `baseline` names or describes; None, with a fault, where that is not exactly one."""
    given, path = reader.ablate.baseline, ("ablate", "baseline")
    first = {p.arm.label: p for p in reversed(list(placed))}
    labels = list(reversed(first))
    if isinstance(given, str):
        if given and given not in first:
            allowed, hint = listed(labels), did_you_mean(given, labels)
            reader.fault(path, f'no arm is called "{given}"', allowed=allowed, hint=hint)
        return given or None
    wanted = reader.assignment(given, path)
    if not wanted.values:
        return None
    found = [label for label in labels if matches(first[label].document, wanted, reader.registry)]
    if len(found) != 1:
        problem = f"describes {len(found)} arms, not one" + (f": {', '.join(found)}" if found else "")
        reader.fault(path, problem, at_key=True, allowed=", ".join(labels))
        return None
    return found[0]
