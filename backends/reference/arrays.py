"""The arrays of this backend."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[Any]
"""float64, or float32 if the backend is configured so; a computation never mixes the two."""
Index = NDArray[np.int64]
