"""The model in the middle of a round, as a policy: it answers prompts, and says how likely answers are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Completion, Examples, GenerationRequest, Update
from .arrays import Matrix

Ask = Callable[[Mapping[str, Update] | None, Examples, GenerationRequest], list[Completion]]
LogP = Callable[[Mapping[str, Update] | None, Examples, float], Matrix]
Weight = Callable[[str], NDArray[np.float64]]


@attrs.frozen(kw_only=True, eq=False)
class ReferencePolicy:
    """What is being trained, merged into the weights whenever it is asked: slow, and another way than training's."""

    updates: Callable[[], Mapping[str, Update]]
    """What the numbers trained so far make of every site that is trained."""
    update: Callable[[str], Update | None]
    """The same of one site; None where nothing is trained there."""
    ask: Ask
    log_p: LogP
    start_weight: Weight

    def generate(self, examples: Examples, request: GenerationRequest) -> list[Completion]:
        """Continuations of every prompt."""
        return self.ask(self.updates(), examples, request)

    def log_probabilities(
        self, examples: Examples, temperature: float, *, start: bool = False
    ) -> NDArray[np.float64]:
        """Of every token to be predicted, in nats; with `start`, under the model that the round began with."""
        return self.log_p(None if start else self.updates(), examples, temperature).astype(np.float64)

    def weight(self, site: str) -> NDArray[np.float64]:
        """A site's weight with what is being trained merged into it."""
        update = self.update(site)
        if update is None:
            return self.start_weight(site)
        L, M = update.factors()
        return self.start_weight(site) + L @ M.T
