"""Round records made by hand, and what is read off them."""

from __future__ import annotations

import math

from boostlora.engine.analysis.model import Estimate
from boostlora.engine.contracts import Metrics
from boostlora.engine.record.rounds import RoundRecord

METRICS = (
    *(f"{split}.{metric}" for split in ("test", "validation", "train") for metric in ("accuracy", "loss")),
    "rank", "effective_rank", "overlap", "parameters", "rounds", "forgotten", "fixed", "seconds",
)  # fmt: skip


def record(arm: int, block: int, seed: int, r: int) -> RoundRecord:
    """A round whose numbers follow smooth curves that differ by arm."""
    top = 0.5 + 0.09 * (arm % 6) - 0.03 * block
    wobble = 0.02 * math.sin(7 * seed + 3 * arm + r)
    accuracy = 0.1 + (top - 0.1) * (1 - math.exp(-r / 5)) + wobble
    loss = 2.5 * (1 - accuracy)
    rank = 4 * r if arm % 3 else min(4, 4 * r)
    metrics = Metrics(accuracy=accuracy, loss=loss, count=540)
    return RoundRecord(
        round=r,
        status="base" if r == 0 else "merged",
        scale=1.0 if r else 0.0,
        failures=round(754 * (1 - accuracy)),
        selected=600,
        trained_on=580 if r else 0,
        train=metrics,
        validation=metrics,
        test=metrics,
        forgotten=20 + arm if r else 0,
        fixed=40 if r else 0,
        parameters=16 if r else 0,
        loss_first=loss if r else None,
        loss_last=0.9 * loss if r else None,
        rank={"layers.0": rank, "layers.1": rank},
        effective_rank={"layers.0": 0.7 * rank, "layers.1": 0.8 * rank},
        overlap=None if r < 2 else (1e-15 * r if arm % 3 else 1.0 - 0.01 * arm),
        seconds={"train": 0.02, "evaluate": 0.0112},
        memory_bytes=300_000_000,
    )


def value(records: tuple[RoundRecord, ...], name: str) -> float:
    """A cell's value of a metric, after the last of these rounds."""
    last = records[-1]
    split, _, metric = name.partition(".")
    if metric:
        return float(getattr(getattr(last, split), metric))
    simple: dict[str, float] = {
        "rank": float(max(last.rank.values())),
        "effective_rank": sum(last.effective_rank.values()) / 2,
        "overlap": last.overlap or 0.0,
        "parameters": float(sum(r.parameters for r in records)),
        "rounds": float(len(records) - 1),
        "forgotten": last.forgotten / 500,
        "fixed": float(last.fixed),
        "failures": float(last.failures),
        "seconds": sum(sum(r.seconds.values()) for r in records),
    }
    return simple[name]


def estimate(values: list[float]) -> Estimate:
    """A mean and an interval that is merely plausible."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return Estimate(mean=mean, low=None, high=None, values=tuple(values))
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    half = 2 * spread / math.sqrt(len(values))
    return Estimate(mean=mean, low=mean - half, high=mean + half, values=tuple(values))
