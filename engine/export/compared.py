"""What the comparison of an export with the evaluated model found."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Compared:
    """Logits of an export, as its own library loads it, against those of the evaluated model."""

    examples: int
    rows: int
    """Rows of logits: one an example, or one a token to be predicted."""
    largest: float
    """`max |c - y|`."""
    allowed: float
    """`ROUNDINGS[dtype] u max |y|`, u being that of the coarser dtype: the export's, or the backend's."""
    precision: str
    agreement: float
    """Share of rows with the same largest logit."""

    @property
    def passed(self) -> bool:
        """Whether it computes what was evaluated."""
        return self.largest <= self.allowed
