"""Metrics of round records, by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ..contracts.records import RoundRecord
from ..sdk.metrics import BASIC_METRICS, RECALL
from ..spec.boosting_table import Boosting

SPLITS = ("test", "validation", "train")


def metrics_of_splits(record: RoundRecord) -> dict[str, float]:
    """`test.accuracy` (a share), `test.loss` (nats), …, and the task's own measures, such as `test.auroc`."""
    found = dict[str, float]()
    for split in SPLITS:
        metrics = getattr(record, split)
        found |= {f"{split}.accuracy": metrics.accuracy, f"{split}.loss": metrics.loss}
        found |= {f"{split}.{name}": value for name, value in metrics.measures.items()}
    return found


def measured(names: Iterable[str], split: str) -> list[str]:
    """The measures of a split among names of metrics, without the split, in their order; not the recalls of single classes."""
    found = (name.removeprefix(f"{split}.") for name in names if name.startswith(f"{split}."))
    return [
        name for name in dict.fromkeys(found) if name not in BASIC_METRICS and not name.startswith(RECALL)
    ]


def shape_of(record: RoundRecord) -> dict[str, float]:
    """`rank` and `effective_rank`, means over sites, and `overlap`; missing values are absent."""
    found = dict[str, float]()
    if record.rank:
        found["rank"] = _mean(record.rank.values())
    if record.effective_rank:
        found["effective_rank"] = _mean(record.effective_rank.values())
    if record.overlap is not None:
        found["overlap"] = record.overlap
    return found


def lost_share(record: RoundRecord) -> float | None:
    """Share of the training examples right before a round that are wrong after it; None for the base, or if none were right."""
    right = record.train.count - record.failures
    return record.lost / right if record.round and right else None


def gained_share(record: RoundRecord) -> float | None:
    """Share of the training examples wrong before a round that are right after it; None for the base, or if none were wrong."""
    return record.gained / record.failures if record.round and record.failures else None


def lost(records: Sequence[RoundRecord]) -> float | None:
    """Share of the training examples right before a round that are wrong after it, pooled over all rounds.

    `sum_t lost_t / sum_t right_t`: a round is weighted by the number of examples that were right before it. None if there were none.
    """
    right = sum(record.train.count - record.failures for record in records if record.round)
    return sum(record.lost for record in records) / right if right else None


def gained(records: Sequence[RoundRecord]) -> float | None:
    """Share of the training examples wrong before a round that are right after it, pooled in the same way."""
    wrong = sum(record.failures for record in records if record.round)
    return sum(record.gained for record in records) / wrong if wrong else None


def parameters(records: Sequence[RoundRecord]) -> int:
    """Parameters trained in the merged rounds, each counted once, also if a refit trains it again."""
    return sum(record.new_parameters for record in records if record.scale)


def stored(records: Sequence[RoundRecord]) -> int:
    """Parameters needed to rebuild the model from its base: trained ones, and data-driven frames.

    A frame has `(d_out + d_in) r` parameters at a site. It counts only if it cannot be recomputed from the base's weights or a seed.
    """
    kept = (record for record in records if record.scale)
    return sum(record.parameters if record.stored is None else record.stored for record in kept)


def lookup(tree: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key in a spec's tree; None if it is missing."""
    value: Any = tree
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def steps_of(spec: Mapping[str, Any], rounds: int) -> list[int] | None:
    """Optimiser steps of every round from the first; None if the spec names none.

    `optimizer.steps`, or `boosting.refit_steps` in refit rounds.
    """
    each, every, again = (
        lookup(spec, key) for key in ("optimizer.steps", "boosting.refit_every", "boosting.refit_steps")
    )
    if not isinstance(each, int):
        return None
    boosting = Boosting(refit_every=every or 0)
    return [(again or each) if boosting.is_refit(number) else each for number in range(1, rounds + 1)]


def effort(spec: Mapping[str, Any], rounds: int) -> dict[str, int]:
    """Optimiser `steps` of `rounds` rounds, and `examples` drawn into their batches, counted with repetition.

    With rewards, an example is a prompt, whatever the number of its completions. Calibration examples of a basis and trials of
    a merge policy are not counted; they only show in the time.
    """
    steps, size = steps_of(spec, rounds), lookup(spec, "optimizer.batch_size")
    if steps is None:
        return {}
    return {"steps": sum(steps)} | ({"examples": size * sum(steps)} if isinstance(size, int) else {})


def seconds(record: RoundRecord) -> float:
    """Seconds of a round."""
    return sum(record.seconds.values())


def _mean(values: Collection[float]) -> float:
    return sum(values) / len(values)
