"""Axes of the pictures that need no script."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.report.dot_plots import scale_of

NUMBERS = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False).map(lambda x: round(x, 6))


@given(values=st.lists(NUMBERS, min_size=1, max_size=8), zero=st.booleans())
def test_scale_of_values_holds_them_all_in_order(values: list[float], zero: bool) -> None:
    scale = scale_of(values, zero=zero)
    held = sorted([*values, *([0.0] if zero else [])])
    assert all(scale.low < value < scale.high for value in held)
    places = [scale.at(value) for value in held]
    assert places == sorted(places)
    assert all(0 <= place <= 100 for place in places)


@given(values=st.lists(NUMBERS, min_size=1, max_size=8))
def test_ticks_are_few_round_and_within_the_axis(values: list[float]) -> None:
    scale = scale_of(values, count=5)
    assert 2 <= len(scale.ticks) <= 6
    assert all(
        scale.low <= tick + scale.step * 1e-6 and tick - scale.step * 1e-6 <= scale.high
        for tick in scale.ticks
    )
    leading = scale.step / 10 ** math.floor(math.log10(scale.step) + 1e-9)
    assert any(math.isclose(leading, nice, rel_tol=1e-6) for nice in (1, 2, 5))


def test_scale_without_values_is_still_an_axis() -> None:
    scale = scale_of([None, math.nan, math.inf])
    assert scale.low < 0
    assert scale.high > 1
