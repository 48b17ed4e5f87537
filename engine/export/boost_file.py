"""The boost file: one safetensors file with a run's trained parameters, and all that is needed to rebuild its updates.

Everything but the arrays is one compressed JSON object in the tensor `content`; the header describes the file. It holds a
digest over all tensors, which detects damage and truncation.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import cattrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Blueprint, WeightInfo
from ..errors import UsageError
from ..foundation.atomic import write_arrays
from ..foundation.cache import arrays_sha256

FORMAT = "boostlora-boost"
VERSION = 1
MAX_CONTENT = 1 << 27
"""Maximum bytes of uncompressed content. A round of 252 sites takes about 28 kB, so this is over four thousand rounds."""
SUFFIX = ".boost.safetensors"
Arrays = dict[str, NDArray[Any]]

_converter = cattrs.Converter()
# `summed` only serves the memory forecast of a run.
_converter.register_unstructure_hook(
    WeightInfo,
    cattrs.gen.make_dict_unstructure_fn(WeightInfo, _converter, summed=cattrs.gen.override(omit=True)),
)


@attrs.frozen(kw_only=True)
class BaseFile:
    """A file of base weights."""

    name: str
    size: int
    sha256: str


@attrs.frozen(kw_only=True)
class BaseFacts:
    """The base of the trained parameters."""

    path: str
    """As in the spec: a hub id, or the last part of a folder's path."""
    files: tuple[BaseFile, ...]
    tensors: str
    """SHA-256 of all tensors of these files, names, types, shapes and bytes, independent of sharding."""
    fitted: tuple[str, ...]
    """Weights fitted to the run's data before boosting; the boost file contains them."""


@attrs.frozen(kw_only=True)
class RoundFacts:
    """One merged round."""

    number: int
    scale: float
    groups: Mapping[str, int]
    """Number of trained values by group of tied sites, or by site and factor, in storage order."""
    factors: bool
    """Whether the file contains its updates."""


@attrs.frozen(kw_only=True)
class MergedFacts:
    """The merged model, for verification."""

    weights: Mapping[int, float]
    """The selected rounds with the factors of their scales."""
    sha256: str
    """Of all adapted weights with the selected rounds merged, in the dtype of merges."""
    norm: float
    """`sqrt(sum_sites ||dW||_F^2)` of all rounds of the file at their recorded scales, like `sketch`."""


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
    """Round records, as in `rounds.jsonl`."""
    best: int
    provenance: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = attrs.field(factory=dict, eq=False)
    """`values/NNNN` `(n,)`, the trained values of a round, concatenated; `factors/NNNN/SITE/…`; `fitted/NAME`; `sketch` `(sites, k)`."""

    def write(self, path: Path) -> int:
        """Write it atomically; returns its size in bytes."""
        text = json.dumps(self.content(), separators=(",", ":")).encode()
        if len(text) > MAX_CONTENT:
            raise UsageError(
                f"{path}: {len(text):,} bytes besides the arrays; a boost file has at most {MAX_CONTENT:,}"
            )
        arrays = {**self.arrays, "content": np.frombuffer(zlib.compress(text, 9), dtype=np.uint8)}
        write_arrays(path, arrays, self.header(arrays))
        return path.stat().st_size

    def content(self) -> dict[str, Any]:
        """All fields but the arrays, as JSON types."""
        content = {f.name: getattr(self, f.name) for f in attrs.fields(type(self)) if f.name != "arrays"}
        return _converter.unstructure(content)

    def header(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, str]:
        """The metadata of the safetensors header."""
        return {
            "format": FORMAT,
            "version": str(VERSION),
            "sha256": arrays_sha256(arrays),
            "name": self.name,
            "base": self.base.path,
            "rounds": str(len(self.rounds)),
            "apply": "boostlora apply BASE FILE",
        }

    def values(self, facts: RoundFacts) -> dict[str, NDArray[np.float64]]:
        """Trained values of a round by group, in float64."""
        flat = self.arrays[f"values/{facts.number:04d}"].astype(np.float64)
        ends = np.cumsum([0, *facts.groups.values()]).tolist()
        return {g: flat[a:b] for g, a, b in zip(facts.groups, ends[:-1], ends[1:], strict=True)}


def header_of(path: Path) -> tuple[int, dict[str, Any]]:
    """The offset of the tensors in a safetensors file, and its header. Raises `ValueError` for a duplicate name."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) != len(pairs):
            raise ValueError("a duplicate name")
        return found

    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return 8 + length, json.loads(file.read(length), object_pairs_hook=once)


def tensors_sha256(files: tuple[Path, ...]) -> str:
    """SHA-256 of the tensors of safetensors files, by name: dtype, shape and bytes, one tensor in memory at a time."""
    from safetensors import safe_open  # noqa: PLC0415

    places = dict[str, tuple[Path, int, dict[str, Any]]]()
    for path in files:
        with safe_open(path, framework="np"):  # refuses other and truncated files
            pass
        begin, entries = header_of(path)
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
