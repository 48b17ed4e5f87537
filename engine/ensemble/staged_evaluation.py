"""Evaluate selections of rounds, compared with the base and with all rounds, and leave-one-round-out models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np

from ..contracts import Metrics, Outcome
from ..errors import RunError, UsageError
from ..sdk.judge import metrics_of
from ..sdk.metrics import cost, lower_is_better
from ..statistics.examples import PairedExamples, compare_examples
from .choice import Choice

if TYPE_CHECKING:
    from .ensemble import Ensemble


@attrs.frozen(kw_only=True)
class Evaluation:
    """A selection of rounds on some splits."""

    rounds: str
    recorded: bool
    """Whether this is one of the run's own models, with outcomes on disk."""
    metrics: Mapping[str, Metrics]
    """By split."""
    base: Mapping[str, Metrics]
    all_rounds: Mapping[str, Metrics]
    against_base: Mapping[str, PairedExamples | None]
    """Accuracy of the selection minus that of the base, example by example."""
    against_all: Mapping[str, PairedExamples | None]


def evaluate(
    ensemble: Ensemble, choice: Choice, splits: Sequence[str], *, recompute: bool = False
) -> Evaluation:
    """Evaluate a selection. Raises `RunError` if a recomputed outcome differs from the recorded one by more than rounding."""
    recorded = choice.prefix is not None and not recompute
    found = {split: ensemble.outcome(split, choice, recompute=recompute) for split in splits}
    if recompute and choice.prefix is not None:
        for split in splits:
            _check_recorded(split, found[split], ensemble.outcome(split, choice))
    base = {split: ensemble.outcome(split, 0) for split in splits}
    whole = {split: ensemble.outcome(split, len(ensemble)) for split in splits}
    return Evaluation(
        rounds=choice.describe(),
        recorded=recorded,
        metrics={split: metrics_of(outcome) for split, outcome in found.items()},
        base={split: metrics_of(outcome) for split, outcome in base.items()},
        all_rounds={split: metrics_of(outcome) for split, outcome in whole.items()},
        against_base={split: _paired(found[split], base[split]) for split in splits},
        against_all={split: _paired(found[split], whole[split]) for split in splits},
    )


def _paired(one: Outcome, two: Outcome) -> PairedExamples | None:
    return compare_examples([((one.ids, one.correct), (two.ids, two.correct))])


ROUNDING = 1e-3
"""Allowed relative difference of a mean loss between float32 computations of different machines."""


def _check_recorded(split: str, now: Outcome, then: Outcome) -> None:
    """Check recomputed outcomes against the recorded ones."""
    difference = abs(now.mean_loss - then.mean_loss)
    both_unknown = np.isnan(now.mean_loss) and np.isnan(then.mean_loss)
    if not (both_unknown or difference <= ROUNDING * max(abs(then.mean_loss), 1.0)):
        raise RunError(
            f"the {split} loss is {now.mean_loss:.6g}, but {then.mean_loss:.6g} was recorded: base, data or versions have "
            "changed since the run"
        )


@attrs.frozen(kw_only=True)
class Stage:
    """Metrics of the model after a round."""

    round: int
    validation: Metrics
    test: Metrics


def stages(ensemble: Ensemble, choice: Choice) -> list[Stage]:
    """Recorded metrics of the run's own models: the base, and after every selected round.

    Raises `UsageError` for rounds with other weights, which are not models of the run.
    """
    if any(weight != 1.0 for weight in choice.weights.values()):
        raise UsageError("--staged shows the run's own models, which have no other weights")
    if not ensemble.records:
        raise UsageError("the run has not evaluated its base yet; resume it first")
    numbers = [0, *choice.weights]
    return [
        Stage(round=n, validation=ensemble.records[n].validation, test=ensemble.records[n].test)
        for n in numbers
    ]


def best_stage(found: Sequence[Stage], metric: str) -> Stage:
    """The first stage that is best on validation. Raises `UsageError` for a metric that the task lacks."""
    values = [cost(stage.validation, metric) for stage in found]
    if any(value != value for value in values):  # noqa: PLR0124 - NaN
        known = ["accuracy", "loss", *found[0].validation.measures]
        raise UsageError(f'no metric "{metric}" on validation; there are: {", ".join(known)}')
    return found[values.index(min(values))]


def without_each(ensemble: Ensemble, choice: Choice) -> Iterator[Stage]:
    """Leave-one-out models of every selected and merged round."""
    numbers = [n for n in choice.weights if ensemble.records[n].scale != 0.0]
    for done, number in enumerate(numbers):
        ensemble.origin.context.report("leaving one out", done, len(numbers))
        rest = {n: w for n, w in choice.weights.items() if n != number}
        left = Choice(weights=rest, last=choice.last)
        yield Stage(
            round=number,
            validation=ensemble.evaluate("validation", left),
            test=ensemble.evaluate("test", left),
        )


def gain(without: Metrics, whole: Metrics, metric: str) -> float:
    """Improvement of the metric due to a round, in the metric's unit; negative if the model is better without it."""
    sign = 1.0 if lower_is_better(metric) else -1.0
    return sign * (_value(without, metric) - _value(whole, metric))


def _value(metrics: Metrics, metric: str) -> float:
    found = cost(metrics, metric)
    return found if lower_is_better(metric) else 1.0 - found
