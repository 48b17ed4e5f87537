"""An analysis as JSON, for scripts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from .model import Analysis, CellView


def summary(analysis: Analysis) -> dict[str, Any]:
    """The analysis as a JSON object with stable keys; curves and rounds are only in the report's data.

    `study`: `name`, `description`, `sha256`, `baseline`, `metric`, `split`, `at`, `confidence`, `seeds`, `arms`, `blocks`,
    `notes`.

    `rows`: one per block and arm, with `arm`, `block`, `is_baseline`, `values`, `tuned`, `seeds`, `missing`, `cells`;
    `metrics` by name, each `{mean, low, high, values}`; and `comparison`, null or with `seeds`, `difference` `{mean, low, high,
    values}`, `relative`, `wins`, `p`, `p_holm`, `smallest_p`, `verdict`, `words` and `examples`: null or `{only_arm,
    only_baseline, both, neither, p, test, low, high}`.

    `candidates`: one per block, arm and tuning, with `arm`, `block`, `tuning`, `seeds` (that score it),
    `validation` (the study's metric on validation, null or `{mean, low, high, values}`) and `chosen`; empty if nothing is
    tuned. It holds no test metric, since tuning never uses the test split.

    `cells`: one per cell, with `key`, `arm`, `block`, `seed`, `tuning`, `folder`, `status`, `rounds`, `ended`, `cause`,
    `selected`.

    `notes`: sentences. Accuracies are shares, losses are in nats, times in seconds; a number that is not finite is null.
    """
    study = analysis.study
    head = (
        "name",
        "description",
        "sha256",
        "baseline",
        "metric",
        "split",
        "at",
        "confidence",
        "seeds",
        "notes",
    )
    content = {
        "study": {
            **{key: getattr(study, key) for key in head},
            "arms": [arm.label for arm in study.arms],
            "blocks": [block.label for block in study.blocks],
        },
        "rows": [attrs.asdict(row) for row in analysis.rows],
        "candidates": [attrs.asdict(candidate) for candidate in analysis.candidates],
        "cells": [_cell(cell) for cell in analysis.cells],
        "notes": analysis.notes,
    }
    return _plain(content)


def _cell(view: CellView) -> dict[str, Any]:
    cell, state = view.state.cell, view.state
    place = {"key": cell.key, "arm": cell.arm, "block": cell.block, "seed": cell.seed, "tuning": cell.tuning}
    ended = {"status": state.status, "rounds": state.rounds, "ended": state.ended, "cause": state.cause}
    return {**place, "folder": cell.folder, **ended, "selected": view.selected}


def _plain(value: Any) -> Any:
    """Lists for tuples, and null for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
