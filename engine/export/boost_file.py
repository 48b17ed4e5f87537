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
from typing import Any

import attrs
import cattrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import Blueprint
from ..errors import UsageError
from ..foundation.atomic import write_arrays
from ..foundation.cache import arrays_sha256

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

    def values(self, facts: RoundFacts) -> dict[str, NDArray[np.float64]]:
        """What a round trained, by group, in float64."""
        flat = self.arrays[f"values/{facts.number:04d}"].astype(np.float64)
        ends = np.cumsum([0, *facts.groups.values()]).tolist()
        return {g: flat[a:b] for g, a, b in zip(facts.groups, ends[:-1], ends[1:], strict=True)}


def header_of(path: Path) -> tuple[int, dict[str, Any]]:
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
