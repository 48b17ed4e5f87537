"""Round records made by hand, and what is read off them."""

from __future__ import annotations

import math

from boostlora.engine.analysis.model import Candidate, CellView, Comparison, Estimate, ExampleComparison
from boostlora.engine.contracts import Metrics
from boostlora.engine.contracts.records import RoundRecord

METRICS = (
    *(f"{split}.{metric}" for split in ("test", "validation", "train") for metric in ("accuracy", "loss")),
    "rank", "effective_rank", "overlap", "parameters", "rounds", "lost", "gained", "seconds",
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
        lost=20 + arm if r else 0,
        gained=40 if r else 0,
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
        "lost": last.lost / 500,
        "gained": float(last.gained),
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


def comparison_of(paired: list[tuple[CellView, CellView]], metric: str) -> Comparison:
    """A comparison of cells with those of the baseline, in plausible words."""
    name = f"test.{metric}"
    differences = [value(v.records, name) - value(o.records, name) for v, o in paired]
    difference = estimate(differences)
    sign = -1 if metric == "loss" else 1
    many = len(paired) > 1
    verdict = (
        "better"
        if sign * difference.mean > 0.05
        else "worse"
        if sign * difference.mean < -0.05
        else "unclear"
    )
    return Comparison(
        seeds=tuple(v.state.cell.seed for v, _ in paired),
        difference=difference,
        relative=difference.mean / 0.5,
        wins=sum(sign * d > 0 for d in differences),
        p=0.0625 if many else None,
        p_holm=0.125 if many else None,
        smallest_p=0.0625 if many else None,
        examples=ExampleComparison(
            only_arm=134,
            only_baseline=27,
            both=310,
            neither=69,
            p=1.3e-5,
            test="permutation" if many else "mcnemar",
            low=0.11,
            high=0.28,
        ),
        verdict=verdict if many else "one seed",
        words=f"{100 * difference.mean:+.1f} points, p = 0.12 after correction for 2 comparisons",
    )


def candidates_of(
    cells: tuple[CellView, ...], tuned: tuple[float, ...], metric: str
) -> tuple[Candidate, ...]:
    """Every tuning; what is not the chosen one is a little worse on validation."""
    groups = dict[tuple[str, str, float], list[CellView]]()
    for view in cells if tuned else ():
        cell = view.state.cell
        groups.setdefault((cell.block, cell.arm, cell.tuning["optimizer.lr"]), []).append(view)
    found = list[Candidate]()
    for (block, arm, lr), views in groups.items():
        there = [view for view in views if view.state.status == "finished"]
        sign = -1 if metric == "loss" else 1
        worse = 0.0 if lr == tuned[-1] else 0.05 * sign
        values = [value(v.records, f"validation.{metric}") - worse for v in there]
        found.append(
            Candidate(
                arm=arm,
                block=block,
                tuning={"optimizer.lr": lr},
                validation=estimate(values) if values else None,
                seeds=tuple(view.state.cell.seed for view in there),
                chosen=lr == tuned[-1],
            )
        )
    return tuple(found)
