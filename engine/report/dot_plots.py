"""Dot plots of the page, without scripts: a forest plot of differences, and all seeds; positions are in percent of the width."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import groupby

import attrs

from ..analysis.model import Analysis, Estimate, Row
from ..study.record import StudyRecord
from .quantities import format_signed, format_value, in_sentence, interval, title_with_unit, with_unit
from .tables import difference_title, metric_name


@attrs.frozen(kw_only=True)
class Dot:
    """One seed."""

    at: float
    title: str
    cell: str
    """The key of its cell."""


@attrs.frozen(kw_only=True)
class ArmLine:
    """An arm: its seeds, their mean, and the interval of the mean."""

    arm: str
    index: int
    """Index of the arm in the study, which selects colour and marker."""
    verdict: str
    at: float
    span: tuple[float, float] | None
    dots: tuple[Dot, ...]
    text: str
    detail: str


@attrs.frozen(kw_only=True)
class DotPlot:
    """Lines grouped by block, over one axis."""

    groups: tuple[tuple[str, tuple[ArmLine, ...]], ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float | None
    """Position of 0, in a plot of differences."""
    title: str
    """The axis title, with its unit."""


def forest_plot(analysis: Analysis) -> DotPlot | None:
    """Differences from the baseline with their intervals; None if nothing is compared."""
    study, name = analysis.study, metric_name(analysis.study)
    found = [(row, row.comparison.difference) for row in analysis.rows if row.comparison]
    if not found:
        return None
    scale = _scale(found, zero=True)
    return DotPlot(
        groups=_groups(study, found, scale, difference=True),
        ticks=_ticks(scale, lambda value: format_signed(name, value)),
        zero=scale.at(0.0),
        title=difference_title(f"Difference in {in_sentence(name)} from {study.baseline}", name),
    )


def seed_plot(analysis: Analysis) -> DotPlot | None:
    """Every seed's result; None if nothing has finished."""
    name = metric_name(analysis.study)
    found = [(row, row.metrics[name]) for row in analysis.rows if name in row.metrics]
    if not found:
        return None
    scale = _scale(found, zero=False)
    return DotPlot(
        groups=_groups(analysis.study, found, scale, difference=False),
        ticks=_ticks(scale, lambda value: format_value(name, value)),
        zero=None,
        title=title_with_unit(name),
    )


def _scale(found: list[tuple[Row, Estimate]], *, zero: bool) -> Scale:
    spread = [v for _, e in found for v in (e.mean, e.low, e.high, *e.values)]
    return scale_of(spread, zero=zero, count=6)


def _ticks(scale: Scale, form: Callable[[float], str]) -> tuple[tuple[float, str], ...]:
    """Ticks with their labels, without common trailing zeros."""
    texts = [form(tick) for tick in scale.ticks]
    while all("." in text and text.endswith(("0", ".")) for text in texts):
        texts = [text[:-1].removesuffix(".") for text in texts]
    return tuple((scale.at(tick), text) for tick, text in zip(scale.ticks, texts, strict=True))


def _groups(
    study: StudyRecord, found: list[tuple[Row, Estimate]], scale: Scale, *, difference: bool
) -> tuple[tuple[str, tuple[ArmLine, ...]], ...]:
    positions = {arm.label: index for index, arm in enumerate(study.arms)}
    form = format_signed if difference else with_unit
    name = metric_name(study)

    def line(row: Row, estimate: Estimate) -> ArmLine:
        compared = row.comparison.seeds if difference and row.comparison else row.seeds
        cells = dict(zip(row.seeds, row.cells, strict=True))
        dots = [
            Dot(at=scale.at(value), title=f"seed {seed}: {form(name, value)}", cell=cells.get(seed, ""))
            for seed, value in zip(compared, estimate.values, strict=True)
        ]
        low, high = estimate.low, estimate.high
        return ArmLine(
            arm=row.arm,
            index=-1 if row.is_baseline else positions.get(row.arm, 0),
            verdict=row.comparison.verdict if difference and row.comparison else "",
            at=scale.at(estimate.mean),
            span=None if low is None or high is None else (scale.at(low), scale.at(high)),
            dots=tuple(dots),
            text=format_signed(name, estimate.mean) if difference else format_value(name, estimate.mean),
            detail=interval(name, low, high, sign=difference),
        )

    return tuple(
        (block, tuple(line(*pair) for pair in pairs))
        for block, pairs in groupby(found, key=lambda pair: pair[0].block)
    )


@attrs.frozen(kw_only=True)
class Scale:
    """A linear axis from `low` to `high`."""

    low: float
    high: float
    step: float

    def at(self, value: float) -> float:
        """Position of a value in percent of the axis, clipped to its ends."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Round numbers on the axis."""
        first = math.ceil(self.low / self.step - 1e-9)
        last = math.floor(self.high / self.step + 1e-9)
        return tuple(round(i * self.step, 12) + 0.0 for i in range(first, last + 1))


def scale_of(values: Iterable[float | None], *, zero: bool = False, count: int = 5) -> Scale:
    """An axis for these values, with about `count` steps and 4 % padding at both ends; `zero` includes 0."""
    known = [value for value in values if value is not None and math.isfinite(value)] + (
        [0.0] if zero else []
    )
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if high - low <= 1e-12 * max(1.0, abs(high)):
        margin = 0.5 * abs(high) or 1.0
        low, high = low - margin, high + margin
    padding = 0.04 * (high - low)
    low, high = low - padding, high + padding
    return Scale(low=low, high=high, step=_step((high - low) / count))


def _step(rough: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
