"""When a run ends."""

from __future__ import annotations

from collections.abc import Sequence

from ..contracts.records import RoundRecord
from ..contracts.run_info import End
from ..records.run_result import best_of
from ..spec import Spec
from .plan import Plan


def best_round(records: Sequence[RoundRecord], spec: Spec) -> int:
    """The round that is best on validation; the earliest, where later ones gain no more than `min_delta`."""
    return best_of(records, spec.stop.metric, spec.stop.min_delta)


def ran_out(rounds: int) -> tuple[End, str]:
    """The end of a run whose directions served so many rounds."""
    return "exhausted", f"unused directions ran out after {rounds} rounds"


def reason_to_stop(records: Sequence[RoundRecord], spec: Spec, plan: Plan) -> tuple[End, str] | None:
    """Why no further round is played, or None. It depends on the records alone, so a resumed run stops where it would have."""
    done = len(records) - 1
    if done >= spec.rounds:
        return "completed", f"all {spec.rounds} rounds played"
    boosting = spec.boosting
    fresh = boosting.fresh_before(done + 1)
    if plan.capacity is not None and fresh >= plan.capacity and not boosting.is_refit(done + 1):
        return ran_out(plan.capacity)
    if spec.stop.patience:
        best = best_round(records, spec)
        if done - best >= spec.stop.patience:
            return "patience", f"no better on validation {spec.stop.metric} since round {best}"
    return None
