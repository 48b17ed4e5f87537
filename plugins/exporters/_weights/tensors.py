"""Safetensors files as they lie on disk: headers, and bytes of single tensors."""

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

from ....engine.errors import UsageError

CODES = {"float64": "F64", "float32": "F32", "bfloat16": "BF16", "float16": "F16"}
"""Safetensors' names of the dtypes that values are cast between; tensors of others are copied."""
DTYPES = {code: name for name, code in CODES.items()}

BLOCK = 2**24
"""Values handled at once: 64 MB of float32."""

Bytes = NDArray[np.uint8]


@attrs.frozen(kw_only=True)
class Tensor:
    """A tensor in a file: the bytes from `start` to `end`, little-endian, row after row."""

    name: str
    code: str
    """Its dtype, as safetensors names it."""
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int

    @property
    def itemsize(self) -> int:
        """Bytes of one value; 1 where there is none, or where several share a byte."""
        return max(1, (self.end - self.start) // max(1, int(np.prod(self.shape))))

    def bytes(self) -> Bytes:
        """Its bytes, mapped into memory and not read yet."""
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
    """A safetensors file: its header as it stands there, and its tensors in the order of their bytes."""

    path: Path
    header: bytes
    metadata: dict[str, str]
    tensors: tuple[Tensor, ...]


def read(path: Path) -> TensorFile:
    """The header of a file, which the safetensors library has found valid. Raises `UsageError`."""
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
            code=told["dtype"],
            shape=tuple(told["shape"]),
            file=path,
            start=origin + told["data_offsets"][0],
            end=origin + told["data_offsets"][1],
        )
        for name, told in content.items()
    ]
    return TensorFile(
        path=path,
        header=size + header,
        metadata=metadata,
        tensors=tuple(sorted(tensors, key=lambda t: (t.start, t.end))),
    )


def numpy_dtype(code: str) -> np.dtype[Any]:
    """NumPy's dtype of values that are cast. Raises `UsageError` where bfloat16 needs a library that is missing."""
    if code != "BF16":
        return np.dtype(DTYPES[code])
    try:
        import ml_dtypes  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError("bfloat16 in NumPy needs pip install ml-dtypes") from error
    return np.dtype(ml_dtypes.bfloat16)
