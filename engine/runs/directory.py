"""The run directory: spec, provenance, rounds, outcomes, updates, result."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import tomli
from numpy.typing import NDArray

from ..contracts import Batch, Outcome, Training, Update
from ..contracts.records import RoundRecord
from ..errors import RunError, UsageError
from ..foundation.atomic import check_file, sweep, write_text
from ..foundation.redaction import credentials_in
from ..foundation.sealed import read_sealed, write_sealed
from ..records.commands import PROVENANCE, run_command
from ..records.prefix import EarlierFormatError, read_lines, records_of, refuse_earlier_spec
from ..records.run_result import ROUNDS, check_ending, read_ending
from ..records.updates import (
    read_outcomes,
    read_rollouts,
    read_updates,
    read_values,
    write_outcomes,
    write_rollouts,
    write_training,
)
from ..sdk.metrics import default_metric
from ..spec import Spec
from .samples import SampleAnswer, Samples, answers_of

SPEC, ORIGINAL = "spec.toml", ".spec.lock.toml"
HASH = re.compile(r"[0-9a-f]{12}")
"""Name of a run's folder: the first digits of the hash of its spec, unless it was moved."""


@attrs.define(eq=False)
class RunDirectory:
    """A run on disk. `records` are the finished rounds; the order of writes makes any prefix of them valid.

    A round's files are written before the line with their names and hashes, so all files of a line exist. A file without a line is
    left over from an interrupted round, and is overwritten.
    """

    path: Path
    records: list[RoundRecord] = attrs.field(factory=list)

    @classmethod
    def create(cls, path: Path, spec: Spec) -> RunDirectory:
        """Start a run in a new folder, or resume one with the same spec. The caller holds its lock."""
        directory = cls(path)
        sweep(path)
        if (path / SPEC).exists():
            directory.check_spec()
        else:
            for key, what in credentials_in(spec.as_tree()):  # of a spec that was not read from a file
                raise UsageError(f"{'.'.join(map(str, key))}: {what}, and specs are kept with their runs")
            write_text(path / ORIGINAL, spec.dump())
            write_text(path / SPEC, spec.dump())
        directory.records = directory.load_records()
        return directory

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Open an existing run. Raises `UsageError` for a folder that is no run."""
        if not (path / SPEC).is_file():
            raise UsageError(f"{path}: not a run (it has no {SPEC})")
        directory = cls(path)
        refuse_earlier_spec(path, _text(path / SPEC))
        directory.records = directory.load_records()
        return directory

    def check_spec(self) -> None:
        """Raise `UsageError` with the difference for a spec that was changed after the run started."""
        began, now = _text(self.path / ORIGINAL), _text(self.path / SPEC)
        if began != now:
            lines = difflib.unified_diff(
                began.splitlines(), now.splitlines(), "as the run began", f"{SPEC} now", lineterm="", n=1
            )
            raise UsageError(
                f"{self.path / SPEC} was changed after the run began:\n" + "\n".join(lines) + "\n"
                "restore it, or start another run: " + run_command(self.path, "run", self.path / SPEC)
            )
        refuse_earlier_spec(self.path, now)

    def load_records(self) -> list[RoundRecord]:
        """The finished rounds. Raises `RunError` with the line that was altered."""
        return records_of(self.path, read_lines(self.path))

    def check_files(self) -> None:
        """Check all files against their hashes or seals, and the result against the rounds. Raises `RunError` for the first mismatch."""
        for record in self.records:
            for name, sha256 in record.files.items():
                check_file(self.path / name, sha256)
        self.result()
        self.samples()

    @property
    def digest(self) -> str:
        """Digest of the run so far; equal for equal experiments."""
        return self.records[-1].digest if self.records else ""

    def commit(
        self,
        record: RoundRecord,
        outcomes: Mapping[str, Outcome],
        training: Training | None = None,
        rollouts: Sequence[Batch] | None = None,
        confirm: Callable[[RoundRecord], None] = lambda record: None,
    ) -> RoundRecord:
        """Write a round: its files first, then, unless `confirm` raises, its line. Returns the record with file hashes and digest."""
        files = dict[str, str]()
        if rollouts is not None:
            name = f"rollouts/{record.round:04d}.safetensors"
            files[name] = write_rollouts(self.path / name, rollouts)
        if training is not None:
            name = f"updates/{record.round:04d}.safetensors"
            files[name] = write_training(self.path / name, training)
        name = f"outcomes/{record.round:04d}.safetensors"
        files[name] = write_outcomes(self.path / name, outcomes)
        record = attrs.evolve(record, files=files).sealed(self.digest)
        confirm(record)
        write_text(self.path / ROUNDS, "".join(r.to_line() for r in (*self.records, record)))
        self.records.append(record)
        return record

    def updates(self, round: int) -> dict[str, Update]:  # noqa: A002
        """The updates a round trained."""
        name = f"updates/{round:04d}.safetensors"
        return read_updates(self.path / name, self.records[round].files[name])

    def values(self, round: int) -> dict[str, NDArray[Any]]:  # noqa: A002
        """The trained parameters of a round."""
        name = f"updates/{round:04d}.safetensors"
        return read_values(self.path / name, self.records[round].files[name])

    def outcomes(self, round: int) -> dict[str, Outcome]:  # noqa: A002
        """Per-example outcomes after a round."""
        name = f"outcomes/{round:04d}.safetensors"
        return read_outcomes(self.path / name, self.records[round].files[name])

    def rollouts(self, round: int) -> list[Batch] | None:  # noqa: A002
        """The batches of rollouts a round trained on; None if there are none."""
        name = f"rollouts/{round:04d}.safetensors"
        sha256 = self.records[round].files.get(name)
        return None if sha256 is None else read_rollouts(self.path / name, sha256)

    def samples(self) -> Samples | None:
        """The run's fixed samples; None for a run of a version without them. Raises `RunError` if they are damaged."""
        return Samples.read(self.path)

    def sample_answers(self, samples: Samples) -> list[list[SampleAnswer]]:
        """The answers to every sample after every round, from the rounds' outcomes."""
        return answers_of(samples, [(r.round, r.status, self.outcomes(r.round)) for r in self.records])

    def ensemble(self) -> list[tuple[dict[str, Update], float]]:
        """Merged updates with their scales, in the order of the rounds."""
        return [(self.updates(r.round), r.scale) for r in self.records if r.scale != 0.0]

    def spec_tree(self) -> dict[str, Any]:
        """The run's spec as a TOML tree. Raises `RunError` if it is damaged."""
        return read_tree(self.path / SPEC)

    def provenance(self) -> dict[str, Any] | None:
        """The recorded provenance. Raises `RunError` if it is damaged, altered, or of another run."""
        found = read_sealed(self.path / PROVENANCE, ("hashes", "versions"))
        recorded, name = (found or {}).get("hashes", {}).get("spec", ""), self.path.resolve().name
        if recorded and HASH.match(name) and not recorded.startswith(name[:12]):
            raise RunError(
                f"{self.path / PROVENANCE}: of another run: its spec is {recorded[:12]}…, not {name[:12]}…"
            )
        return found

    def result(self) -> dict[str, Any] | None:
        """The result of the run; None while it has none. Raises `RunError` if it does not match the rounds.

        Rounds that were finished in the meantime are read.
        """
        found = read_ending(self.path)
        if found is None:
            return None
        if found["digest"] != self.digest and (self.path / ROUNDS).exists():
            self.records = self.load_records()
        check_ending(self.path, found, self.records, self._stop())
        return found

    @property
    def metric(self) -> str:
        """The metric by which rounds are compared on validation: that of `[stop]`, else the default of the task's kind."""
        named = str(self._stop().get("metric", ""))
        return named or (default_metric(self.records[0].validation) if self.records else "")

    def _stop(self) -> dict[str, Any]:
        """The table `[stop]` of the spec with which the run began."""
        began = self.path / ORIGINAL
        stop = read_tree(began if began.exists() else self.path / SPEC).get("stop", {})
        return stop if isinstance(stop, dict) else {}

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one of the JSON files, sealed."""
        write_sealed(self.path / name, content)


def read_tree(path: Path) -> dict[str, Any]:
    """A spec of a run as a TOML tree. Raises `RunError` where it cannot be read, or is no TOML."""
    try:
        return tomli.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: damaged: {error}") from error


def is_earlier(path: Path) -> bool:
    """Whether an earlier format's spec or first line is in a run's folder; damage is left to whoever reads the run."""
    try:
        refuse_earlier_spec(path, _text(path / SPEC))
        records_of(path, read_lines(path)[:1])
    except EarlierFormatError:
        return True
    except RunError:
        return False
    return False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise RunError(f"{path}: damaged: {error}") from error
