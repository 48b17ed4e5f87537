"""Updates and outcomes as safetensors: the factors of a round, kilobytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contracts import DenseUpdate, FactoredUpdate, Frame, Outcome, Training, Update
from ..contracts.sequences import pack_texts, unpack_texts
from .atomic import read_arrays, write_arrays

Arrays = dict[str, NDArray[Any]]


def write_training(path: Path, training: Training) -> str:
    """Every site's update, and the numbers that were trained (`values/…`); returns the file's SHA-256."""
    arrays: Arrays = {f"values/{name}": value for name, value in training.values.items()}
    for site, update in training.updates.items():
        match update:
            case DenseUpdate():
                arrays[f"sites/{site}/delta"] = update.delta
            case FactoredUpdate():
                frame = update.frame
                parts = {"U": frame.U, "S": frame.S, "V": frame.V, "core": update.core}
                parts["exponents"] = np.array(update.exponents)
                parts["orthonormal"] = np.array([update.orthonormal])
                arrays |= {f"sites/{site}/{part}": value for part, value in parts.items()}
    return write_arrays(path, arrays, {"format": json.dumps({"boostlora-updates": 1})})


def read_updates(path: Path, sha256: str) -> dict[str, Update]:
    """Every site's update from a round's file."""
    sites: dict[str, Arrays] = {}
    for name, value in read_arrays(path, sha256).items():
        if name.startswith("sites/"):
            site, _, part = name.removeprefix("sites/").rpartition("/")
            sites.setdefault(site, {})[part] = value
    return {site: _update(parts) for site, parts in sites.items()}


def _update(parts: Mapping[str, NDArray[Any]]) -> Update:
    if "delta" in parts:
        return DenseUpdate(delta=parts["delta"])
    a, b = parts["exponents"].tolist()
    frame = Frame(U=parts["U"], S=parts["S"], V=parts["V"])
    return FactoredUpdate(
        frame=frame, core=parts["core"], exponents=(a, b), orthonormal=bool(parts["orthonormal"][0])
    )


def write_outcomes(path: Path, outcomes: Mapping[str, Outcome]) -> str:
    """Per-example outcomes of every split; returns the file's SHA-256."""
    arrays: Arrays = {}
    for split, outcome in outcomes.items():
        for field in ("ids", "prediction", "loss", "correct", "reward"):
            arrays[f"{split}/{field}"] = getattr(outcome, field)
        if outcome.texts is not None:
            arrays |= {f"{split}/{field}": array for field, array in pack_texts(outcome.texts).items()}
    return write_arrays(path, arrays)


def read_outcomes(path: Path, sha256: str) -> dict[str, Outcome]:
    """Per-example outcomes of every split."""
    splits: dict[str, Arrays] = {}
    for name, value in read_arrays(path, sha256).items():
        split, _, field = name.partition("/")
        splits.setdefault(split, {})[field] = value
    return {split: _outcome(fields) for split, fields in splits.items()}


def _outcome(fields: Arrays) -> Outcome:
    texts = unpack_texts(fields) if "utf8" in fields else None
    return Outcome(**{f: a for f, a in fields.items() if f not in {"utf8", "ends"}}, texts=texts)
