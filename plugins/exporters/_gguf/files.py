"""What is in a GGUF file, written one tensor at a time."""

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
"""How weights of a dtype are kept."""


@attrs.frozen
class Field:
    """One entry of metadata: a number, a string, or a list of either, whose entries are of the type `sub`."""

    key: str
    value: Any
    type: GGUFValueType
    sub: GGUFValueType | None = None


@attrs.frozen
class Tensor:
    """One tensor, whose bytes are read when it is written."""

    name: str
    shape: tuple[int, ...]
    """The slowest dimension first, as NumPy has it; the file has it the other way round."""
    type: Type
    read: Callable[[], NDArray[Any]]
    """An array with the very bytes that the file is to have."""

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in the file, padding left out."""
        values, width = GGML_QUANT_SIZES[self.type]
        return self.size // values * width


def cast(name: str, values: NDArray[Any], kind: Type) -> NDArray[Any]:
    """Values, rounded once to F32, F16 or BF16 as the file has them. Raises `UsageError` naming a tensor with an entry too large."""
    with np.errstate(over="ignore"):
        narrow = values if kind == Type.F16 else values.astype(np.float32, copy=False)
        found = quantize(np.ascontiguousarray(narrow), kind)
    # A bfloat16 is the upper half of a float32, so that its infinities are seen without one.
    bits = found.view(np.uint16) & 0x7F80 if kind == Type.BF16 else None
    fine = bool((bits != 0x7F80).all()) if bits is not None else bool(np.isfinite(found).all())
    if not fine:
        hint = "; --set dtype=float32 holds more" if kind == Type.F16 else ""
        raise UsageError(f"{name}: an entry is too large for {kind.name}{hint}")
    return found


def main_type(tensors: Iterable[Tensor]) -> Type:
    """The type of most numbers."""
    numbers = Counter[Type]()
    for tensor in tensors:
        numbers[tensor.type] += tensor.size
    return numbers.most_common(1)[0][0]


def file_type(tensors: Iterable[Tensor]) -> int:
    """What `general.file_type` is to say: the type of most numbers, or that the reader has to guess."""
    name = main_type(tensors).name
    known = LlamaFileType.__members__
    return int(known.get(f"ALL_{name}", known.get(f"MOSTLY_{name}", LlamaFileType.GUESSED)))


class _Writer(GGUFWriter):
    """Takes fields in the order they are given, empty lists among them."""

    def __init__(self, path: Path, fields: Sequence[Field], alignment: int) -> None:
        super().__init__(path, "")
        self.kv_data[0].clear()
        for field in fields:
            self.add_key_value(field.key, field.value, field.type, field.sub)
        self.data_alignment = alignment

    def _pack_val(
        self, val: Any, vtype: GGUFValueType, add_vtype: bool, sub_type: GGUFValueType | None = None
    ) -> bytes:
        """As ever; but a vocabulary without merges has an empty list of them, which the library refuses to write."""
        if vtype == GGUFValueType.ARRAY and not val and sub_type is not None:
            head = self._pack("I", vtype) if add_vtype else b""
            return head + self._pack("I", sub_type) + self._pack("Q", 0)
        return super()._pack_val(val, vtype, add_vtype, sub_type)


def write(
    path: Path, fields: Sequence[Field], tensors: Sequence[Tensor], report: Report, *, alignment: int = 32
) -> None:
    """Write a file of these fields and tensors, in this order. Little of it is in memory at once."""
    writer = _Writer(path, fields, alignment)
    try:
        for tensor in tensors:
            # The dtype says no more than that the shape counts values, not bytes.
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
