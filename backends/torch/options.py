"""How the torch backend computes: device, precision, and what is computed at once."""

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
    """Options of the backend that its parts read."""

    device: str = option("auto", 'where to compute: "auto" takes CUDA, else MPS, else the CPU', DEVICE)
    dtype: Literal["float32", "float64", "bfloat16", "float16"] = option(
        "float32", "precision of weights and activations; trained numbers and merges are float32 at least"
    )
    micro_batch: int = option(
        0, "examples computed at once in training, gradients added up; 0: the whole batch", min=0
    )
    eval_tokens: int = option(2048, "tokens (or rows) computed at once in evaluation, padding counted", min=1)
    checkpointing: bool = option(
        False, "keep only the layers' inputs in training and compute the rest twice (Hugging Face models)"
    )
    threads: int = option(0, "CPU threads; 0: torch's own choice. Another number, other last bits", min=0)

    @property
    def itemsize(self) -> int:
        """Bytes of the compute dtype."""
        return BYTES[self.dtype]
