"""Runs that continue from a round of another run (`[start]`): its compatibility is checked, then its rounds are copied."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import attrs
import tomli

from ..contracts.records import RoundRecord
from ..errors import RunError, UsageError
from ..foundation.atomic import check_file, write_bytes, write_text
from ..foundation.run_context import Report
from ..records.commands import resume_command
from ..records.prefix import read_lines, records_of
from ..records.run_result import ROUNDS
from ..runs.directory import PROVENANCE, SPEC, RunDirectory
from ..spec import Spec
from ..spec.start import Start
from ..spec.structure import PATHS
from .experiment import Experiment, Prepared, data_sha256
from .round_plan import plan_round

READ_ALIKE = ("task", "model")
"""Tables that must be equal, since inherited outcomes depend on them."""
SHOWN = 12


@attrs.frozen(kw_only=True, eq=False)
class Parent:
    """A run up to the round that another one continues from."""

    folder: Path
    start: Start
    records: list[RoundRecord]
    hashes: Mapping[str, str]
    """SHA-256 of its spec, its data and its weights."""
    tree: Mapping[str, Any]
    """Its spec."""

    @classmethod
    def open(cls, start: Start) -> Parent:
        """Open it. Raises `UsageError` if it is missing, or no longer has the round."""
        folder = Path(start.run)
        if not start.run or not (folder / SPEC).is_file():
            raise UsageError(
                f"start.run: no run {start.run or 'is named'} any more, and its rounds 0 to {start.round} are not inherited yet; put it "
                "back, or name its folder: boostlora run SPEC --from RUN@ROUND"
            )
        records = records_of(folder, read_lines(folder)[: start.round + 1])
        if len(records) <= start.round or records[-1].digest != start.digest:
            raise UsageError(f"{folder}: round {start.round} is no longer {start.digest[:SHOWN]}…")
        directory = RunDirectory(folder)
        origin = directory.provenance()
        if origin is None:
            raise RunError(f"{folder / PROVENANCE}: missing, so the data of the run are unknown")
        tree = directory.spec_tree()
        return cls(folder=folder, start=start, records=records, hashes=origin["hashes"], tree=tree)

    def require(self, spec: Spec, sites: Collection[str], hashes: Mapping[str, str]) -> None:
        """Raise `UsageError` with the differences if base, data, sites, tables or refits differ."""
        different = [
            f"{name} ({str(self.hashes.get(name))[:SHOWN]} there, {sha256[:SHOWN]} here)"
            for name, sha256 in hashes.items()
            if self.hashes.get(name) != sha256
        ]
        theirs = set(self.records[0].rank)
        if theirs != set(sites):
            only = {"there": theirs - set(sites), "here": set(sites) - theirs}
            told = (f"{', '.join(sorted(names))} only {where}" for where, names in only.items() if names)
            different.append(f"sites ({'; '.join(told)})")
        other = [r.round for r in self.records[1:] if bool(r.refit) != plan_round(spec, r.round).refit]
        if other:
            different.append(f"boosting.refit_every (round {other[0]} is a refit in only one of the two)")
        different += _differences(self.tree, spec)
        if different:
            raise UsageError(
                f"cannot continue from {self.start}, which has other {', other '.join(different)}; a run continues from one with the same "
                "base, data and sites, the same [task] and [model], and refits in the same rounds"
            )

    def hand_down(self, directory: RunDirectory, report: Report) -> None:
        """Copy its rounds into a run without any. If killed, the run has all of them or none.

        Files are copied and checked first; the lines that name them are written last. Raises `RunError` for a damaged file.
        """
        files = {name: sha256 for record in self.records for name, sha256 in record.files.items()}
        for done, (name, sha256) in enumerate(files.items()):
            report("inheriting rounds", done, len(files))
            check_file(self.folder / name, sha256)
            if write_bytes(directory.path / name, (self.folder / name).read_bytes()) != sha256:
                raise RunError(f"{self.folder / name}: was changed while it was copied")
        report("inheriting rounds", len(files), len(files))
        origin = {"path": str(self.folder), "spec": self.hashes.get("spec", "")}
        origin |= {"round": self.start.round, "digest": self.start.digest}
        directory.write_json(PROVENANCE, {**(directory.provenance() or {}), "start": origin})
        write_text(directory.path / ROUNDS, "".join(record.to_line() for record in self.records))
        directory.records = directory.load_records()


def check_start(prepared: Prepared, directory: RunDirectory | None = None) -> None:
    """Check that the parent run has the same data, sites and options. No weight is loaded.

    A `directory` that already holds the inherited rounds does not need the parent any more. Raises `UsageError` for a mismatch.
    """
    start = prepared.spec.start
    if not start.given:
        return
    if directory is not None and directory.records:
        require_inherited(directory, start)
        return
    sites = [plan.site.name for plan in prepared.plan.sites]
    parent = Parent.open(start)
    parent.require(prepared.spec, sites, {"data": data_sha256(prepared.splits)})


def inherit(experiment: Experiment, directory: RunDirectory, report: Report) -> None:
    """Copy the parent's rounds into a run that has none yet. Raises `UsageError` unless the base weights have the same SHA-256."""
    start = experiment.spec.start
    if start.given and not directory.records:
        parent = Parent.open(start)
        parent.require(experiment.spec, [site.name for site in experiment.sites], experiment.hashes)
        parent.hand_down(directory, report)


def require_inherited(directory: RunDirectory, start: Start) -> None:
    """Raise `RunError` if a run's first rounds are not those of its start, or `UsageError` if only `start.ranks` differs."""
    records = directory.records
    if len(records) <= start.round or records[start.round].digest != start.digest:
        raise RunError(
            f"{directory.path / ROUNDS}: damaged or altered: round {start.round} is not the one that the run goes on from"
        )
    known = directory.spec_tree().get("start", {}).get("ranks", [])
    if list(start.ranks) != known:
        raise UsageError(
            f"start.ranks = {list(start.ranks)}, and {directory.path} was begun with {known}: its run knows better; go on with: "
            f"{resume_command(directory.path)}"
        )


def _differences(theirs: Mapping[str, Any], spec: Spec) -> list[str]:
    """Options with other values; paths do not count, since hashes cover their content."""
    ours, found = tomli.loads(spec.dump()), list[str]()
    for slot in READ_ALIKE:
        paths = {field.name for field in attrs.fields(type(spec.slots[slot].plugin)) if field.type in PATHS}
        for key, value in ours[slot].items():
            there = theirs[slot].get(key, value)  # an earlier version without the option used its default
            if key not in paths and there != value:
                found.append(f"{slot}.{key} ({there} there, {value} here)")
    return found
