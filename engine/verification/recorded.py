"""Recorded rounds of a run, for replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from ..contracts import Batch, FactoredUpdate, Frame, Outcome, Update
from ..contracts.records import RoundRecord
from ..runs.directory import RunDirectory
from .criterion import Criterion


@attrs.frozen(kw_only=True)
class Recording:
    """A run to replay, with the criterion for its precision."""

    directory: RunDirectory
    criterion: Criterion


@attrs.frozen(kw_only=True, eq=False)
class RecordedRound:
    """One round of a run."""

    record: RoundRecord
    updates: Mapping[str, Update] | None
    """None for a round with NaN or Inf."""
    outcomes: Mapping[str, Outcome]
    """After the round, by split."""
    rollouts: Sequence[Batch] | None = None
    """The rollouts it trained on; None if there were none, or they were not stored."""

    @property
    def frames(self) -> dict[str, Frame] | None:
        """Frames of the round, by site."""
        if self.updates is None:
            return None
        framed = {s: u for s, u in self.updates.items() if isinstance(u, FactoredUpdate) and u.orthonormal}
        return {site: update.frame for site, update in framed.items()}


def read_round(directory: RunDirectory, number: int) -> RecordedRound:
    """Round `number`; 0 is the base."""
    record = directory.records[number]
    trained = any(name.startswith("updates/") for name in record.files)
    return RecordedRound(
        record=record,
        updates=directory.updates(number) if trained else None,
        outcomes=directory.outcomes(number),
        rollouts=directory.rollouts(number),
    )
