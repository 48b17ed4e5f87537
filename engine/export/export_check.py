"""Result of comparing an export with the evaluated model."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class ExportCheck:
    """Comparison of the logits of an export, loaded by its own library, with those of the evaluated model."""

    examples: int
    rows: int
    """Rows of logits: one per example, or per target token."""
    largest: float
    """`max |c - y|`."""
    allowed: float
    """`ROUNDINGS[dtype] u max |y|`, with u of the coarser dtype of export and backend."""
    precision: str
    agreement: float
    """Share of rows with the same largest logit."""

    @property
    def passed(self) -> bool:
        """Whether the export computes the evaluated model's logits."""
        return self.largest <= self.allowed
