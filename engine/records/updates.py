"""Updates, outcomes and rollouts of a round as safetensors files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contracts import Batch, DenseUpdate, FactoredUpdate, Frame, Outcome, Rollouts, Tokens, Training, Update
from ..contracts.sequences import pack_texts, unpack_texts
from ..foundation.atomic import read_arrays, write_arrays

Arrays = dict[str, NDArray[Any]]
OWN, COMMON = "own_measures/", "measures/"
"""Prefixes of measures that the task itself makes, and of those of every task with such targets."""


def write_training(path: Path, training: Training) -> str:
    """Write every site's update and the trained parameters (`values/…`); returns the file's SHA-256.

    A dense update is itself what was trained, and is written once.
    """
    dense = {site for site, update in training.updates.items() if isinstance(update, DenseUpdate)}
    arrays: Arrays = {f"values/{name}": value for name, value in training.values.items() if name not in dense}
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


def read_values(path: Path, sha256: str) -> Arrays:
    """Trained parameters of a round, by group of tied sites, or by site and factor; without dense updates."""
    found = read_arrays(path, sha256).items()
    return {name.removeprefix("values/"): value for name, value in found if name.startswith("values/")}


def _update(parts: Mapping[str, NDArray[Any]]) -> Update:
    if "delta" in parts:
        return DenseUpdate(delta=parts["delta"])
    a, b = parts["exponents"].tolist()
    frame = Frame(U=parts["U"], S=parts["S"], V=parts["V"])
    return FactoredUpdate(
        frame=frame, core=parts["core"], exponents=(a, b), orthonormal=bool(parts["orthonormal"][0])
    )


def write_outcomes(path: Path, outcomes: Mapping[str, Outcome]) -> str:
    """Write per-example outcomes of all splits; returns the file's SHA-256."""
    arrays: Arrays = {}
    for split, outcome in outcomes.items():
        for field in ("ids", "prediction", "loss", "correct", "reward"):
            arrays[f"{split}/{field}"] = getattr(outcome, field)
        for prefix, texts in (("", outcome.texts), ("verdicts/", outcome.verdicts)):
            if texts is not None:
                arrays |= {f"{split}/{prefix}{part}": array for part, array in pack_texts(texts).items()}
        for name, value in outcome.measures.items():
            kind = OWN if name in outcome.own else COMMON
            arrays[f"{split}/{kind}{name}"] = np.array([value], dtype=np.float64)
    return write_arrays(path, arrays)


def read_outcomes(path: Path, sha256: str) -> dict[str, Outcome]:
    """Per-example outcomes of every split."""
    splits: dict[str, Arrays] = {}
    for name, value in read_arrays(path, sha256).items():
        split, _, field = name.partition("/")
        splits.setdefault(split, {})[field] = value
    return {split: _outcome(fields) for split, fields in splits.items()}


def _outcome(fields: Arrays) -> Outcome:
    def packed(prefix: str) -> tuple[str, ...] | None:
        parts = {part: fields.pop(prefix + part) for part in ("utf8", "ends") if prefix + part in fields}
        return unpack_texts(parts) if parts else None

    texts, verdicts = packed(""), packed("verdicts/")
    own, common = (
        {
            name.removeprefix(kind): float(fields.pop(name)[0])
            for name in list(fields)
            if name.startswith(kind)
        }
        for kind in (OWN, COMMON)
    )
    return Outcome(
        **fields,
        texts=texts,
        verdicts=verdicts,
        measures={**own, **common},
        own=tuple(sorted(own)),
    )


def write_rollouts(path: Path, batches: Sequence[Batch]) -> str:
    """Write the rollouts that a round trained on, batch by batch; returns the file's SHA-256.

    A batch that serves several steps in a row is written once.
    """
    arrays: Arrays = {}
    for number, (_, same) in enumerate(groupby(batches, key=id)):
        steps = list(same)
        batch = steps[0]
        content: Arrays = {
            "indices": batch.indices,
            "weights": batch.weights,
            "steps": np.array([len(steps)]),
        }
        if (rollouts := batch.rollouts) is not None:
            settings = [rollouts.temperature, *rollouts.clip, rollouts.beta]
            given = {"shares": rollouts.shares, "old": rollouts.old, "start": rollouts.start}
            content |= {name: values for name, values in given.items() if values is not None}
            content |= {"settings": np.array(settings), **rollouts.tokens.arrays()}
        arrays |= {f"{number:06d}/{name}": value for name, value in content.items()}
    return write_arrays(path, arrays, {"format": json.dumps({"boostlora-rollouts": 1})})


def read_rollouts(path: Path, sha256: str) -> list[Batch]:
    """The batches that were written."""
    found: dict[str, Arrays] = {}
    for name, value in read_arrays(path, sha256).items():
        number, _, field = name.partition("/")
        found.setdefault(number, {})[field] = value
    batches = list[Batch]()
    for number in sorted(found):
        batches += [_batch(found[number])] * int(found[number]["steps"][0])
    return batches


def _batch(fields: Arrays) -> Batch:
    if "settings" not in fields:
        return Batch(indices=fields["indices"], weights=fields["weights"])
    temperature, low, high, beta = fields["settings"].tolist()
    tokens = Tokens(
        ids=fields["ids"],
        offsets=fields["offsets"],
        starts=fields["starts"],
        cut=np.zeros(len(fields["starts"]), dtype=np.bool_),
    )
    rollouts = Rollouts(
        tokens=tokens,
        shares=fields["shares"],
        temperature=temperature,
        old=fields.get("old"),
        start=fields.get("start"),
        clip=(low, high),
        beta=beta,
    )
    return Batch(indices=fields["indices"], weights=fields["weights"], rollouts=rollouts)
