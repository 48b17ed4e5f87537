"""Generation by the backend; on torch with the model's key-value cache."""

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
    """The backend's own generation, without a second copy of the weights."""

    def check(self) -> None:
        """Do nothing: every backend with language models can generate."""

    def open(self, source: ModelSource, sites: Sequence[Site]) -> InferenceEngine:
        """An engine that calls the model; nothing is loaded."""
        del source, sites
        return _Native()


@attrs.frozen
class _Native:
    def write(
        self, generative_model: GenerativeModel, examples: Examples, request: GenerationRequest
    ) -> list[Completion]:
        """The model's own completions."""
        return generative_model.generate(examples, request)


@hookimpl
def register_generators(register: Callable[[str, type[Any]], None]) -> None:
    """Register `native`."""
    register("native", Native)
