"""A comparison as JSON."""

from __future__ import annotations

import math
from typing import Any

from ...contracts import Outcome
from .compare import Comparison, verdict
from .examples import Answer, ComparedExample
from .pairs import Effect, Ids
from .sides import Side

FORMAT = 1


def as_json(found: Comparison) -> dict[str, Any]:
    """The whole comparison with all ids; numbers that are not finite are null. Differences are A minus B, shares in [0, 1], losses in nats."""
    pairing, paired, loss = found.pairing, found.accuracy, found.loss
    return {
        "format": FORMAT,
        "split": found.a.split,
        "a": _side(found.a, pairing.a, pairing.a_base),
        "b": _side(found.b, pairing.b, pairing.b_base),
        "same_data": found.same_data,
        "same_weights": found.same_weights,
        "same_model": found.same_model,
        "spec_differences": {key: [_plain(v) for v in values] for key, values in found.specs.items()},
        "examples": {"common": len(pairing), "others_a": pairing.others_a, "others_b": pairing.others_b},
        "accuracy": {
            "difference": paired.difference,
            "interval": _interval(paired.interval),
            "p": paired.p,
            "test": "exact McNemar",
        },
        "loss": None
        if loss is None
        else {
            "difference": loss.mean,
            "interval": _interval(loss.interval),
            "method": loss.method,
            "examples": loss.examples,
        },
        "confidence": found.confidence,
        "verdict": verdict(found),
        "ids": {name: _ids(getattr(pairing, name)) for name in ("both", "only_a", "only_b", "neither")},
        "gained": _effect(found.effects.gained),
        "lost": _effect(found.effects.lost),
        "shown": {name: [_shown(one) for one in getattr(found, name)] for name in ("only_a", "only_b")},
        "warnings": list(found.warnings),
        "notes": list(found.notes),
    }


def _side(side: Side, now: Outcome, base: Outcome) -> dict[str, Any]:
    return {
        "path": str(side.path),
        "name": side.tree.get("name"),
        "round": side.round,
        "last_round": side.last,
        "best_on_validation": side.chosen,
        "status": side.status,
        "digest": side.digest,
        "hashes": dict(side.hashes),
        "base": _figures(base),
        "now": _figures(now),
    }


def _figures(outcome: Outcome) -> dict[str, Any]:
    """Accuracy and loss of the common examples; the task's measures, which are computed over the side's whole split."""
    return {
        "accuracy": _finite(outcome.accuracy),
        "loss": _finite(outcome.mean_loss),
        "measures": {name: _finite(value) for name, value in outcome.measures.items()},
    }


def _effect(effect: Effect) -> dict[str, list[int]]:
    return {name: _ids(getattr(effect, name)) for name in ("both", "only_a", "only_b")}


def _shown(one: ComparedExample) -> dict[str, Any]:
    answers = {"a": _answer(one.a), "b": _answer(one.b)}
    return {"id": one.id, "asked": one.asked, "expected": one.expected, **answers}


def _answer(answer: Answer) -> dict[str, Any]:
    metrics = {"loss": _finite(answer.loss), "reward": _finite(answer.reward)}
    return {"correct": answer.correct, **metrics, "text": answer.text, "samples": answer.samples}


def _ids(ids: Ids) -> list[int]:
    return [int(number) for number in ids]


def _interval(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _plain(value: object) -> object:
    """A value of a spec; JSON has no infinite numbers, so they become text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
