"""Pictures that need no script: a forest of differences, and every seed as a dot; positions are in percent of the width."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import attrs

from ..analysis.model import Analysis, Estimate, Row
from ..study.record import StudyRecord
from .quantities import in_sentence, interval, signed, titled, with_unit, written
from .scales import Scale, scale_of
from .table import difference_title, metric_name


@attrs.frozen(kw_only=True)
class Dot:
    """One seed."""

    at: float
    title: str
    cell: str
    """The key of the cell to look into."""


@attrs.frozen(kw_only=True)
class Line:
    """An arm: its seeds, their mean, and the interval of the mean."""

    arm: str
    index: int
    """Position of the arm in the study: its colour and its mark."""
    verdict: str
    at: float
    span: tuple[float, float] | None
    dots: tuple[Dot, ...]
    text: str
    detail: str


@attrs.frozen(kw_only=True)
class Picture:
    """Lines in the groups of their blocks, over one axis."""

    groups: tuple[tuple[str, tuple[Line, ...]], ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float | None
    """Where 0 lies, in a picture of differences."""
    title: str
    """What the axis shows, with its unit."""


def forest(analysis: Analysis) -> Picture | None:
    """Differences from the baseline with their intervals; None where nothing is compared."""
    study, name = analysis.study, metric_name(analysis.study)
    found = [(row, row.comparison.difference) for row in analysis.rows if row.comparison]
    if not found:
        return None
    scale = _scale(found, zero=True)
    return Picture(
        groups=_groups(study, found, scale, difference=True),
        ticks=_ticks(scale, lambda value: signed(name, value)),
        zero=scale.at(0.0),
        title=difference_title(f"Difference in {in_sentence(name)} from {study.baseline}", name),
    )


def every_seed(analysis: Analysis) -> Picture | None:
    """Every seed's result; None where nothing has finished."""
    name = metric_name(analysis.study)
    found = [(row, row.metrics[name]) for row in analysis.rows if name in row.metrics]
    if not found:
        return None
    scale = _scale(found, zero=False)
    return Picture(
        groups=_groups(analysis.study, found, scale, difference=False),
        ticks=_ticks(scale, lambda value: written(name, value)),
        zero=None,
        title=titled(name),
    )


def _scale(found: list[tuple[Row, Estimate]], *, zero: bool) -> Scale:
    spread = [v for _, e in found for v in (e.mean, e.low, e.high, *e.values)]
    return scale_of(spread, zero=zero, count=6)


def _ticks(scale: Scale, form: Callable[[float], str]) -> tuple[tuple[float, str], ...]:
    """Ticks with their texts, without decimals that none of them needs."""
    texts = [form(tick) for tick in scale.ticks]
    while all("." in text and text.endswith(("0", ".")) for text in texts):
        texts = [text[:-1].removesuffix(".") for text in texts]
    return tuple((scale.at(tick), text) for tick, text in zip(scale.ticks, texts, strict=True))


def _groups(
    study: StudyRecord, found: list[tuple[Row, Estimate]], scale: Scale, *, difference: bool
) -> tuple[tuple[str, tuple[Line, ...]], ...]:
    positions = {arm.label: index for index, arm in enumerate(study.arms)}
    form = signed if difference else with_unit
    name = metric_name(study)

    def line(row: Row, estimate: Estimate) -> Line:
        compared = row.comparison.seeds if difference and row.comparison else row.seeds
        cells = dict(zip(row.seeds, row.cells, strict=True))
        dots = [
            Dot(at=scale.at(value), title=f"seed {seed}: {form(name, value)}", cell=cells.get(seed, ""))
            for seed, value in zip(compared, estimate.values, strict=True)
        ]
        low, high = estimate.low, estimate.high
        return Line(
            arm=row.arm,
            index=-1 if row.is_baseline else positions.get(row.arm, 0),
            verdict=row.comparison.verdict if difference and row.comparison else "",
            at=scale.at(estimate.mean),
            span=None if low is None or high is None else (scale.at(low), scale.at(high)),
            dots=tuple(dots),
            text=signed(name, estimate.mean) if difference else written(name, estimate.mean),
            detail=interval(name, low, high, sign=difference),
        )

    return tuple(
        (block, tuple(line(*pair) for pair in pairs))
        for block, pairs in groupby(found, key=lambda pair: pair[0].block)
    )
