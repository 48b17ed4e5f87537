"""Fields and tensors of a GGUF file, and a streaming writer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType, GGUFWriter, LlamaFileType
from gguf.quants import quantize
from numpy.typing import NDArray

from ....engine.errors import UsageError
from ....engine.foundation.run_context import Report

Type = GGMLQuantizationType

TYPES: Mapping[str, Type] = {"float32": Type.F32, "float16": Type.F16, "bfloat16": Type.BF16}
"""GGUF types by dtype."""


@attrs.frozen
class Field:
    """A metadata field: a number, a string, or a list of either with element type `sub`."""

    key: str
    value: Any
    type: GGUFValueType
    sub: GGUFValueType | None = None


@attrs.frozen
class Tensor:
    """A tensor whose bytes are read lazily."""

    name: str
    shape: tuple[int, ...]
    """Row-major, as in NumPy; the file stores it reversed."""
    type: Type
    read: Callable[[], NDArray[Any]]
    """Returns an array with the bytes for the file."""

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in the file without padding."""
        values, width = GGML_QUANT_SIZES[self.type]
        return self.size // values * width


def cast(name: str, values: NDArray[Any], kind: Type) -> NDArray[Any]:
    """Values rounded once to F32, F16 or BF16. Raises `UsageError` naming a tensor that overflows."""
    with np.errstate(over="ignore"):
        narrow = values if kind == Type.F16 else values.astype(np.float32, copy=False)
        found = quantize(np.ascontiguousarray(narrow), kind)
    # A bfloat16 is the upper half of a float32: exponent bits of all ones mean Inf or NaN.
    bits = found.view(np.uint16) & 0x7F80 if kind == Type.BF16 else None
    fine = bool((bits != 0x7F80).all()) if bits is not None else bool(np.isfinite(found).all())
    if not fine:
        hint = "; --set dtype=float32 holds more" if kind == Type.F16 else ""
        raise UsageError(f"{name}: an entry is too large for {kind.name}{hint}")
    return found


def main_type(tensors: Iterable[Tensor]) -> Type:
    """The type of most values."""
    numbers = Counter[Type]()
    for tensor in tensors:
        numbers[tensor.type] += tensor.size
    return numbers.most_common(1)[0][0]


def file_type(tensors: Iterable[Tensor]) -> int:
    """`general.file_type`: the type of most values, or `GUESSED`."""
    name = main_type(tensors).name
    known = LlamaFileType.__members__
    return int(known.get(f"ALL_{name}", known.get(f"MOSTLY_{name}", LlamaFileType.GUESSED)))


class _Writer(GGUFWriter):
    """Writes fields in the given order, including empty lists."""

    def __init__(self, path: Path, fields: Sequence[Field], alignment: int) -> None:
        super().__init__(path, "")
        self.kv_data[0].clear()
        for field in fields:
            self.add_key_value(field.key, field.value, field.type, field.sub)
        self.data_alignment = alignment

    def _pack_val(
        self, val: Any, vtype: GGUFValueType, add_vtype: bool, sub_type: GGUFValueType | None = None
    ) -> bytes:
        """Also pack empty lists, which the library rejects; a vocabulary without merges has one."""
        if vtype == GGUFValueType.ARRAY and not val and sub_type is not None:
            head = self._pack("I", vtype) if add_vtype else b""
            return head + self._pack("I", sub_type) + self._pack("Q", 0)
        return super()._pack_val(val, vtype, add_vtype, sub_type)


def write(
    path: Path, fields: Sequence[Field], tensors: Sequence[Tensor], report: Report, *, alignment: int = 32
) -> None:
    """Write a file of these fields and tensors, in this order, one tensor in memory at a time."""
    writer = _Writer(path, fields, alignment)
    try:
        for tensor in tensors:
            # The dtype only means that the shape counts values, not bytes.
            writer.add_tensor_info(
                tensor.name, tensor.shape, np.dtype(np.float32), tensor.nbytes, raw_dtype=tensor.type
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for done, tensor in enumerate(tensors):
            report("writing GGUF", done, len(tensors))
            writer.write_tensor_data(tensor.read())
    finally:
        writer.close()
    report("writing GGUF", len(tensors), len(tensors))
