"""Completions of prompts and replies in conversations, by a selection of rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..boosting.generation import TrialModel, repeated, request_for, texts_of
from ..contracts import BoostedModel, Decoding, Examples, Sampling
from ..errors import UsageError
from .source import RunSource

if TYPE_CHECKING:
    from .source import EnsembleSource


def decoding(
    *, max_new_tokens: int, temperature: float, top_p: float, samples: int, stop: tuple[str, ...]
) -> Decoding:
    """Decoding options; temperature 0 is greedy. Raises `UsageError` for contradictory ones."""
    if not 0.0 <= temperature < float("inf"):
        raise UsageError(f"temperature = {temperature:g}; a number of at least 0 is required (0: greedy)")
    if max_new_tokens < 1 or samples < 1:
        raise UsageError("max_new_tokens and samples must be at least 1")
    if not 0.0 < top_p <= 1.0:
        raise UsageError(f"top_p = {top_p:g}; a number above 0 and at most 1 is required")
    if temperature == 0.0 and (samples > 1 or top_p < 1.0):
        raise UsageError(
            "greedy decoding gives one completion; samples and top_p need a temperature above 0, such as 1"
        )
    if "" in stop:
        raise UsageError("a stop string must not be empty")
    sampling = Sampling(temperature=temperature, top_p=top_p) if temperature else None
    return Decoding(max_new_tokens=max_new_tokens, stop=stop, samples=samples, sampling=sampling)


def complete(
    origin: EnsembleSource, model: BoostedModel, asked: Examples, how: Decoding, rng: np.random.Generator
) -> list[str]:
    """Completions of encoded prompts, `how.samples` adjacent ones of each; a run's are written by its generator."""
    spec, rows = origin.spec, repeated(asked, how.samples)
    request = request_for(spec, how, len(rows), rng)
    if isinstance(origin, RunSource):
        written = origin.experiment.write(TrialModel(model), rows, request)
    else:
        written = model.generate(rows, request)
    return list(texts_of(spec, how, rows.inputs, written))
