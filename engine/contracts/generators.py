"""Generators: inference engines that produce completions for a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .examples import Examples
from .generation import Completion, GenerationRequest
from .sites import ModelSource, Site


class GenerativeModel(Protocol):
    """A model that completes prompts itself, or gives its adapted weights to an inference engine."""

    def generate(self, examples: Examples, request: GenerationRequest) -> list[Completion]:
        """Completions from the backend's own generator."""
        ...

    def weight(self, site: str) -> NDArray[np.float64]:
        """The current adapted weight `(d_out, d_in)`; all other weights are the base's."""
        ...


class InferenceEngine(Protocol):
    """Generates completions for one run's model."""

    def write(
        self, generative_model: GenerativeModel, examples: Examples, request: GenerationRequest
    ) -> list[Completion]:
        """One completion per example, in order. Called for every evaluation that generates, and for every batch of rollouts."""
        ...


@runtime_checkable
class Generator(Protocol):
    """A kind of inference engine: the backend's own generator, or an external one such as vLLM."""

    def check(self) -> None:
        """Raises `UsageError` if it cannot run on this machine. Called before any work."""
        ...

    def open(self, source: ModelSource, sites: Sequence[Site]) -> InferenceEngine:
        """Called once per run, before anything is generated."""
        ...
