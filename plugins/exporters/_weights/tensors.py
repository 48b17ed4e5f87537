"""Raw access to safetensors files: headers, bytes of tensors, and casts."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ....engine.errors import RunError, UsageError

CODES = {"float64": "F64", "float32": "F32", "bfloat16": "BF16", "float16": "F16"}
"""Safetensors' names of the dtypes that can be cast; tensors of other dtypes are copied."""
DTYPES = {code: name for name, code in CODES.items()}

BLOCK = 2**24
"""Values per block: 64 MB of float32."""

Bytes = NDArray[np.uint8]


@attrs.frozen(kw_only=True)
class Tensor:
    """A tensor in a file: bytes `start` to `end`, little-endian, row-major."""

    name: str
    code: str
    """Dtype, as safetensors names it."""
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int

    @property
    def itemsize(self) -> int:
        """Bytes per value; 1 for an empty tensor, or if several values share a byte."""
        return max(1, (self.end - self.start) // max(1, int(np.prod(self.shape))))

    def bytes(self) -> Bytes:
        """Its bytes, memory-mapped."""
        if self.start == self.end:
            return np.empty(0, dtype=np.uint8)
        return np.memmap(
            self.file, dtype=np.uint8, mode="r", offset=self.start, shape=(self.end - self.start,)
        )

    def blocks(self) -> Iterator[Bytes]:
        """Its bytes, block by block."""
        raw, step = self.bytes(), BLOCK * self.itemsize
        for start in range(0, len(raw), step):
            yield raw[start : start + step]


@attrs.frozen(kw_only=True)
class TensorFile:
    """A safetensors file: its raw header, and its tensors in byte order."""

    path: Path
    header: bytes
    metadata: dict[str, str]
    tensors: tuple[Tensor, ...]


def read(path: Path) -> TensorFile:
    """Read a file's header, validated by the safetensors library. Raises `UsageError`."""
    try:
        with safe_open(path, framework="np"):
            pass
        with path.open("rb") as file:
            size = file.read(8)
            header = file.read(struct.unpack("<Q", size)[0])
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path}: not a readable safetensors file: {error}") from error
    content: dict[str, Any] = json.loads(header)
    metadata: dict[str, str] = content.pop("__metadata__", {})
    origin = len(size) + len(header)
    tensors = [
        Tensor(
            name=name,
            code=entry["dtype"],
            shape=tuple(entry["shape"]),
            file=path,
            start=origin + entry["data_offsets"][0],
            end=origin + entry["data_offsets"][1],
        )
        for name, entry in content.items()
    ]
    return TensorFile(
        path=path,
        header=size + header,
        metadata=metadata,
        tensors=tuple(sorted(tensors, key=lambda t: (t.start, t.end))),
    )


def numpy_dtype(code: str) -> np.dtype[Any]:
    """The NumPy dtype of a safetensors name. Raises `UsageError` if ml-dtypes is missing for bfloat16."""
    if code != "BF16":
        return np.dtype(DTYPES[code])
    try:
        import ml_dtypes  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError("bfloat16 in NumPy needs pip install ml-dtypes") from error
    return np.dtype(ml_dtypes.bfloat16)


def cast(values: NDArray[Any], code: str, name: str) -> NDArray[Any]:
    """`values` rounded once to nearest, ties to even. Raises `RunError` naming the tensor if a finite value overflows."""
    wanted = numpy_dtype(code)
    if values.dtype == wanted:
        return values
    with np.errstate(over="ignore"):  # reported below, with the name
        found = values.astype(wanted)
    if np.any(np.isfinite(values) & ~np.isfinite(found)):
        largest = float(np.max(np.abs(values.astype(np.float64))))
        raise RunError(
            f"{name}: {largest:.3g} does not fit into {DTYPES[code]}; export with dtype=bfloat16 or dtype=float32"
        )
    return found


def cast_blocks(values: NDArray[Any], code: str, name: str) -> Iterator[Bytes]:
    """The row-major bytes of `values` in the dtype `code`, block by block."""
    flat = np.ascontiguousarray(values).reshape(-1)
    for start in range(0, len(flat), BLOCK):
        yield np.ascontiguousarray(cast(flat[start : start + BLOCK], code, name)).view(np.uint8)
