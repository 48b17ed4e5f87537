"""Load a study: expand its spec into cells, and report all faults; nothing is run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from ..errors import UsageError
from ..foundation.atomic import file_sha256
from ..records.run_result import ending_or_none
from ..registry import Registry
from ..runs.directory import SPEC
from ..spec import Spec
from ..spec.document import Document, find_spec, load
from ..spec.faults import Fault, SpecError
from ..spec.resolve import legal_name, resolve
from .ablate import MAX_CELLS
from .ablate_parser import Reader
from .arms import (
    ArmDefinition,
    BlockArm,
    Conditions,
    arm_definitions,
    blocks_of,
    find_baseline,
    tunings,
    tunings_count,
)
from .assignments import Assignment
from .budget import Budgets
from .portable_spec import study_toml
from .record import Arm, Block, CellRecord, StudyRecord

COMPARISON_FIELDS = ("baseline", "metric", "split", "at", "confidence")
"""Fields of a study that affect only comparisons, not cells."""


@attrs.frozen(kw_only=True, eq=False)
class Cell:
    """One run of the study, with its spec."""

    record: CellRecord
    spec: Spec


@attrs.frozen(kw_only=True, eq=False)
class Study:
    """A study ready to be run."""

    record: StudyRecord
    cells: tuple[Cell, ...]
    executor: Any
    toml: str
    """The study's spec as one text that depends only on its data files."""

    @property
    def distinct(self) -> dict[str, Cell]:
        """Cells that are not excluded, by key: two arms may share a cell, which is then run once."""
        keys = {cell.key for cell in self.record.included}
        return {cell.record.key: cell for cell in self.cells if cell.record.key in keys}


def is_study(document: Document) -> bool:
    """Whether a spec has an `[ablate]` table."""
    return "ablate" in document.tree


def load_study(name: str | Path, registry: Registry, runs: Path, settings: Sequence[str] = ()) -> Study:
    """Read a study by path or shipped name. Raises `SpecError` with all faults, `UsageError` for a spec without `[ablate]`."""
    path = find_spec(str(name))
    document = load(path, settings)
    if not is_study(document):
        raise UsageError(f"{name}: not a study: it has no [ablate] table; run it with: boostlora run {name}")
    return _Loader(_without_inherited_description(document), registry, runs, legal_name(path.stem)).load()


def _without_inherited_description(document: Document) -> Document:
    """The document without the description of a spec that it extends."""
    study = min(
        (m.layer for path, m in document.locations.items() if path[0] == "ablate" and path[1:]), default=0
    )
    if document.location(("description",)).layer >= study:
        return document
    return attrs.evolve(document, tree={k: v for k, v in document.tree.items() if k != "description"})


