"""Results of the exported model and its base: metrics with intervals, and paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np
from numpy.typing import NDArray

from ...analysis.formats import change_text, interval_text, number_text, p_sentence, unit_of
from ...contracts import Metrics, Outcome
from ...ensemble.choice import Choice
from ...ensemble.source import RunSource
from ...errors import UsageError
from ...foundation.counts import count_text
from ...sdk.judge import metrics_of
from ...statistics.bootstrap import Interval, mean_interval
from ...statistics.examples import PairedExamples, compare_examples

if TYPE_CHECKING:
    from ...ensemble.ensemble import Ensemble

CONFIDENCE = 0.95
ALPHA = 0.05
SPLITS = ("test", "validation", "train")


@attrs.frozen(kw_only=True, eq=False)
class SplitResult:
    """One split: the base and the exported model, with per-example outcomes if available."""

    split: str
    base: Metrics
    now: Metrics | None
    outcomes: tuple[Outcome, Outcome] | None = None
    """Outcomes of the base and of the model."""


@attrs.frozen(kw_only=True)
class Difference:
    """Paired differences on one split: the model minus its base."""

    split: str
    accuracy: PairedExamples
    loss: float | None
    loss_interval: Interval
    loss_examples: int
    """Examples on which both losses are finite."""

    @property
    def lower_loss(self) -> int:
        """-1 if the model's loss is lower, 1 if it is higher, 0 if the interval contains 0."""
        if self.loss_interval is None or self.loss_interval[0] <= 0 <= self.loss_interval[1]:
            return 0
        return -1 if self.loss_interval[1] < 0 else 1


def rivals_table(ensemble: Ensemble) -> list[list[str]]:
    """What trivial models reach on the run's splits, as the run recorded it; empty if it did not, and for boost files."""
    recorded = ensemble.origin.provenance.get("rivals") if isinstance(ensemble.origin, RunSource) else None
    if not recorded:
        return []
    measures = list(dict.fromkeys(m for by_split in recorded["models"].values() for m in by_split["test"]))
    columns = [(split, measure) for measure in measures for split in ("test", "validation")]
    titles = [f"{split} {measure.replace('_', ' ')} {unit_of(measure)}".strip() for split, measure in columns]
    rows = [
        [name, *(number_text(by_split[split].get(measure), measure) for split, measure in columns)]
        for name, by_split in recorded["models"].items()
    ]
    return [["model", *titles], *rows]


def results_of(ensemble: Ensemble, choice: Choice) -> list[SplitResult]:
    """Results of every split: outcomes from disk or computed, or recorded metrics if there are no data."""
    try:
        _ = ensemble.origin.experiment
    except UsageError:  # no data here: a boost file
        return [_recorded(ensemble, choice, split) for split in SPLITS] if ensemble.records else []
    return [_measured(ensemble, choice, split) for split in _splits(ensemble, choice)]


def _splits(ensemble: Ensemble, choice: Choice) -> tuple[str, ...]:
    """Includes the training split only if its outcomes are on disk, since it is large and not informative."""
    on_disk = choice.prefix is not None and isinstance(ensemble.origin, RunSource)
    return SPLITS if on_disk else SPLITS[:2]


def _measured(ensemble: Ensemble, choice: Choice, split: str) -> SplitResult:
    now, base = ensemble.outcome(split, choice), ensemble.outcome(split, 0)
    return SplitResult(split=split, base=metrics_of(base), now=metrics_of(now), outcomes=(base, now))


def _recorded(ensemble: Ensemble, choice: Choice, split: str) -> SplitResult:
    after = choice.prefix
    known = after is not None and after < len(ensemble.records)
    now = getattr(ensemble.records[after], split) if known and after is not None else None
    return SplitResult(split=split, base=getattr(ensemble.records[0], split), now=now)


def difference_of(result: SplitResult) -> Difference | None:
    """The model minus its base, by example; None without outcomes."""
    if result.outcomes is None:
        return None
    base, now = (_sorted(outcome) for outcome in result.outcomes)
    paired = compare_examples([((now.ids, now.correct), (base.ids, base.correct))], CONFIDENCE)
    if paired is None:
        return None
    with np.errstate(invalid="ignore"):
        difference = now.loss - base.loss
    difference = difference[np.isfinite(difference)]
    return Difference(
        split=result.split,
        accuracy=paired,
        loss=float(np.mean(difference)) if len(difference) else None,
        loss_interval=mean_interval(difference),
        loss_examples=len(difference),
    )


