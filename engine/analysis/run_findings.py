"""What a single run shows, for the terminal and the report: rivals, a base that no round beats, a diverged loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from ..contracts import Metrics
from ..contracts.records import RoundRecord
from ..sdk.metrics import is_regression
from .formats import number_text

CLASSES = (("valid %", "validation", "accuracy"), ("test %", "test", "accuracy"))
BALANCED = (
    ("valid balanced %", "validation", "balanced_accuracy"),
    ("test balanced %", "test", "balanced_accuracy"),
)
VALUES = (("valid RMSE", "validation", "rmse"), ("test RMSE", "test", "rmse"))
DIVERGED = 10.0
"""A loss above so many times the base's is marked."""


@attrs.frozen(kw_only=True)
class RivalTable:
    """A run beside trivial models on the same splits."""

    titles: tuple[str, ...]
    """Of the columns after the model's name."""
    rows: tuple[tuple[str, ...], ...]
    """Rivals, the base and the best round: the name, then a text for each column."""
    notes: tuple[str, ...]
    """First whether a rival is at least as good on validation, then remarks on the rivals."""


def rival_table(
    rivals: Mapping[str, Any] | None, records: Sequence[RoundRecord], best: int
) -> RivalTable | None:
    """The rivals that a run recorded, with its base and its best round; None where it has none."""
    if not rivals:
        return None
    regression = is_regression(records[0].validation)
    columns = VALUES if regression else (*CLASSES, *BALANCED)
    ours = {rivals["base"]: records[0]} | ({f"round {best} (best)": records[best]} if best else {})
    rows = [
        (name, *(number_text(by_split[s].get(m), m) for _, s, m in columns))
        for name, by_split in rivals["models"].items()
    ]
    rows += [
        (name, *(number_text(_value(getattr(record, s), m), m) for _, s, m in columns))
        for name, record in ours.items()
    ]
    equals = _as_good(rivals, records[best].validation, "rmse" if regression else "accuracy")
    verb = "is" if len(equals) == 1 else "are"
    found = [f"{' and '.join(equals)} {verb} at least as good on validation: the simpler model may do"]
    return RivalTable(
        titles=tuple(title for title, _, _ in columns),
        rows=tuple(rows),
        notes=(*(found if equals else ()), *(f"note: {note}" for note in rivals["notes"])),
    )


def _as_good(rivals: Mapping[str, Any], validation: Metrics, metric: str) -> list[str]:
    """Names of the rivals that are at least as good on validation."""
    reached = _value(validation, metric)
    sign = -1.0 if metric == "rmse" else 1.0
    return [
        name
        for name, by_split in rivals["models"].items()
        if reached is not None and sign * by_split["validation"][metric] >= sign * reached
    ]


def _value(metrics: Metrics, measure: str) -> float | None:
    return metrics.accuracy if measure == "accuracy" else metrics.measures.get(measure)


def base_is_best(metric: str) -> str:
    """The sentence on a run whose rounds did not help, and what to try."""
    return (
        f"no round beat the base on validation ({metric}): the base is the better model. Try a lower optimizer.lr, "
        'fewer optimizer.steps, or merge.use = "gate", which refuses rounds that do not help; boostlora advise RUN '
        "suggests basis, rank and sites"
    )


def is_diverged(record: RoundRecord, base: RoundRecord) -> bool:
    """Whether the training or validation loss is more than `DIVERGED` times the base's."""
    return any(
        getattr(record, split).loss > DIVERGED * getattr(base, split).loss
        for split in ("train", "validation")
    )


def divergence_lines(records: Sequence[RoundRecord]) -> list[str]:
    """A line on the first and the worst round whose loss is far above the base's; nothing if there is none."""
    base = records[0]
    far = [record for record in records if is_diverged(record, base)]
    if not far:
        return []
    worst, split = max(
        ((record, split) for record in far for split in ("train", "validation")),
        key=lambda pair: getattr(pair[0], pair[1]).loss / max(getattr(base, pair[1]).loss, 1e-12),
    )
    line = (
        f"diverged since round {far[0].round}: the {split} loss reaches {getattr(worst, split).loss:.4g} in round {worst.round}, more "
        f"than ten times the base's {getattr(base, split).loss:.4g}; lower optimizer.lr"
    )
    return [line]