class _Loader:
    """State of the steps from document to study."""

    def __init__(self, document: Document, registry: Registry, runs: Path, default_name: str) -> None:
        self.document, self.registry, self.runs = document, registry, runs
        self.faults = list[Fault]()
        self.reader = Reader(document, registry, self.faults)
        base = document.without("ablate")
        self.base = attrs.evolve(base, tree={"name": default_name} | base.tree)
        self.budgets, self.conditions = Budgets(self.reader), Conditions(self.reader)

    def load(self) -> Study:
        """Load the study, or raise all faults at once."""
        seeds, definitions = self.reader.seeds(), arm_definitions(self.reader, str(self.base.tree["name"]))
        blocks = blocks_of(self.reader, definitions)
        use, executor = self.reader.executor()
        times = len(blocks) * len(seeds)
        self._check_size(times * sum(tunings_count(definition.tune) for definition in definitions))
        block_arms = self._block_arms(definitions, blocks)
        baseline = None
        if not self.faults:  # after a fault, further checks would report spurious ones
            self.conditions.check()
            baseline = find_baseline(self.reader, block_arms)
        if not (block_arms or self.faults):
            self.reader.fault(("ablate",), "every arm is dropped by a condition", at_key=True)
        arms, cells = self._cells(block_arms, baseline, seeds)
        self.reader.check_metric([cell.spec for cell in cells])
        self._raise_faults()
        filled = {cell.record.block for cell in cells}
        record = self._record(
            arms,
            cells,
            blocks=tuple(block for block, _ in blocks if block.label in filled),
            seeds=seeds,
            baseline=baseline,
            executor=use,
            executor_options=attrs.asdict(executor),
        )
        toml = study_toml(self.document, self.registry, record.name)
        return Study(record=record, cells=tuple(cells), executor=executor, toml=toml)

    def _block_arms(
        self, definitions: Sequence[ArmDefinition], blocks: Sequence[tuple[Block, Assignment]]
    ) -> list[BlockArm]:
        """Every arm in every block, without those that a condition drops."""
        found = (
            self.conditions.place(definition, block, setting, self.base)
            for block, setting in blocks
            for definition in definitions
        )
        return [arm for arm in found if arm is not None]

    def _check_size(self, cells: int) -> None:
        """Refuse studies that are too large; raises immediately."""
        if cells > MAX_CELLS:
            message = f"{cells:,} cells; a study has at most {MAX_CELLS:,}"
            self.reader.fault(("ablate",), message, at_key=True)
            self._raise_faults()

    def _raise_faults(self) -> None:
        """Raise the faults found so far, each once, since cells share faults."""
        if self.faults:
            raise SpecError({(f.position(), f.message): f for f in self.faults}.values())

    def _cells(
        self, block_arms: Sequence[BlockArm], baseline: str | None, seeds: Sequence[int]
    ) -> tuple[list[Arm], list[Cell]]:
        arms, cells, sound = dict[str, Arm](), list[Cell](), not self.faults
        first = {p.block.label: p for p in block_arms if p.arm.label == baseline}
        self._check_size(len(seeds) * sum(tunings_count(found.tune) for found in block_arms))
        for found in block_arms:
            for tuning in tunings(found.tune):
                document, solved = tuning.applied(found.document), dict[str, Any]()
                if sound:
                    document, solved = self.budgets.solve(found, tuning, first.get(found.block.label))
                values = dict(found.arm.sets.values)
                arms.setdefault(found.arm.label, Arm(label=found.arm.label, values=values, solved=solved))
                cells += self._seed_cells(found, document, tuning, seeds)
        known = known_runs(self.runs, {c.record.key for c in cells}, str(self.base.tree["name"]))
        located = [attrs.evolve(c, record=attrs.evolve(c.record, folder=known[c.record.key])) for c in cells]
        return list(arms.values()), located

    def _seed_cells(
        self, found: BlockArm, document: Document, tuning: Assignment, seeds: Iterable[int]
    ) -> list[Cell]:
        """One cell per seed; none, with the faults recorded, if the spec is invalid."""
        try:
            spec = resolve(document, self.registry)
        except SpecError as error:
            self.faults.extend(error.faults)
            return []
        place = partial(
            CellRecord, arm=found.arm.label, block=found.block.label, tuning=dict(tuning.values), folder=""
        )
        cells = list[Cell]()
        for seed in seeds:
            seeded = attrs.evolve(spec, head=attrs.evolve(spec.head, seed=seed))
            record = place(key=seeded.short_hash, seed=seed, rounds=spec.rounds)
            cells.append(Cell(record=record, spec=seeded))
        return cells

    def _record(self, arms: Sequence[Arm], cells: Sequence[Cell], **more: Any) -> StudyRecord:
        ablate, head = self.reader.ablate, cells[0].spec.head
        compared = {key: getattr(ablate, key) for key in COMPARISON_FIELDS if key != "baseline"}
        record = StudyRecord(
            name=head.name,
            description=head.description,
            sha256="",
            arms=tuple(arms),
            cells=tuple(cell.record for cell in cells),
            **compared,
            **more,
            notes=tuple(self._notes(arms, cells, more["baseline"])),
            plugin_files=tuple(str(file.resolve()) for file in self.registry.files),
            plugin_hashes=tuple(file_sha256(file) for file in self.registry.files),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return attrs.evolve(record, sha256=_sha256(record))

    def _notes(self, arms: Sequence[Arm], cells: Sequence[Cell], baseline: str | None) -> list[str]:
        notes = list(self.budgets.notes)
        if self.conditions.dropped:
            notes.append(f"dropped by a condition: {'; '.join(self.conditions.dropped)}")
        if baseline is None and len(arms) > 1:
            notes.append("no baseline: arms are shown, not compared; name one with ablate.baseline")
        alike = dict[frozenset[str], list[str]]()
        for arm in arms:
            keys = frozenset(c.record.key for c in cells if c.record.arm == arm.label)
            alike.setdefault(keys, []).append(arm.label)
        notes += [
            f"{' and '.join(labels)} are the same experiment" for labels in alike.values() if len(labels) > 1
        ]
        return notes


def _sha256(record: StudyRecord) -> str:
    """Hash of the cells and comparison settings, without folders and executor."""
    cells = [{k: v for k, v in attrs.asdict(c).items() if k != "folder"} for c in record.cells]
    content = {"cells": cells} | {key: getattr(record, key) for key in COMPARISON_FIELDS}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


NO_RUN = (-1, -1)
"""Ranks below every run."""


def known_runs(runs: Path, keys: Collection[str], name: str) -> Mapping[str, str]:
    """The folder of every cell, relative to `runs`, so that no cell is run twice.

    In order of preference: a finished run of any study, an unfinished one of the study `name`, an unfinished one of
    another study, or the new folder `name/KEY`.
    """
    found, ranks = {key: f"{name}/{key}" for key in keys}, dict[str, tuple[int, int]]()
    for spec in sorted(runs.glob(f"*/*/{SPEC}")):
        folder, key = spec.parent, spec.parent.name
        if key not in found:
            continue
        rank = (int(_is_finished(folder)), int(folder.parent.name == name))
        if rank > ranks.get(key, NO_RUN):
            found[key], ranks[key] = f"{folder.parent.name}/{key}", rank
    return found


def _is_finished(folder: Path) -> bool:
    result = ending_or_none(folder)
    return result is not None and result["status"] != "failed"
