"""The run directory: spec, provenance, rounds, outcomes, updates, result."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import tomli

from ..contracts import Outcome, Training, Update
from ..errors import RunError, UsageError
from ..spec import Spec
from .atomic import write_text
from .rounds import RoundRecord
from .updates import read_outcomes, read_updates, write_outcomes, write_training

SPEC, ORIGINAL, PROVENANCE, ROUNDS, RESULT = (
    "spec.toml",
    ".spec.lock.toml",
    "provenance.json",
    "rounds.jsonl",
    "result.json",
)


@attrs.define(eq=False)
class RunDirectory:
    """A run on disk. `records` are the finished rounds; the order of writes makes any prefix of them valid.

    A round's files are written before the line that names them and their hashes, so a line vouches for all it names; a file
    without a line is a leftover of an interrupted round, and is overwritten.
    """

    path: Path
    records: list[RoundRecord] = attrs.field(factory=list)

    @classmethod
    def create(cls, path: Path, spec: Spec) -> RunDirectory:
        """Begin a run in a new folder, or go on in one of the same spec."""
        directory = cls(path)
        if (path / SPEC).exists():
            directory.check_spec()
        else:
            write_text(path / ORIGINAL, spec.dump())
            write_text(path / SPEC, spec.dump())
        directory.records = directory.load_records()
        return directory

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """A run that exists. Raises `UsageError` for a folder that is none."""
        if not (path / SPEC).is_file():
            raise UsageError(f"{path}: not a run (it has no {SPEC})")
        directory = cls(path)
        directory.records = directory.load_records()
        return directory

    def check_spec(self) -> None:
        """Refuse a spec that was changed after the run began, and show the difference."""
        try:
            began, now = (self.path / ORIGINAL).read_text(), (self.path / SPEC).read_text()
        except OSError as error:
            raise RunError(f"{self.path}: {error}") from error
        if began != now:
            lines = difflib.unified_diff(
                began.splitlines(), now.splitlines(), "as the run began", f"{SPEC} now", lineterm="", n=1
            )
            raise UsageError(
                f"{self.path / SPEC} was changed after the run began:\n" + "\n".join(lines) + "\n"
                "put it back, or start a run of its own: boostlora run " + str(self.path / SPEC)
            )

    def load_records(self) -> list[RoundRecord]:
        """The finished rounds. Raises `RunError` naming a line that was altered."""
        try:
            lines = (self.path / ROUNDS).read_text().splitlines()
        except FileNotFoundError:
            return []
        records, previous = list[RoundRecord](), ""
        for number, line in enumerate(lines, start=1):
            try:
                record = RoundRecord.from_line(line)
            except ValueError as error:
                raise RunError(f"{self.path / ROUNDS}:{number}: {error}") from error
            if record.round != number - 1 or not record.is_sealed(previous):
                raise RunError(
                    f"{self.path / ROUNDS}:{number}: altered: its digest does not match its content"
                )
            records.append(record)
            previous = record.digest
        return records

    @property
    def digest(self) -> str:
        """Digest of the whole run so far; equal for equal experiments."""
        return self.records[-1].digest if self.records else ""

    def commit(
        self, record: RoundRecord, outcomes: Mapping[str, Outcome], training: Training | None = None
    ) -> RoundRecord:
        """Write a round: its files first, then its line. Returns the record with file hashes and digest."""
        files = dict[str, str]()
        if training is not None:
            name = f"updates/{record.round:04d}.safetensors"
            files[name] = write_training(self.path / name, training)
        name = f"outcomes/{record.round:04d}.safetensors"
        files[name] = write_outcomes(self.path / name, outcomes)
        record = attrs.evolve(record, files=files).sealed(self.digest)
        write_text(self.path / ROUNDS, "".join(r.to_line() for r in (*self.records, record)))
        self.records.append(record)
        return record

    def updates(self, round: int) -> dict[str, Update]:  # noqa: A002
        """The updates a round trained."""
        name = f"updates/{round:04d}.safetensors"
        return read_updates(self.path / name, self.records[round].files[name])

    def outcomes(self, round: int) -> dict[str, Outcome]:  # noqa: A002
        """Per-example outcomes after a round."""
        name = f"outcomes/{round:04d}.safetensors"
        return read_outcomes(self.path / name, self.records[round].files[name])

    def ensemble(self) -> list[tuple[dict[str, Update], float]]:
        """What was merged, with its scales, in the order of the rounds."""
        return [(self.updates(r.round), r.scale) for r in self.records if r.scale != 0.0]

    def spec_tree(self) -> dict[str, Any]:
        """The run's spec as a TOML tree."""
        return tomli.loads((self.path / SPEC).read_text())

    def provenance(self) -> dict[str, Any] | None:
        """What was recorded of the run's origin."""
        return _json(self.path / PROVENANCE)

    def result(self) -> dict[str, Any] | None:
        """How the run ended; None while it has not."""
        return _json(self.path / RESULT)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one of the JSON files."""
        write_text(self.path / name, json.dumps(content, indent=2) + "\n")


def _json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RunError(f"{path}: damaged: {error}") from error
