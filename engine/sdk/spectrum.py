"""How a frame's singular values scale an update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ..foundation.options import option

Spectrum = Literal["paper", "balanced", "flat"]

EXPONENTS: Mapping[Spectrum, tuple[float, float]] = {
    "paper": (1.0, 0.0),
    "balanced": (0.5, 0.5),
    "flat": (0.0, 0.0),
}
"""`(a, b)` of `U diag(S^a) R diag(S^b) V^T`. `paper`: `U S R V^T` (TinyLoRA, arXiv 2602.04118); `balanced`: the square
root on both sides, as PEFT does; `flat`: no singular values, since small ones scale down the updates, and the gradients, of later rounds."""


def spectrum_option() -> Any:
    """The option `spectrum` of adapters with linear cores."""
    return option("flat", "scaling by singular values: U S R V', sqrt(S) on both sides, or none")
