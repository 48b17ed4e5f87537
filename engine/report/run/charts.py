"""Curves of a run over its rounds: the compared metric, loss, rewards, rank, parameters, gained and lost, samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import attrs

from ...analysis.answer_spans import EXPECTED
from ...analysis.formats import is_loss, is_share, unit_of
from ...analysis.quantities import metrics_of_splits, parameters, shape_of
from ...contracts.records import RolloutMetrics, RoundRecord
from ..payload import rounded
from .narrative import quantity_title
from .view import RunView

SPLITS = {"test": "Test", "validation": "Validation", "train": "Training"}
Values = tuple[float | int | None, ...]


@attrs.frozen(kw_only=True)
class Chart:
    """One chart over the rounds."""

    title: str
    form: str
    """The number format of the page's script."""
    series: tuple[tuple[str, Values], ...]
    """A label and a value for every round; None where a round has none."""
    zero: bool = False
    """Whether the axis starts at 0."""


def charts(view: RunView) -> list[Chart]:
    """The charts of a run with rounds; none before a second model is there to compare."""
    records = view.records
    if len(records) < 2:
        return []
    metrics = dict.fromkeys((view.headline, *(() if view.is_regression else ("accuracy",)), "loss"))
    found = [_metric(view, name) for name in metrics]
    if any(record.rollouts for record in records):
        found += _rewards(records)
    shapes = [shape_of(record) for record in records]
    total = accumulate(parameters([record]) for record in records)
    found += [
        Chart(
            title="Rank of all updates, mean over sites",
            form="rank",
            series=_series({"Rank": [s.get("rank") for s in shapes], "Effective rank": [s.get("effective_rank") for s in shapes]}),
            zero=True,
        ),
        Chart(title="Trained parameters so far", form="count", series=_series({"Parameters": total}), zero=True),
        Chart(
            title="Training examples gained and lost",
            form="count",
            series=_series({"Gained": _trained(records, "gained"), "Lost": _trained(records, "lost")}),
            zero=True,
        ),
    ]  # fmt: skip
    return [chart for chart in [*found, *_samples(view)] if chart.series]


def _metric(view: RunView, name: str) -> Chart:
    form = "share" if is_share(name) else "loss" if is_loss(name) else "measure"
    unit = "" if form == "loss" and view.is_regression else unit_of(name)
    splits = [metrics_of_splits(record) for record in view.records]
    values = {title: [found.get(f"{split}.{name}") for found in splits] for split, title in SPLITS.items()}
    return Chart(
        title=quantity_title(name) + (f", {unit}" if unit else ""),
        form=form if unit or form != "loss" else "measure",
        series=_series(values),
    )


def _rewards(records: Sequence[RoundRecord]) -> list[Chart]:
    def of(value: Callable[[RolloutMetrics], float]) -> list[float | None]:
        return [None if record.rollouts is None else value(record.rollouts) for record in records]

    rewards = {
        "All answers": of(lambda r: r.reward),
        "First batch": of(lambda r: r.reward_first),
        "Last batch": of(lambda r: r.reward_last),
    }
    share = {"Groups": of(lambda r: r.zero_variance / max(1, r.groups))}
    return [
        Chart(title="Mean reward of the round's answers", form="measure", series=_series(rewards)),
        Chart(
            title="Groups of answers with equal rewards, %", form="share", series=_series(share), zero=True
        ),
    ]


def _trained(records: Sequence[RoundRecord], name: str) -> list[float | None]:
    return [None if record.round == 0 else float(getattr(record, name)) for record in records]


def _samples(view: RunView) -> list[Chart]:
    if view.samples is None:
        return []
    values = view.samples.kind == "value"
    found = {
        f"{number} · {EXPECTED.get(view.samples.kind, '')} {_short(sample.expected)}": [answer.value if values else answer.probability for answer in answers]
        for number, (sample, answers) in enumerate(zip(view.samples.samples, view.answers, strict=True), 1)
        if len(answers) == len(view.records)
    }  # fmt: skip
    title = (
        "Predicted value of the samples" if values else "Probability of what is expected in the samples, %"
    )
    return [Chart(title=title, form="measure" if values else "share", series=_series(found))]


def _short(text: str, most: int = 24) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _series(values: Mapping[str, Iterable[float | None]]) -> tuple[tuple[str, Values], ...]:
    """Series that have any value, rounded finer than a pixel."""
    found = {label: tuple(rounded(value) for value in series) for label, series in values.items()}
    return tuple(
        (label, series) for label, series in found.items() if any(value is not None for value in series)
    )


def payload(view: RunView) -> dict[str, Any]:
    """The data of the page's script."""
    return {
        "charts": [
            {
                "title": chart.title,
                "form": chart.form,
                "zero": chart.zero,
                "series": [{"label": label, "mean": series} for label, series in chart.series],
            }
            for chart in charts(view)
        ],
        "rounds": [record.round for record in view.records],
    }
