"""Problems with an answer beside the solution that is to be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ....engine.contracts import Prompts
from ....engine.contracts.sequences import pack_texts


@attrs.frozen(eq=False)
class Problems(Prompts):
    """Prompts and solutions; `answers` are what a text is compared with, `groups` what is measured apart."""

    answers: tuple[str, ...]
    groups: tuple[str, ...]

    def __getitem__(self, indices: NDArray[np.int64]) -> Problems:
        columns = (self.prompts, self.completions, self.answers, self.groups)
        return Problems(*(tuple(column[i] for i in indices) for column in columns))

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The content as arrays, for hashing."""
        return pack_texts([*self.prompts, *self.completions, *self.answers, *self.groups])
