"""Options of the torch backend: device, dtype and batch sizes."""

from __future__ import annotations

import re
from typing import Literal

import attrs

from ...engine.foundation.options import Limit, option

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
DEVICE = Limit(
    '"auto", "cpu", "mps", "cuda" or "cuda:N"',
    lambda x: bool(re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", x)),
)


@attrs.frozen(kw_only=True)
class ComputeOptions:
    """The backend options that its modules read."""

    device: str = option("auto", 'device: "auto" takes CUDA, else MPS, else the CPU', DEVICE)
    dtype: Literal["float32", "float64", "bfloat16", "float16"] = option(
        "float32", "dtype of weights and activations; trained parameters and merges use at least float32"
    )
    micro_batch: int = option(
        0, "examples per forward pass in training, with gradient accumulation; 0: the whole batch", min=0
    )
    eval_tokens: int = option(
        2048, "tokens (or rows) per pass in evaluation and calibration, including padding", min=1
    )
    checkpointing: bool = option(
        False, "gradient checkpointing: store only layer inputs and recompute the rest (Hugging Face models)"
    )
    threads: int = option(0, "CPU threads; 0: torch's default. The last bits depend on it", min=0)

    @property
    def itemsize(self) -> int:
        """Bytes of the compute dtype."""
        return BYTES[self.dtype]
