"""One cast, from the values that a merge gives to the dtype of a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....engine.errors import RunError
from .tensors import BLOCK, DTYPES, Bytes, numpy_dtype


def cast(values: NDArray[Any], code: str, name: str) -> NDArray[Any]:
    """`values` rounded once, to the nearest, ties to even. Raises `RunError` naming the tensor where a finite value has no finite one."""
    wanted = numpy_dtype(code)
    if values.dtype == wanted:
        return values
    with np.errstate(over="ignore"):  # reported of the tensor, with its name
        found = values.astype(wanted)
    if np.any(np.isfinite(values) & ~np.isfinite(found)):
        largest = float(np.max(np.abs(values.astype(np.float64))))
        raise RunError(
            f"{name}: {largest:.3g} does not fit into {DTYPES[code]}; export with dtype=bfloat16 or dtype=float32"
        )
    return found


def cast_blocks(values: NDArray[Any], code: str, name: str) -> Iterator[Bytes]:
    """The bytes of `values`, row after row, in the dtype `code`, block by block."""
    flat = np.ascontiguousarray(values).reshape(-1)
    for start in range(0, len(flat), BLOCK):
        yield np.ascontiguousarray(cast(flat[start : start + BLOCK], code, name)).view(np.uint8)
