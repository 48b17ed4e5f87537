"""Streaming of planned files to disk, and comparison of what was written."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ....engine.contracts import Exportable
from ....engine.errors import RunError
from ....engine.foundation.atomic import WriteError
from .layout import PlannedFile, PlannedTensor
from .tensors import Tensor, read


def write_files(ensemble: Exportable, folder: Path, files: Sequence[PlannedFile]) -> None:
    """Write the files with at most one merged weight in memory. Raises `WriteError` on an OS error."""
    done, total = 0, sum(len(file.tensors) for file in files)
    for file in files:
        path = folder / file.name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as out:
                out.write(file.header or header_of(file))
                for tensor in file.tensors:
                    for block in tensor.blocks(ensemble):
                        out.write(block.data)
                    done += 1
                    ensemble.report("writing tensors", done, total)
        except OSError as error:
            raise WriteError(f"{path}: cannot be written ({error.strerror or error})") from error


def header_of(file: PlannedFile) -> bytes:
    """The header of a safetensors file: its length in 8 bytes, then JSON, padded with spaces to a multiple of 8 bytes."""
    content: dict[str, Any] = {"__metadata__": dict(file.metadata)} if file.metadata else {}
    place = 0
    for tensor in file.tensors:
        content[tensor.name] = {
            "dtype": tensor.code,
            "shape": list(tensor.base.shape),
            "data_offsets": [place, place + tensor.size],
        }
        place += tensor.size
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def compare_files(ensemble: Exportable, folder: Path, files: Sequence[PlannedFile]) -> None:
    """Read every tensor back and compare it bit by bit. Raises `RunError` naming the first that differs."""
    done, total = 0, sum(len(file.tensors) for file in files)
    for file in files:
        found = _found(folder / file.name)
        strange = found.keys() ^ {tensor.name for tensor in file.tensors}
        if strange:
            raise RunError(
                f"{folder / file.name}: its tensors differ from those written, such as {min(strange)}"
            )
        for tensor in file.tensors:
            if not _same(ensemble, tensor, found[tensor.name]):
                raise RunError(
                    f"{folder / file.name}: {tensor.name} differs from what was written; check the disk"
                )
            done += 1
            ensemble.report("reading back", done, total)


def _found(path: Path) -> dict[str, Tensor]:
    """The tensors of a written file, read with the safetensors library. Raises `RunError`."""
    try:
        with safe_open(path, framework="np") as opened:
            seen = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
            header = {n: (str(s.get_dtype()), tuple(s.get_shape())) for n, s in seen.items()}
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path}: cannot be read back: {error}") from error
    found = {tensor.name: tensor for tensor in read(path).tensors}
    if header != {name: (tensor.code, tensor.shape) for name, tensor in found.items()}:
        raise RunError(f"{path}: its header differs from what was written")
    return found


def _same(ensemble: Exportable, planned: PlannedTensor, found: Tensor) -> bool:
    if (found.code, found.shape) != (planned.code, planned.base.shape):
        return False
    raw, place = found.bytes(), 0
    for block in planned.blocks(ensemble):
        if not np.array_equal(raw[place : place + len(block)], block):
            return False
        place += len(block)
    return place == len(raw)
