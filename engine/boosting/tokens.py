"""Tokenization: a task's texts as the tokens that the backend takes."""

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
            raise UsageError(
                f"model {name} takes texts, and task {spec.slots['task'].use} has numeric inputs; use a task with texts, or another model"
            )
        return splits
    if not isinstance(model, TextModel):
        raise UsageError(
            f"model {name} takes numeric inputs, and task {spec.slots['task'].use} has texts; use a language model, or another task"
        )
    found = dict[str, Examples]()
    for split in SPLITS:
        with blame("model", name):
            encoded = model.encode(getattr(splits, split))
        if not isinstance(encoded.inputs, Tokens):
            raise PluginError("model", name, "encode() must return Examples whose inputs are Tokens")
        found[split] = encoded
    return attrs.evolve(splits, source=None, **found)
