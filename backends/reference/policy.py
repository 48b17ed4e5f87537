"""The model during a round as a policy: it generates completions and returns their log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Completion, Examples, GenerationRequest, Update
from .arrays import Matrix

GenerateWith = Callable[[Mapping[str, Update] | None, Examples, GenerationRequest], list[Completion]]
LogPWith = Callable[[Mapping[str, Update] | None, Examples, float], Matrix]
Weight = Callable[[str], NDArray[np.float64]]


@attrs.frozen(kw_only=True, eq=False)
class ReferencePolicy:
    """The model in training, with its current updates merged on every call: slow, but independent of the training path."""

    updates: Callable[[], Mapping[str, Update]]
    """The current updates of all trained sites."""
    update: Callable[[str], Update | None]
    """The current update of one site; None if it is not trained."""
    generate_with: GenerateWith
    log_p_with: LogPWith
    start_weight: Weight

    def generate(self, examples: Examples, request: GenerationRequest) -> list[Completion]:
        """Completions of every prompt."""
        return self.generate_with(self.updates(), examples, request)

    def log_probabilities(
        self, examples: Examples, temperature: float, *, start: bool = False
    ) -> NDArray[np.float64]:
        """Log-probabilities in nats of all target tokens `(targets,)`; with `start`, under the round's starting model."""
        return self.log_p_with(None if start else self.updates(), examples, temperature).astype(np.float64)

    def weight(self, site: str) -> NDArray[np.float64]:
        """A site's weight `(d_out, d_in)` with the current update merged."""
        update = self.update(site)
        if update is None:
            return self.start_weight(site)
        L, M = update.factors()
        return self.start_weight(site) + L @ M.T
