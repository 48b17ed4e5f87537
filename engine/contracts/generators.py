"""Engines of generation, and what they are asked to write for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .examples import Examples
from .generation import Completion, GenerationRequest
from .sites import ModelSource, Site


class GenerativeModel(Protocol):
    """A model to be made to write: it can itself, and it gives its weights to whoever does it for it."""

    def generate(self, examples: Examples, request: GenerationRequest) -> list[Completion]:
        """Its own continuations."""
        ...

    def weight(self, site: str) -> NDArray[np.float64]:
        """An adapted weight `(d_out, d_in)` as it is now; all others are the base's."""
        ...


class InferenceEngine(Protocol):
    """Writes for one run's model."""

    def write(
        self, generative_model: GenerativeModel, examples: Examples, request: GenerationRequest
    ) -> list[Completion]:
        """Called for every evaluation that generates, and for every batch of rollouts."""
        ...


@runtime_checkable
class Generator(Protocol):
    """An engine of generation: the backend's own, or a server beside it."""

    def check(self) -> None:
        """Raise `UsageError` where it cannot work here. Called before any work."""
        ...

    def open(self, source: ModelSource, sites: Sequence[Site]) -> InferenceEngine:
        """Called once per run, before anything is written."""
        ...
