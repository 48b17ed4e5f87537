"""The backend writes itself: on torch, the model's own module with a key-value cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from ...engine.contracts import (
    Completion,
    Examples,
    GenerationRequest,
    GenerativeModel,
    InferenceEngine,
    ModelSource,
    Site,
)
from ...engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Native:
    """The backend's own generation: no second copy of the weights, and none to be kept in step."""

    def check(self) -> None:
        """Every backend that computes a language model can write."""

    def open(self, source: ModelSource, sites: Sequence[Site]) -> InferenceEngine:
        """Nothing has to be loaded."""
        del source, sites
        return _Native()


@attrs.frozen
class _Native:
    def write(
        self, generative_model: GenerativeModel, examples: Examples, request: GenerationRequest
    ) -> list[Completion]:
        """What the model itself writes."""
        return generative_model.generate(examples, request)


@hookimpl
def register_generators(register: Callable[[str, type[Any]], None]) -> None:
    """Offer `native`."""
    register("native", Native)
