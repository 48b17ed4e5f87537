"""Which tensors an export has, in which files: the base's own layout, or shards of a size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from ....engine.contracts import Exportable, WeightInfo
from ....engine.errors import UsageError
from .cast import cast_blocks
from .tensors import CODES, Bytes, Tensor, TensorFile, numpy_dtype, read

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@attrs.frozen(kw_only=True, eq=False)
class Planned:
    """A tensor of the export: the base's, perhaps in another dtype, perhaps a site's, with its updates merged."""

    base: Tensor
    code: str
    """The dtype that it is written in."""
    site: WeightInfo | None = None
    written_as: str = ""
    """Its name in the file, where that is another."""

    @property
    def name(self) -> str:
        """Its name in the file."""
        return self.written_as or self.base.name

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        if self.code == self.base.code:
            return self.base.end - self.base.start
        return int(np.prod(self.base.shape)) * numpy_dtype(self.code).itemsize

    def blocks(self, ensemble: Exportable) -> Iterator[Bytes]:
        """Its bytes, block by block. A site without an update is the base's, bit for bit."""
        if self.site is not None and ensemble.updates(self.site.name):
            merged = ensemble.merged(self.site.name)
            yield from cast_blocks(merged.T if self.site.transposed else merged, self.code, self.name)
        elif self.code == self.base.code:
            yield from self.base.blocks()
        else:
            for block in self.base.blocks():
                yield from cast_blocks(block.view(numpy_dtype(self.base.code)), self.code, self.name)


@attrs.frozen(kw_only=True, eq=False)
class PlannedFile:
    """A file of the export, its tensors in the order of their bytes."""

    name: str
    tensors: tuple[Planned, ...]
    metadata: Mapping[str, str]
    header: bytes = b""
    """The base's own, where nothing in it changes."""

    @property
    def size(self) -> int:
        """Bytes of its tensors."""
        return sum(tensor.size for tensor in self.tensors)


def planned(
    ensemble: Exportable, files: Sequence[Path], dtype: str
) -> list[tuple[TensorFile, list[Planned]]]:
    """Every tensor of these files of the base, file by file; floating-point ones in `dtype`, unless that is `stored`.

    Of a name that two files have, the later one is the model's, as for the backends. Raises `UsageError` for a site that is
    not there.
    """
    found = [read(file) for file in files]
    owner = {tensor.name: file.path for file in found for tensor in file.tensors}
    adapted = {site.name for site in ensemble.sites}
    weights = [w for w in ensemble.source.blueprint.weights if w.name in adapted]
    sites = {name: w for w in weights for name in (w.stored or w.name, *w.also_stored)}

    def plan(tensor: Tensor) -> Planned:
        site = sites.get(tensor.name) if owner[tensor.name] == tensor.file else None
        changed = dtype != "stored" and tensor.code in CODES.values()
        return Planned(base=tensor, code=CODES[dtype] if changed else tensor.code, site=site)

    return [(file, [plan(tensor) for tensor in file.tensors]) for file in found]


def as_the_base(file: TensorFile, tensors: Sequence[Planned], name: str) -> PlannedFile:
    """A file laid out as the base's: same order, same metadata; the same header, where no dtype changes."""
    if all(tensor.code == tensor.base.code for tensor in tensors):
        return PlannedFile(name=name, tensors=tuple(tensors), metadata=file.metadata, header=file.header)
    return PlannedFile(name=name, tensors=_aligned(tensors), metadata=file.metadata)


def in_shards(tensors: Sequence[Planned], limit: int) -> list[PlannedFile]:
    """`model.safetensors`, or, beyond `limit` bytes, numbered shards of at most so many, each with one tensor at least."""
    parts: list[list[Planned]] = [[]]
    filled = 0
    for tensor in tensors:
        if parts[-1] and filled + tensor.size > limit:
            parts.append([])
            filled = 0
        parts[-1].append(tensor)
        filled += tensor.size
    n = len(parts)
    names = [SINGLE] if n == 1 else [f"model-{i:05d}-of-{n:05d}.safetensors" for i in range(1, n + 1)]
    return [
        PlannedFile(name=name, tensors=_aligned(part), metadata={"format": "pt"})
        for name, part in zip(names, parts, strict=True)
    ]


def index_of(files: Sequence[PlannedFile]) -> dict[str, Any]:
    """The content of `model.safetensors.index.json`."""
    where = {tensor.name: file.name for file in files for tensor in file.tensors}
    total = sum(file.size for file in files)
    return {"metadata": {"total_size": total}, "weight_map": {name: where[name] for name in sorted(where)}}


def size_of(text: str) -> int:
    """Bytes that `5GB`, `500MB` or `2GiB` name. Raises `UsageError`."""
    match = re.fullmatch(r"\s*(\d+)\s*([KMG]?i?B)\s*", text, re.IGNORECASE)
    unit = match and UNITS.get(match[2].upper())
    if not match or not unit or int(match[1]) == 0:
        raise UsageError(f'max_shard_size = "{text}": a size such as 5GB, 500MB or 2GiB is expected')
    return int(match[1]) * unit


def _aligned(tensors: Sequence[Planned]) -> tuple[Planned, ...]:
    """Wide values first, else as they were: then every tensor begins at a multiple of its values' size."""

    def width(tensor: Planned) -> int:
        same = tensor.code == tensor.base.code
        return tensor.base.itemsize if same else numpy_dtype(tensor.code).itemsize

    return tuple(sorted(tensors, key=lambda tensor: -width(tensor)))
