"""Stop rules: all rounds done, directions exhausted, or no improvement on validation."""

from __future__ import annotations

from collections.abc import Sequence

from ..contracts.records import RoundRecord
from ..contracts.run_info import End
from ..foundation.counts import count_text
from ..records.run_result import best_of
from ..sdk.metrics import default_metric
from ..spec import Spec
from .plan import Plan
from .round_plan import RoundPlan


def best_round(records: Sequence[RoundRecord], spec: Spec) -> int:
    """The best round on validation by `stop.metric`. A later round replaces it only if it is better by more than `min_delta`."""
    return best_of(records, spec.stop.metric, spec.stop.min_delta)


def exhausted_after(rounds: int) -> tuple[End, str]:
    """The end status and reason of a run whose directions served `rounds` rounds."""
    return "exhausted", f"unused directions ran out after {count_text(rounds, 'round')}"


def reason_to_stop(records: Sequence[RoundRecord], plan: Plan, upcoming: RoundPlan) -> tuple[End, str] | None:
    """End status and reason if the `upcoming` round is not run, else None. A function of the records, so a resumed run stops at the same round."""
    spec, done = upcoming.spec, len(records) - 1
    if upcoming.number > spec.rounds:
        return "completed", f"{'all ' * (spec.rounds != 1)}{count_text(spec.rounds, 'round')} done"
    if plan.capacity is not None and upcoming.exceeds(plan.capacity):
        return exhausted_after(upcoming.fresh)
    if spec.stop.patience:
        best = best_round(records, spec)
        if done - best >= spec.stop.patience:
            metric = spec.stop.metric or default_metric(records[0].validation)
            return "patience", f"no improvement in validation {metric} since round {best}"
    return None
