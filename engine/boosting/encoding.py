"""Between texts and tokens: what a task says in words, a backend takes in numbers."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import (
    BoostedModel,
    Decoding,
    Examples,
    GeneratingTask,
    GenerationRequest,
    Prompts,
    Splits,
    TextModel,
    Texts,
    Tokens,
    Update,
)
from ..errors import PluginError, UsageError, blame
from ..spec import Spec

SPLITS = ("train", "validation", "test")


def encode(spec: Spec, splits: Splits) -> Splits:
    """Every split as the backend takes it. Raises `UsageError` where the model cannot take the task's inputs."""
    model, name = spec["model"], spec.slots["model"].use
    if not isinstance(splits.train.inputs, Texts | Prompts):
        if isinstance(model, TextModel):
            raise UsageError(f"model {name} takes texts; task {spec.slots['task'].use} gives rows of numbers")
        return splits
    if not isinstance(model, TextModel):
        raise UsageError(f"model {name} takes rows of numbers; task {spec.slots['task'].use} gives texts")
    found = dict[str, Examples]()
    for split in SPLITS:
        with blame("model", name):
            answer = model.encode(getattr(splits, split))
        if not isinstance(answer.inputs, Tokens):
            raise PluginError("model", name, "encode() must return Examples whose inputs are Tokens")
        found[split] = answer
    return attrs.evolve(splits, source=None, **found)


def decoding_of(spec: Spec) -> Decoding | None:
    """How much the task lets the model write; None: nothing."""
    return spec["task"].decoding if isinstance(spec["task"], GeneratingTask) else None


def write(
    spec: Spec, model: BoostedModel, encoded: Examples, trial: Mapping[str, Update] | None, scale: float
) -> tuple[str, ...] | None:
    """What the model writes to every prompt, cut at the task's stop strings; None where the task asks for nothing."""
    decoding = decoding_of(spec)
    if decoding is None:
        return None
    reader: TextModel = spec["model"]

    def finished(tokens: NDArray[np.int32]) -> bool:
        text = reader.decode(tokens)
        return any(stop in text for stop in decoding.stop)

    request = GenerationRequest(
        max_new_tokens=decoding.max_new_tokens,
        end_tokens=reader.end_tokens,
        finished=finished if decoding.stop else None,
    )
    return tuple(decoding.cut(reader.decode(t)) for t in model.generate(encoded, request, trial, scale))
