"""Data, and what every test of a Hugging Face model asks of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from boostlora.engine.contracts import Blueprint, Examples, ModelSource, Prompts, Splits, Texts
from boostlora.engine.errors import UsageError
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.testing import assert_close

PROMPTS = Prompts(
    ("the cat", "what is 3 + 4?", "good morning and", "a dog ran"),
    (" sat on the mat", " 7", " good night", " to the house"),
)
TEXTS = Texts((("the cat sat",), ("a dog ran to the house",), ("bad mood",), ("good morning",)))
PAIRS = Texts((("the cat", "sat on"), ("a dog", "ran to the house"), ("bad", "mood"), ("good", "night")))


def splits_of(inputs: Any, classes: tuple[str, ...] = ()) -> Splits:
    n = len(inputs)
    labels = np.arange(n) % max(1, len(classes))
    examples = Examples(ids=np.arange(n), inputs=inputs, labels=labels)
    return Splits(train=examples, validation=examples, test=examples, classes=classes)


CAUSAL = splits_of(PROMPTS)
CLASSES = splits_of(TEXTS, ("no", "yes"))


def get(model: Any, splits: Splits, cache: Path) -> ModelSource:
    return model.source(splits, RunContext(cache=cache), np.random.default_rng(0))


def values(source: ModelSource) -> dict[str, torch.Tensor]:
    """The blueprint's weights as the files have them."""
    found = dict[str, torch.Tensor]()
    for file in source.files:
        found |= load_file(file)
    return {w.name: found[w.stored or w.name] for w in source.blueprint.weights}


def assert_module_is_the_files(source: ModelSource) -> torch.nn.Module:
    """The built module has the blueprint's parameters, in its order, with the files' values."""
    module = source.build(source.blueprint, torch.float64)
    assert not module.training
    parameters = dict(module.named_parameters())
    assert list(parameters) == [w.name for w in source.blueprint.weights]
    for name, value in values(source).items():
        assert parameters[name].dtype == torch.float64
        assert_close(parameters[name].detach().numpy(), value.double().numpy(), atol=0.0, what=name)
    for info in source.blueprint.weights:
        assert tuple(parameters[info.name].shape) == info.shape
    return module


def message(call: Any) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    return str(caught.value)


def roles(blueprint: Blueprint) -> dict[str, str]:
    """Which weights may be adapted, and as what."""
    return {w.name: w.role for w in blueprint.weights if w.role != "other"}
