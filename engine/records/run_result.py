"""The result of a run, `result.json`, checked against its rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from ..contracts.records import RoundRecord
from ..contracts.run_info import End
from ..errors import RunError
from ..foundation.counts import count_text
from ..foundation.sealed import read_sealed
from ..sdk.metrics import cost, default_metric

RESULT, ROUNDS = "result.json", "rounds.jsonl"
KEYS = ("status", "reason", "rounds", "best_round", "digest")


def best_of(records: Sequence[RoundRecord], metric: str, min_delta: float) -> int:
    """The best round on validation; an earlier one, unless a later one improves on it by more than `min_delta`.

    Without a metric, the default of the task's kind decides.
    """
    best = 0
    metric = metric or (default_metric(records[0].validation) if records else "")
    for record in records[1:]:
        if cost(records[best].validation, metric) - cost(record.validation, metric) > min_delta:
            best = record.round
    return best


def read_ending(folder: Path) -> dict[str, Any] | None:
    """A run's result, not checked against its rounds; None if there is none. Raises `RunError` if it is damaged."""
    result = read_sealed(folder / RESULT, KEYS)
    if result is not None and result["status"] not in get_args(End):
        raise RunError(f"{folder / RESULT}: damaged: status is {result['status']!r}")
    return result


def ending_or_none(folder: Path) -> dict[str, Any] | None:
    """The same for surveys of many runs: a damaged result counts as none, and commands on the run report it."""
    try:
        return read_ending(folder)
    except RunError:
        return None


def check_ending(
    folder: Path, result: Mapping[str, Any], records: Sequence[RoundRecord], stop: Mapping[str, Any]
) -> None:
    """Check a result against a run's rounds; `stop` is the table of its spec. Raises `RunError` if they disagree."""
    digest = records[-1].digest if records else ""
    if (
        result["digest"] and not (folder / ROUNDS).exists()
    ):  # a run that failed before its base was measured has none
        raise RunError(
            f"{folder / ROUNDS}: damaged or altered: it is missing, but {RESULT} has {count_text(result['rounds'], 'round')}"
        )
    if result["digest"] != digest:
        raise RunError(
            f"{folder / ROUNDS}: damaged or altered: {RESULT} has {count_text(result['rounds'], 'round')} with another digest"
        )
    metric, min_delta = str(stop.get("metric", "")), float(stop.get("min_delta", 0.0))
    derived = {
        "rounds": max(0, len(records) - 1),
        "best_round": best_of(records, metric, min_delta),
    }
    for key, value in derived.items():
        if result[key] != value:
            raise RunError(
                f"{folder / RESULT}: damaged: {key} is {result[key]!r}, but {value} according to the rounds"
            )
