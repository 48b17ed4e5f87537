"""Holds the content of a boost file to itself: its digest says that nobody damaged it by accident, not that it was made by us."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import cattrs
import numpy as np
from numpy.typing import NDArray

from ..contracts.records import RoundRecord
from ..ensemble.sketches import SIZE
from ..foundation.options import shortened
from ..spec.spec import NAME

if TYPE_CHECKING:
    from .boost_file import BoostFile, RoundFacts

FACTORS = frozenset({"U", "S", "V", "core", "form"})
"""Parts of a factored update; those of a dense one are `delta` alone."""


def faults(file: BoostFile) -> Iterator[str]:
    """What does not fit together in a file whose types are right, in words; nothing where all does."""
    yield from _names(file)
    yield from _numbers(file)
    known = {"content", "sketch", *(f"fitted/{name}" for name in file.base.fitted)}
    for facts in file.rounds:
        name, parts = f"values/{facts.number:04d}", _parts(file, facts)
        known |= {name, *(full for found in parts.values() for full in found.values())}
        yield from _values(file.arrays.get(name), facts)
        yield from _factors(file, facts, parts)
    yield from _fitted(file)
    for name, array in file.arrays.items():
        if name not in known:
            yield f"nobody knows what {shortened(name)} is"
        if not _is_finite(array):
            yield f"{shortened(name)} holds something else than finite numbers"


def _names(file: BoostFile) -> Iterator[str]:
    if not NAME.fullmatch(file.name):
        yield f'"{shortened(file.name)}" is no name of a run'
    if not file.base.files:
        yield "it names no file of its base"
    weights = [weight.name for weight in file.blueprint.weights]
    if len(set(weights)) != len(weights):
        yield "two weights have one name"
    for weight in file.blueprint.weights:
        matrix = len(weight.shape) == 2 or weight.role == "other"
        if not matrix or any(size < 0 for size in weight.shape):
            yield f"{shortened(weight.name)} has no shape that a weight can have"


def _numbers(file: BoostFile) -> Iterator[str]:
    """Rounds, records and weights of rounds name the same rounds."""
    played = len(file.records) - 1
    try:
        cattrs.structure([dict(record) for record in file.records], list[RoundRecord])
    except (cattrs.BaseValidationError, AttributeError, TypeError, ValueError):
        yield "the records of its rounds are none"
        return
    if [record.get("round") for record in file.records] != list(range(played + 1)) or played < 0:
        yield "the records of its rounds are not those of 0, 1, 2, …"
        return
    numbers = [facts.number for facts in file.rounds]
    if any(a >= b for a, b in pairwise(numbers)):
        yield "its rounds are not in order"
    scales = {r["round"]: r.get("scale") for r in file.records if r["round"] and r.get("scale") != 0.0}
    if scales != {facts.number: facts.scale for facts in file.rounds}:
        yield "its rounds are not those that its records say were merged"
    given = file.merged.weights
    if any(not 1 <= number <= played for number in given):
        yield f"there are weights of rounds that it has not; it has {played}"
    if not all(map(math.isfinite, (*given.values(), *(f.scale for f in file.rounds), file.merged.norm))):
        yield "a scale, a weight or the norm is no finite number"
    if 0.0 in given.values():
        yield "a round was chosen with weight 0"
    if not 0 <= file.best <= played:
        yield f"its best round is {file.best}, and it has {played}"


def _values(values: NDArray[Any] | None, facts: RoundFacts) -> Iterator[str]:
    if values is None or values.ndim != 1 or values.dtype.kind != "f":
        yield f"the numbers of round {facts.number} are missing"
    elif min(facts.groups.values(), default=0) < 0 or sum(facts.groups.values()) != len(values):
        yield f"round {facts.number} has {len(values)} numbers, and its groups share {sum(facts.groups.values())}"


def _parts(file: BoostFile, facts: RoundFacts) -> dict[str, dict[str, str]]:
    """The names of a round's factors, by site and part."""
    found, prefix = dict[str, dict[str, str]](), f"factors/{facts.number:04d}/"
    for name in file.arrays if facts.factors else ():
        if name.startswith(prefix):
            site, _, part = name.removeprefix(prefix).rpartition("/")
            found.setdefault(site, {})[part] = name
    return found


def _factors(file: BoostFile, facts: RoundFacts, parts: dict[str, dict[str, str]]) -> Iterator[str]:
    """A round's updates have the shapes of the weights that they are added to."""
    shapes = {w.name: w.matrix for w in file.blueprint.weights if len(w.shape) == 2}
    for site, names in parts.items():
        arrays = {part: file.arrays[name] for part, name in names.items()}
        if site not in shapes:
            yield f"round {facts.number} has an update of {shortened(site)}, and the model has no such weight"
        elif arrays.keys() not in (FACTORS, {"delta"}):
            yield f"the update of {shortened(site)} in round {facts.number} is not whole"
        elif {part: array.shape for part, array in arrays.items()} != _shapes(shapes[site], arrays):
            yield f"the update of {shortened(site)} in round {facts.number} does not fit the weight"


def _shapes(shape: tuple[int, int], arrays: dict[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    """The shapes that an update's parts must have."""
    if "delta" in arrays:
        return {"delta": shape}
    (d_out, d_in), r = shape, int(np.size(arrays["S"]))
    return {"U": (d_out, r), "S": (r,), "V": (d_in, r), "core": (r, r), "form": (3,)}


def _fitted(file: BoostFile) -> Iterator[str]:
    sketch, shapes = file.arrays.get("sketch"), {w.name: w.shape for w in file.blueprint.weights}
    if sketch is None or sketch.ndim != 2 or sketch.shape[1] != SIZE or sketch.dtype.kind != "f":
        yield "its sketches are missing"
    for name in file.base.fitted:
        array = file.arrays.get(f"fitted/{name}")
        if array is None or shapes.get(name) != array.shape:
            yield f"the fitted weight {shortened(name)} is missing, or of another shape"


def _is_finite(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "fiub" and bool(np.isfinite(array).all())
