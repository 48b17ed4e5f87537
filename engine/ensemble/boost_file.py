"""The boost file: one safetensors file with what a run trained, and how updates are made of it.

Everything but the numbers is one JSON object, compressed, in the tensor `content`; the header says in words what the file is. A digest
over all tensors is in the header, so that a file which was damaged or cut off is told from a whole one, whatever a reader of
safetensors would make of it.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs
import cattrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Blueprint
from ..errors import RunError, UsageError
from ..options import shortened
from ..record.atomic import write_arrays
from ..record.cache import arrays_sha256
from .soundness import faults

FORMAT = "boostlora-boost"
VERSION = 1
MOST = 1 << 27
"""Bytes of content, unpacked. A round of 252 sites takes about 28 kB, nearly all of it ranks, so this is four thousand of them."""
SUFFIX = ".boost.safetensors"
Arrays = dict[str, NDArray[Any]]


@attrs.frozen(kw_only=True)
class BaseFile:
    """A file of base weights."""

    name: str
    size: int
    sha256: str


@attrs.frozen(kw_only=True)
class BaseFacts:
    """What base the numbers belong to."""

    path: str
    """As the spec names it: a hub id, or the last part of a folder's path."""
    files: tuple[BaseFile, ...]
    tensors: str
    """SHA-256 of all tensors of these files, names, types, shapes and bytes, whichever file they are in."""
    fitted: tuple[str, ...]
    """Weights that were fitted to the run's data before boosting, and so are in the boost file."""


@attrs.frozen(kw_only=True)
class RoundFacts:
    """One merged round."""

    number: int
    scale: float
    groups: Mapping[str, int]
    """Lengths of what it trained, by group of tied sites or by site and factor, in the order in which it is stored."""
    factors: bool
    """Whether its updates are in the file."""


@attrs.frozen(kw_only=True)
class MergedFacts:
    """What the rounds make of the base, to be held against."""

    weights: Mapping[int, float]
    """The chosen rounds, with the factors of their scales."""
    sha256: str
    """Of all adapted weights with the chosen rounds merged, in the dtype in which merges are computed."""
    norm: float
    """`sqrt(sum_sites ||dW||_F^2)` of all rounds of the file, at their recorded scales; `sketch` is of the same."""


@attrs.frozen(kw_only=True)
class BoostFile:
    """The content of a boost file."""

    name: str
    spec: str
    """The run's spec as TOML."""
    blueprint: Blueprint
    classes: tuple[str, ...]
    base: BaseFacts
    rounds: tuple[RoundFacts, ...]
    merged: MergedFacts
    records: tuple[Mapping[str, Any], ...]
    """What every round did, as in `rounds.jsonl`."""
    best: int
    provenance: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = attrs.field(factory=dict, eq=False)
    """`values/NNNN` `(n,)`, all that a round trained, end to end; `factors/NNNN/SITE/…`; `fitted/NAME`; `sketch` `(sites, k)`."""

    def write(self, path: Path) -> int:
        """Write it atomically; returns its size in bytes."""
        text = json.dumps(self.content(), separators=(",", ":")).encode()
        if len(text) > MOST:
            raise UsageError(
                f"{path}: {len(text):,} bytes beside the numbers; a boost file has at most {MOST:,}"
            )
        arrays = {**self.arrays, "content": np.frombuffer(zlib.compress(text, 9), dtype=np.uint8)}
        write_arrays(path, arrays, self.header(arrays))
        return path.stat().st_size

    def content(self) -> dict[str, Any]:
        """All but the arrays, in JSON's types."""
        content = {f.name: getattr(self, f.name) for f in attrs.fields(type(self)) if f.name != "arrays"}
        return cattrs.unstructure(content)

    def header(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, str]:
        """What anybody sees who opens the file."""
        return {
            "format": FORMAT,
            "version": str(VERSION),
            "sha256": arrays_sha256(arrays),
            "name": self.name,
            "base": self.base.path,
            "rounds": str(len(self.rounds)),
            "apply": "boostlora apply BASE FILE",
        }

    @classmethod
    def read(cls, path: Path) -> BoostFile:
        """A file, whole. Raises `UsageError` for another kind of file, `RunError` for a damaged or cut one."""
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

    def values(self, facts: RoundFacts) -> dict[str, NDArray[np.float64]]:
        """What a round trained, by group, in float64."""
        flat = self.arrays[f"values/{facts.number:04d}"].astype(np.float64)
        ends = np.cumsum([0, *facts.groups.values()]).tolist()
        return {g: flat[a:b] for g, a, b in zip(facts.groups, ends[:-1], ends[1:], strict=True)}


