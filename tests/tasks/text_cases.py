"""Rows of texts, and what every test of a task of texts asks of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from boostlora.engine.contracts import Examples, Prompts, Splits, Task
from boostlora.engine.errors import UsageError

Write = Callable[..., str]
PARTS = ("train", "validation", "test")
WORDS = ("good", "fine", "great", "bad", "poor", "awful")


def reviews(n: int = 60) -> pd.DataFrame:
    labels = np.where(np.arange(n) % 3 == 0, "neg", "pos")
    words = [f"{WORDS[3 * (i % 3 == 0) + i % 2]} number {i}" for i in range(n)]
    return pd.DataFrame({"title": [f"t{i}" for i in range(n)], "text": words, "label": labels})


def sums(n: int = 50) -> pd.DataFrame:
    return pd.DataFrame(
        {"prompt": [f"{i} + 1 =" for i in range(n)], "completion": [f" {i + 1}" for i in range(n)]}
    )


def jsonl(frame: pd.DataFrame) -> str:
    return "\n".join(json.dumps(row) for row in frame.to_dict("records")) + "\n"


def load(task: Task, seed: int = 0) -> Splits:
    return task.load(np.random.default_rng(seed))


def contents(splits: Splits, part: str) -> dict[int, Any]:
    """What every example says, by its id."""
    examples: Examples = getattr(splits, part)
    if isinstance(examples.inputs, Prompts):
        said = list(zip(examples.inputs.prompts, examples.inputs.completions, strict=True))
    else:
        said = [
            (row, splits.classes[k]) for row, k in zip(examples.inputs.rows, examples.labels, strict=True)
        ]
    return dict(zip(examples.ids.tolist(), said, strict=True))


def everything(splits: Splits) -> dict[int, Any]:
    return {k: v for part in PARTS for k, v in contents(splits, part).items()}


def message(task: Callable[[], Any]) -> str:
    with pytest.raises(UsageError) as caught:
        load(task())
    return str(caught.value)
