"""Convert user inputs (rows of numbers, texts) to encoded examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..contracts import ChatModel, Examples, Message, Prompts, TextModel, Texts, Tokens
from ..errors import UsageError, blame
from ..spec import Spec

RawInputs = NDArray[Any] | Sequence[str] | Sequence[tuple[str, ...]]
Inputs = Examples | RawInputs
"""Examples of a task; rows `(n, d)`; texts, or pairs of texts, to classify; pairs of prompt and completion."""


def as_examples(inputs: Inputs, spec: Spec, architecture: str) -> Examples:
    """Encode inputs. Raises `UsageError` for inputs that the model does not support."""
    examples = inputs if isinstance(inputs, Examples) else _examples(inputs, architecture)
    model, name = spec.model, spec.slots["model"].use
    if isinstance(examples.inputs, Tokens) or not isinstance(model, TextModel):
        return examples
    with blame("model", name):
        return model.encode(examples)


def _examples(inputs: RawInputs, architecture: str) -> Examples:
    family = architecture.partition("/")[0]
    if family == "causal-lm":
        return _numbered(_prompts(inputs))
    if family in {"classifier", "sequence-classifier"}:
        return _numbered(_texts(inputs))
    rows = np.asarray(inputs, dtype=np.float64)
    if rows.ndim != 2:
        raise UsageError(f"the model takes rows of numbers (n, d); the shape of these is {rows.shape}")
    return _numbered(rows)


def _texts(inputs: RawInputs) -> Texts:
    rows = [(row,) if isinstance(row, str) else _fields(row) for row in _listed(inputs)]
    if not all(len(row) in {1, 2} and all(isinstance(text, str) for text in row) for row in rows):
        raise UsageError("the model takes texts, or pairs of texts")
    return Texts(tuple(cast("list[tuple[str, ...]]", rows)))


def _prompts(inputs: RawInputs) -> Prompts:
    rows = [_fields(row) for row in _listed(inputs)]
    if not all(len(row) == 2 and all(isinstance(text, str) for text in row) for row in rows):
        raise UsageError("the model takes pairs of prompt and completion; to generate text, use generate()")
    prompts, completions = zip(*rows, strict=True) if rows else ((), ())
    return Prompts(prompts, completions)


def _listed(inputs: RawInputs) -> list[Any]:
    if isinstance(inputs, str):
        raise UsageError("the model takes a list of texts, not a single text")
    return list(inputs)


def _fields(row: Any) -> tuple[Any, ...]:
    """The fields of a row; empty for a value without fields."""
    return tuple(row) if isinstance(row, Iterable) and not isinstance(row, str) else ()


def _numbered(content: Texts | Prompts | NDArray[np.float64]) -> Examples:
    """Examples without labels; their loss is meaningless."""
    ids = np.arange(len(content), dtype=np.int64)
    return Examples(ids=ids, inputs=content, labels=np.zeros_like(ids))


def prompts_of(texts: Sequence[str], spec: Spec, architecture: str) -> Examples:
    """Encode prompts for generation. Raises `UsageError` for a model that does not generate text."""
    model = spec.model
    if not isinstance(model, TextModel) or architecture.partition("/")[0] != "causal-lm":
        raise UsageError(f"model {spec.slots['model'].use} does not generate text")
    # A placeholder, since a completion must not be empty; generation starts at its position.
    given = _listed(texts)
    if not all(isinstance(text, str) for text in given):
        raise UsageError("prompts are texts")
    prompts = Prompts(tuple(given), tuple("." for _ in given))
    with blame("model", spec.slots["model"].use):
        return model.encode(_numbered(prompts))


def conversation_of(messages: Sequence[Message], spec: Spec) -> Examples:
    """Encode a conversation up to its next answer. Raises `UsageError` for a model that takes none."""
    model, name = spec.model, spec.slots["model"].use
    if not isinstance(model, ChatModel):
        raise UsageError(f"model {name} takes no conversations; it has no chat template")
    with blame("model", name):
        return model.encode_chat(messages)
