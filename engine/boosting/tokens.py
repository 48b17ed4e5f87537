"""Between texts and tokens: what a task says in words, a backend takes in numbers."""

from __future__ import annotations

import attrs

from ..contracts import Examples, Prompts, Splits, TextModel, Texts, Tokens
from ..errors import PluginError, UsageError, blame
from ..spec import Spec

SPLITS = ("train", "validation", "test")


def encode(spec: Spec, splits: Splits) -> Splits:
    """Every split as the backend takes it. Raises `UsageError` where the model cannot take the task's inputs."""
    model, name = spec.model, spec.slots["model"].use
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