def _structured(path: Path, arrays: Arrays) -> BoostFile:
    """The content with its arrays. Raises `RunError` for what is not that of a boost file, or would be read as something else."""
    rest = {name: array for name, array in arrays.items() if name != "content"}
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(arrays["content"].tobytes(), MOST)
        if not unpacking.eof or unpacking.unused_data:
            raise RunError(f"{path}: damaged: its content does not end, or has more than {MOST:,} bytes")
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
    if not _within(content, json.loads(json.dumps(found.content()))):
        raise RunError(f"{path}: damaged: its content is not that of a boost file")
    return found


def _within(given: Any, read: Any) -> bool:
    """Whether all that was given was read as it is: cattrs takes 2.9 for 2, and leaves out what it does not know."""
    if isinstance(given, dict) and isinstance(read, dict):
        return all(key in read and _within(value, read[key]) for key, value in given.items())
    if isinstance(given, list) and isinstance(read, list):
        return len(given) == len(read) and all(map(_within, given, read))
    return given == read or (given != given and read != read)  # noqa: PLR0124 - NaN, a loss may be


def _opened(path: Path) -> tuple[dict[str, str], Arrays]:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    if path.is_dir():
        raise UsageError(f"{path}: is a folder, not a boost file")
    try:
        with safe_open(path, framework="np") as file:
            header = cast("dict[str, str]", file.metadata() or {})
            if header.get("format") != FORMAT:
                return header, {}
            _header_of(path)  # refuses names that are there twice
            return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise RunError(
            f"{path}: not a readable safetensors file, or one that was cut off: {error}"
        ) from error


def _header_of(path: Path) -> tuple[int, dict[str, Any]]:
    """Where the tensors of a safetensors file begin, and its header. Raises `ValueError` for a name that is there twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) != len(pairs):
            raise ValueError("a name is there twice")
        return found

    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return 8 + length, json.loads(file.read(length), object_pairs_hook=once)


def tensors_sha256(files: tuple[Path, ...]) -> str:
    """SHA-256 of the tensors of safetensors files, by name: dtype, shape and bytes, one tensor in memory at a time."""
    from safetensors import safe_open  # noqa: PLC0415

    places = dict[str, tuple[Path, int, dict[str, Any]]]()
    for path in files:
        with safe_open(path, framework="np"):  # refuses what is no such file, or is cut off
            pass
        begin, entries = _header_of(path)
        places |= {n: (path, begin, entry) for n, entry in entries.items() if n != "__metadata__"}
    digest = hashlib.sha256()
    for name in sorted(places):
        path, start, entry = places[name]
        low, high = entry["data_offsets"]
        digest.update(f"{name}:{entry['dtype']}:{entry['shape']};".encode())
        with path.open("rb") as file:
            file.seek(start + low)
            digest.update(file.read(high - low))
    return digest.hexdigest()


_converter = cattrs.Converter()
_converter.register_structure_hook(Any, lambda value, _: value)
_converter.register_structure_hook(
    BoostFile,
    cattrs.gen.make_dict_structure_fn(BoostFile, _converter, arrays=cattrs.gen.override(omit=True)),
)
