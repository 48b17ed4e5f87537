"""Parse and validate boost files: strict types, digest, and consistency of the content."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import attrs
import cattrs
import numpy as np
from numpy.typing import NDArray

from ..contracts.records import RoundRecord
from ..ensemble.sketches import SIZE
from ..errors import RunError, UsageError
from ..foundation.cache import arrays_sha256
from ..foundation.options import shortened
from ..spec.spec import NAME
from .boost_file import FORMAT, MAX_CONTENT, VERSION, Arrays, BoostFile, RoundFacts, header_of

_converter = cattrs.Converter()
_converter.register_structure_hook(Any, lambda value, _: value)
_converter.register_structure_hook(
    BoostFile,
    cattrs.gen.make_dict_structure_fn(BoostFile, _converter, arrays=cattrs.gen.override(omit=True)),
)


def read(path: Path) -> BoostFile:
    """Read a whole file. Raises `UsageError` for another kind of file, `RunError` for a damaged or truncated one."""
    header, arrays = _opened(path)
    if header.get("format") != FORMAT:
        raise UsageError(f"{path}: not a boost file; boostlora export RUN --to boost writes one")
    if header.get("version") != str(VERSION):
        raise UsageError(
            f"{path}: a boost file of version {shortened(str(header.get('version')))}; this release reads version {VERSION}"
        )
    if header.get("sha256") != arrays_sha256(arrays):
        raise RunError(f"{path}: damaged or altered: its content does not match its digest")
    found = _structured(path, arrays)
    if header != found.header(arrays):
        raise RunError(f"{path}: damaged or altered: its header does not match its content")
    if fault := next(faults(found), None):
        raise RunError(f"{path}: damaged: {fault}")
    return found


def _structured(path: Path, arrays: Arrays) -> BoostFile:
    """The content with its arrays. Raises `RunError` for other content, or content that changes when parsed."""
    rest = {name: array for name, array in arrays.items() if name != "content"}
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(arrays["content"].tobytes(), MAX_CONTENT)
        if not unpacking.eof or unpacking.unused_data:
            raise RunError(
                f"{path}: damaged: its content is truncated, or has more than {MAX_CONTENT:,} bytes"
            )
        content = json.loads(text)
        found = attrs.evolve(_converter.structure(content, BoostFile), arrays=rest)
    except (
        zlib.error,
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise RunError(f"{path}: damaged: its content cannot be read ({type(error).__name__})") from error
    except cattrs.BaseValidationError as error:
        raise RunError(f"{path}: damaged: its content is not that of a boost file") from error
    if not _read_exactly(content, json.loads(json.dumps(found.content()))):
        raise RunError(f"{path}: damaged: its content is not that of a boost file")
    return found


def _read_exactly(written: Any, read: Any) -> bool:
    """Whether parsing changed nothing: cattrs converts 2.9 to 2, and drops unknown keys."""
    if isinstance(written, dict) and isinstance(read, dict):
        return all(key in read and _read_exactly(value, read[key]) for key, value in written.items())
    if isinstance(written, list) and isinstance(read, list):
        return len(written) == len(read) and all(map(_read_exactly, written, read))
    return written == read or (written != written and read != read)  # noqa: PLR0124 - NaN, such as a loss


def _opened(path: Path) -> tuple[dict[str, str], Arrays]:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    if path.is_dir():
        raise UsageError(f"{path}: a folder, not a boost file")
    try:
        with safe_open(path, framework="np") as file:
            header = cast("dict[str, str]", file.metadata() or {})
            if header.get("format") != FORMAT:
                return header, {}
            header_of(path)  # refuses duplicate names
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise RunError(f"{path}: not a readable safetensors file, or truncated: {error}") from error


FACTORS = frozenset({"U", "S", "V", "core", "form"})
"""Parts of a factored update; a dense one has only `delta`."""


def faults(file: BoostFile) -> Iterator[str]:
    """Inconsistencies of a file with valid types. The digest detects accidental damage only, so the content is checked too."""
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
            yield f"unknown array {shortened(name)}"
        if not _is_finite(array):
            yield f"{shortened(name)} holds values that are not finite numbers"


def _names(file: BoostFile) -> Iterator[str]:
    if not NAME.fullmatch(file.name):
        yield f'"{shortened(file.name)}" is not a valid name of a run'
    if not file.base.files:
        yield "it lists no file of its base"
    weights = [weight.name for weight in file.blueprint.weights]
    if len(set(weights)) != len(weights):
        yield "two weights have the same name"
    for weight in file.blueprint.weights:
        matrix = len(weight.shape) == 2 or weight.role == "other"
        if not matrix or any(size < 0 for size in weight.shape):
            yield f"{shortened(weight.name)} has an invalid shape"


def _numbers(file: BoostFile) -> Iterator[str]:
    """Check that rounds, records and weights refer to the same rounds."""
    round_count = len(file.records) - 1
    try:
        cattrs.structure([dict(record) for record in file.records], list[RoundRecord])
    except (cattrs.BaseValidationError, AttributeError, TypeError, ValueError):
        yield "the records of its rounds are invalid"
        return
    if [record.get("round") for record in file.records] != list(range(round_count + 1)) or round_count < 0:
        yield "the records of its rounds are not those of 0, 1, 2, …"
        return
    numbers = [facts.number for facts in file.rounds]
    if any(a >= b for a, b in pairwise(numbers)):
        yield "its rounds are not in order"
    scales = {r["round"]: r.get("scale") for r in file.records if r["round"] and r.get("scale") != 0.0}
    if scales != {facts.number: facts.scale for facts in file.rounds}:
        yield "its rounds differ from the merged rounds of its records"
    written = file.merged.weights
    if any(not 1 <= number <= round_count for number in written):
        yield f"there are weights of missing rounds; it has {round_count}"
    if not all(map(math.isfinite, (*written.values(), *(f.scale for f in file.rounds), file.merged.norm))):
        yield "a scale, a weight or the norm is not finite"
    if 0.0 in written.values():
        yield "a selected round has weight 0"
    if not 0 <= file.best <= round_count:
        yield f"its best round is {file.best}, but it has {round_count}"


def _values(values: NDArray[Any] | None, facts: RoundFacts) -> Iterator[str]:
    if values is None or values.ndim != 1 or values.dtype.kind != "f":
        yield f"the values of round {facts.number} are missing"
    elif min(facts.groups.values(), default=0) < 0 or sum(facts.groups.values()) != len(values):
        yield f"round {facts.number} has {len(values)} values, but its groups have {sum(facts.groups.values())}"


def _parts(file: BoostFile, facts: RoundFacts) -> dict[str, dict[str, str]]:
    """Names of a round's factors, by site and part."""
    found, prefix = dict[str, dict[str, str]](), f"factors/{facts.number:04d}/"
    for name in file.arrays if facts.factors else ():
        if name.startswith(prefix):
            site, _, part = name.removeprefix(prefix).rpartition("/")
            found.setdefault(site, {})[part] = name
    return found


def _factors(file: BoostFile, facts: RoundFacts, parts: dict[str, dict[str, str]]) -> Iterator[str]:
    """Check that a round's updates have the shapes of their weights."""
    shapes = {w.name: w.matrix for w in file.blueprint.weights if len(w.shape) == 2}
    for site, names in parts.items():
        arrays = {part: file.arrays[name] for part, name in names.items()}
        if site not in shapes:
            yield f"round {facts.number} has an update of {shortened(site)}, but the model has no such weight"
        elif arrays.keys() not in (FACTORS, {"delta"}):
            yield f"the update of {shortened(site)} in round {facts.number} is incomplete"
        elif {part: array.shape for part, array in arrays.items()} != _shapes(shapes[site], arrays):
            yield f"the update of {shortened(site)} in round {facts.number} does not fit the weight"


def _shapes(shape: tuple[int, int], arrays: dict[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    """Required shapes of an update's parts."""
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
            yield f"the fitted weight {shortened(name)} is missing, or has another shape"


def _is_finite(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "fiub" and bool(np.isfinite(array).all())
