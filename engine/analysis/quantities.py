"""What a round's record says, as numbers by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ..contracts.records import RoundRecord
from ..sdk.metrics import PLAIN
from ..spec.boosting_table import Boosting

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


def lost_share(record: RoundRecord) -> float | None:
    """Share of the training examples right before a round that it makes wrong; None where there were none, or no round."""
    right = record.train.count - record.failures
    return record.lost / right if record.round and right else None


def gained_share(record: RoundRecord) -> float | None:
    """Share of the training examples wrong before a round that it makes right; None where there were none, or no round."""
    return record.gained / record.failures if record.round and record.failures else None


def lost(records: Sequence[RoundRecord]) -> float | None:
    """Share of the training examples right before a round that were wrong after it: both counted over all rounds, then divided.

    `sum_t forgotten_t / sum_t right_t`, so that a round in which few were right weighs as little as it should. None where none ever was.
    """
    right = sum(record.train.count - record.failures for record in records if record.round)
    return sum(record.lost for record in records) / right if right else None


def gained(records: Sequence[RoundRecord]) -> float | None:
    """Share of the training examples wrong before a round that were right after it, counted in the same way."""
    wrong = sum(record.failures for record in records if record.round)
    return sum(record.gained for record in records) / wrong if wrong else None


def parameters(records: Sequence[RoundRecord]) -> int:
    """Numbers trained in the rounds that were merged, each once, whatever refits made of it."""
    return sum(record.numbers for record in records if record.scale)


def stored(records: Sequence[RoundRecord]) -> int:
    """Numbers that must be kept to make the model again from its base: those trained, and frames that came from data.

    A frame of `(d_out + d_in) r` numbers at a site counts where it cannot be had again from the base's weights or from a seed.
    """
    kept = (record for record in records if record.scale)
    return sum(record.parameters if record.stored is None else record.stored for record in kept)


def lookup(tree: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key in a spec's tree; None where it has none."""
    value: Any = tree
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def steps_of(spec: Mapping[str, Any], rounds: int) -> list[int] | None:
    """Optimiser steps of every round, from the first; None where the spec names none.

    As many a round as `optimizer.steps` says, and as many as `boosting.refit_steps` says in rounds that train earlier ones again.
    """
    each, every, again = (
        lookup(spec, key) for key in ("optimizer.steps", "boosting.refit_every", "boosting.refit_steps")
    )
    if not isinstance(each, int):
        return None
    boosting = Boosting(refit_every=every or 0)
    return [(again or each) if boosting.is_refit(number) else each for number in range(1, rounds + 1)]


def effort(spec: Mapping[str, Any], rounds: int) -> dict[str, int]:
    """`steps` of so many rounds, and `examples` that were drawn into their batches, each as often as it was drawn.

    Of rewards, an example is a prompt, however often it was answered. What an informed basis hears, or a merge policy tries, is not
    among them: it shows in the time.
    """
    steps, size = steps_of(spec, rounds), lookup(spec, "optimizer.batch_size")
    if steps is None:
        return {}
    return {"steps": sum(steps)} | ({"examples": size * sum(steps)} if isinstance(size, int) else {})


def seconds(record: RoundRecord) -> float:
    """Time of a round."""
    return sum(record.seconds.values())


def _mean(values: Collection[float]) -> float:
    return sum(values) / len(values)
