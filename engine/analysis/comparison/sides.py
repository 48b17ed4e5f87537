"""One side of a comparison: a round of a run, read from the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from ...contracts import Outcome
from ...errors import RunError, UsageError
from ...records.commands import resume_command
from ...runs.directory import ORIGINAL, RunDirectory

Split = Literal["train", "validation", "test"]

Round = int | Literal["best", "last"]
"""A round by its number (0 is the base), the one that is best on validation, or the last that is on disk."""


@attrs.frozen(kw_only=True, eq=False)
class Side:
    """The outcome of a run's model on a split after a round, and that of its base."""

    path: Path
    round: int
    last: int
    """The last round on disk."""
    chosen: bool
    """Whether the round was selected as the best on validation."""
    split: Split
    now: Outcome
    base: Outcome
    """After round 0."""
    tree: Mapping[str, Any]
    """The run's spec."""
    hashes: Mapping[str, str]
    """SHA-256 of data and weights, if recorded."""
    status: str
    """How the run ended, or `unfinished`."""
    plugin_files: tuple[str, ...]
    """Plugin files of the run."""
    digest: str
    """Digest of the run up to the round: equal for equal experiments."""

    @property
    def title(self) -> str:
        """The run's name and hash."""
        path = self.path.resolve()
        return f"{path.parent.name}/{path.name}"

    @property
    def round_text(self) -> str:
        """`round 7 of 16`, or the base, with the run's status if it is not completed."""
        rounds = "the base (round 0" if self.round == 0 else f"round {self.round}"
        rounds += f" of {self.last}" + (")" if self.round == 0 else "")
        best = ", the best on validation" if self.chosen else ""
        return f"{rounds}{best}" + ("" if self.status == "completed" else f"; the run is {self.status}")

    @property
    def is_base(self) -> bool:
        """Whether this is round 0, before any merge."""
        return self.round == 0


def read_side(path: Path, round_ref: Round, split: Split) -> Side:
    """A round of the run in a folder.

    Raises:
        UsageError: for a folder that is not a run, a spec changed since the run, and a missing round.
        RunError: for damaged or altered files.
    """
    directory = RunDirectory.open(path)
    if (path / ORIGINAL).exists():
        directory.check_spec()  # the reported spec differences must be those of the runs
    if not directory.records:
        raise UsageError(
            f"{path}: no round is finished yet, not even the base; continue with: {resume_command(path)}"
        )
    number = _number(directory, round_ref)
    result = directory.result()
    origin = directory.provenance() or {}
    return Side(
        path=path,
        round=number,
        last=directory.records[-1].round,
        chosen=round_ref == "best",
        split=split,
        now=_outcome(directory, number, split),
        base=_outcome(directory, 0, split),
        tree=directory.spec_tree(),
        hashes=origin.get("hashes", {}),
        status="unfinished" if result is None else str(result["status"]),
        plugin_files=tuple(map(str, origin.get("plugin_files", ()))),
        digest=directory.records[number].digest,
    )


def _number(directory: RunDirectory, round_ref: Round) -> int:
    last = directory.records[-1].round
    if round_ref == "last":
        return last
    if round_ref == "best":
        result = directory.result()
        if result is None:
            raise UsageError(
                f"{directory.path}: which round is best on validation is recorded when a run ends, and this one has not; "
                f"name a round, 0 to {last}: {directory.path}@{last}"
            )
        return result["best_round"]
    if not 0 <= round_ref <= last:
        raise UsageError(f"{directory.path}: no round {round_ref}; there are rounds 0 (the base) to {last}")
    return round_ref


def _outcome(directory: RunDirectory, number: int, split: Split) -> Outcome:
    """A split's outcome, with one row for each id. Raises `RunError` for a file without it."""
    try:
        found = directory.outcomes(number)[split]
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{directory.path}: damaged: round {number} has no outcome of the {split} split"
        ) from error
    return found
