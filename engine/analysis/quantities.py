"""What a round's record says, as numbers by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ..measures import PLAIN
from ..record.rounds import RoundRecord

SPLITS = ("test", "validation", "train")


def metrics_of_splits(record: RoundRecord) -> dict[str, float]:
    """`test.accuracy`, `test.loss`, …: a share, and nats; and what else the task measures, such as `test.auroc`."""
    found = dict[str, float]()
    for split in SPLITS:
        metrics = getattr(record, split)
        found |= {f"{split}.accuracy": metrics.accuracy, f"{split}.loss": metrics.loss}
        found |= {f"{split}.{name}": value for name, value in metrics.measures.items()}
    return found


def measured(names: Iterable[str], split: str) -> list[str]:
    """The task's own measures of a split among names of metrics, without the split, in their order."""
    found = (name.removeprefix(f"{split}.") for name in names if name.startswith(f"{split}."))
    return [name for name in dict.fromkeys(found) if name not in PLAIN]


def shape_of(record: RoundRecord) -> dict[str, float]:
    """`rank` and `effective_rank`, means over sites, and `overlap`; what the record does not have is absent."""
    found = dict[str, float]()
    if record.rank:
        found["rank"] = _mean(record.rank.values())
    if record.effective_rank:
        found["effective_rank"] = _mean(record.effective_rank.values())
    if record.overlap is not None:
        found["overlap"] = record.overlap
    return found


def broken(record: RoundRecord) -> float | None:
    """Share of the training examples right before a round that it makes wrong; None where there were none, or no round."""
    right = record.train.count - record.failures
    return record.forgotten / right if record.round and right else None


def mended(record: RoundRecord) -> float | None:
    """Share of the training examples wrong before a round that it makes right; None where there were none, or no round."""
    return record.fixed / record.failures if record.round and record.failures else None


def parameters(records: Sequence[RoundRecord]) -> int:
    """Numbers trained in the rounds that were merged."""
    return sum(record.parameters for record in records if record.scale)


def seconds(record: RoundRecord) -> float:
    """Time of a round."""
    return sum(record.seconds.values())


def _mean(values: Collection[float]) -> float:
    return sum(values) / len(values)
