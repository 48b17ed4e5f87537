"""Layout of an export's tensors in files: the base's layout, or shards of a maximum size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from ....engine.contracts import Exportable, WeightInfo
from ....engine.errors import UsageError
from .tensors import CODES, Bytes, Tensor, TensorFile, cast_blocks, numpy_dtype, read

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


@attrs.frozen(kw_only=True, eq=False)
class PlannedTensor:
    """A tensor of the export: one of the base's, possibly in another dtype, or a site's merged weight."""

    base: Tensor
    code: str
    """Dtype in the export, as safetensors names it."""
    site: WeightInfo | None = None
    renamed: str = ""
    """Name in the export, if it differs from the base's."""

    @property
    def name(self) -> str:
        """Name in the export."""
        return self.renamed or self.base.name

    @property
    def size(self) -> int:
        """Size in bytes."""
        if self.code == self.base.code:
            return self.base.end - self.base.start
        return int(np.prod(self.base.shape)) * numpy_dtype(self.code).itemsize

    def blocks(self, ensemble: Exportable) -> Iterator[Bytes]:
        """Its bytes, block by block. A site without updates is bit-identical to the base."""
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
    """A file of the export, with tensors in byte order."""

    name: str
    tensors: tuple[PlannedTensor, ...]
    metadata: Mapping[str, str]
    header: bytes = b""
    """The base's header, if it does not change."""

    @property
    def size(self) -> int:
        """Total size of its tensors in bytes."""
        return sum(tensor.size for tensor in self.tensors)


def planned_files(
    ensemble: Exportable, files: Sequence[Path], dtype: str
) -> list[tuple[TensorFile, list[PlannedTensor]]]:
    """Every tensor of these files of the base, file by file; floating-point tensors in `dtype`, unless that is `stored`.

    If two files have a name, the later one is the model's, as in the backends. Raises `UsageError` for a missing site.
    """
    found = [read(file) for file in files]
    owner = {tensor.name: file.path for file in found for tensor in file.tensors}
    adapted = {site.name for site in ensemble.sites}
    weights = [w for w in ensemble.source.blueprint.weights if w.name in adapted]
    sites = {name: w for w in weights for name in (w.stored or w.name, *w.also_stored)}

    def plan(tensor: Tensor) -> PlannedTensor:
        site = sites.get(tensor.name) if owner[tensor.name] == tensor.file else None
        changed = dtype != "stored" and tensor.code in CODES.values()
        return PlannedTensor(base=tensor, code=CODES[dtype] if changed else tensor.code, site=site)

    return [(file, [plan(tensor) for tensor in file.tensors]) for file in found]


def in_base_layout(file: TensorFile, tensors: Sequence[PlannedTensor], name: str) -> PlannedFile:
    """A file with the base's tensor order and metadata; also with its header, if no dtype changes."""
    if all(tensor.code == tensor.base.code for tensor in tensors):
        return PlannedFile(name=name, tensors=tuple(tensors), metadata=file.metadata, header=file.header)
    return PlannedFile(name=name, tensors=_aligned(tensors), metadata=file.metadata)


def under_parameter_names(
    ensemble: Exportable, files: Sequence[tuple[TensorFile, Sequence[PlannedTensor]]]
) -> list[PlannedTensor]:
    """The tensors of the model's parameters under the parameters' names; if two files have a name, the later one is the model's."""
    names = {w.stored or w.name: w.name for w in ensemble.source.blueprint.weights}
    found = {
        names[tensor.base.name]: attrs.evolve(tensor, renamed=names[tensor.base.name])
        for _, tensors in files
        for tensor in tensors
        if tensor.base.name in names
    }
    return list(found.values())


def sharded(tensors: Sequence[PlannedTensor], limit: int) -> list[PlannedFile]:
    """`model.safetensors`, or numbered shards of at most `limit` bytes, each with at least one tensor."""
    parts: list[list[PlannedTensor]] = [[]]
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
    """Parse `5GB`, `500MB` or `2GiB` to bytes. Raises `UsageError`."""
    match = re.fullmatch(r"\s*(\d+)\s*([KMG]?i?B)\s*", text, re.IGNORECASE)
    unit = match and UNITS.get(match[2].upper())
    if not match or not unit or int(match[1]) == 0:
        raise UsageError(f'max_shard_size = "{text}": expected a size such as 5GB, 500MB or 2GiB')
    return int(match[1]) * unit


def _aligned(tensors: Sequence[PlannedTensor]) -> tuple[PlannedTensor, ...]:
    """Stable sort by decreasing item size, so that every tensor is aligned to its item size."""

    def width(tensor: PlannedTensor) -> int:
        same = tensor.code == tensor.base.code
        return tensor.base.itemsize if same else numpy_dtype(tensor.code).itemsize

    return tuple(sorted(tensors, key=lambda tensor: -width(tensor)))