def _sorted(outcome: Outcome) -> Outcome:
    order = np.argsort(outcome.ids, kind="stable")
    return attrs.evolve(
        outcome, ids=outcome.ids[order], loss=outcome.loss[order], correct=outcome.correct[order]
    )


def share_interval(correct: NDArray[np.bool_]) -> Interval:
    """Wilson's interval of a share (Wilson, JASA 22 (1927), 209-212)."""
    from scipy.stats import binomtest  # noqa: PLC0415 - the command line starts without it

    if len(correct) == 0:
        return None
    found = binomtest(int(np.sum(correct)), len(correct)).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


# -- Text


def figures_table(results: Sequence[SplitResult], *, alone: bool = False) -> list[list[str]]:
    """Rows of base and model for every split, or of the base `alone`; missing values are a hyphen."""
    names = list(dict.fromkeys(n for r in results for m in (r.base, r.now) if m for n in m.measures))
    titles = ["split", "examples", "model", *(_title(name) for name in ("accuracy", "loss", *names))]
    rows = [titles]
    for result in results:
        base, now = result.outcomes or (None, None)
        models = (("base", result.base, base), ("this model", result.now, now))
        for model, metrics, outcome in models[:1] if alone else models:
            count = f"{result.base.count:,}"
            rows.append([result.split, count, model, *_figures(metrics, outcome, names)])
    return rows


def _title(name: str) -> str:
    unit = unit_of(name)
    return f"{name} ({unit})" if unit else name


def _figures(metrics: Metrics | None, outcome: Outcome | None, names: Sequence[str]) -> list[str]:
    if metrics is None:
        return ["-"] * (2 + len(names))
    shares = share_interval(outcome.correct) if outcome is not None else None
    means = mean_interval(outcome.loss) if outcome is not None else None
    return [
        _with(metrics.accuracy, shares, "accuracy"),
        _with(metrics.loss, means, "loss"),
        *(number_text(metrics.measures.get(name), name) for name in names),
    ]


def _with(value: float, interval: Interval, metric: str) -> str:
    low, high = interval or (None, None)
    return f"{number_text(value, metric)} {interval_text(low, high, metric)}".rstrip()


def differences_table(differences: Sequence[Difference]) -> list[list[str]]:
    """A row per split: gained and lost examples, differences with intervals, and p."""
    rows = [["split", "gained", "lost", "accuracy", "p (McNemar, exact)", "loss"]]
    for found in differences:
        paired = found.accuracy
        rows.append(
            [
                found.split,
                f"{paired.only_first:,}",
                f"{paired.only_second:,}",
                accuracy_change(paired),
                p_sentence(paired.p).removeprefix("p ").removeprefix("= "),
                loss_change(found),
            ]
        )
    return rows


def accuracy_change(paired: PairedExamples) -> str:
    """`+64.4 points [59.7, 68.8]`; without an interval if no pair differs."""
    differing = paired.only_first + paired.only_second
    low, high = (paired.interval if differing else None) or (None, None)
    return change_text(paired.difference, low, high, "accuracy")


def loss_change(found: Difference) -> str:
    """`-1.120 nats [-1.301, -0.952]`, with the number of examples if it is not all of them; a hyphen without a loss."""
    if found.loss is None:
        return "-"
    low, high = found.loss_interval or (None, None)
    some = found.loss_examples < found.accuracy.examples
    return change_text(found.loss, low, high, "loss") + (f" (over {found.loss_examples:,})" if some else "")


def verdict(found: Difference) -> str:
    """A sentence on whether the model is better than its base on the test split."""
    paired = found.accuracy
    where = f"the {count_text(paired.examples, 'test example')}"
    change = f"{accuracy_change(paired)}, {p_sentence(paired.p)}"
    if paired.only_first + paired.only_second == 0:
        sentence = f"On {where} it is right on the same ones as its base: no gain in accuracy"
    elif paired.p >= ALPHA:
        sentence = f"On {where} the accuracy does not differ significantly from the base's ({change})"
    else:
        more = "more" if paired.difference > 0 else "less"
        sentence = f"On {where} it is right {more} often than its base ({change})"
    if found.lower_loss:
        word = "lower" if found.lower_loss < 0 else "higher"
        sentence += f"; its loss is {word} ({loss_change(found)})"
    elif found.loss is not None:
        sentence += f"; the loss does not differ significantly ({loss_change(found)})"
    return sentence + "."
