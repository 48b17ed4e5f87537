"""Stop rules: all rounds done, directions exhausted, or no improvement on validation."""

from __future__ import annotations

from collections.abc import Sequence

from ..contracts.records import RoundRecord
from ..contracts.run_info import End
from ..records.run_result import best_of
from ..spec import Spec
from .plan import Plan


def best_round(records: Sequence[RoundRecord], spec: Spec) -> int:
    """The best round on validation by `stop.metric`. A later round replaces it only if it is better by more than `min_delta`."""
    return best_of(records, spec.stop.metric, spec.stop.min_delta)


def exhausted_after(rounds: int) -> tuple[End, str]:
    """The end status and reason of a run whose directions served `rounds` rounds."""
    return "exhausted", f"unused directions ran out after {rounds} rounds"


def reason_to_stop(records: Sequence[RoundRecord], spec: Spec, plan: Plan) -> tuple[End, str] | None:
    """End status and reason if no further round is run, else None. A function of the records alone, so a resumed run stops at the same round."""
    done = len(records) - 1
    if done >= spec.rounds:
        return "completed", f"all {spec.rounds} rounds done"
    boosting = spec.boosting
    fresh = boosting.fresh_before(done + 1)
    if plan.capacity is not None and fresh >= plan.capacity and not boosting.is_refit(done + 1):
        return exhausted_after(fresh)
    if spec.stop.patience:
        best = best_round(records, spec)
        if done - best >= spec.stop.patience:
            return "patience", f"no improvement in validation {spec.stop.metric} since round {best}"
    return None
