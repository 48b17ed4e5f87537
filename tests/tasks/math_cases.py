"""Real problems, and answers to them in dozens of wordings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from boostlora.engine.contracts import Examples, Predictions, Prompts

from ..support.places import SHARED_DATA


def real(name: str) -> list[dict[str, Any]]:
    """The rows of a file of `shared/data`."""
    path = SHARED_DATA / name
    if not path.is_file():
        pytest.skip(f"{name} is not beside the checkout (shared/data)")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def lines(rows: Sequence[dict[str, Any]]) -> str:
    return "\n".join(json.dumps(row) for row in rows) + "\n"


def written(texts: Sequence[str], examples: int | None = None) -> Predictions:
    """What a backend says that has `texts` to say."""
    n = len(texts) if examples is None else examples
    return Predictions(output=np.zeros(n, dtype=np.int64), loss=np.zeros(n), texts=tuple(texts))


def solved(completions: Sequence[str]) -> Examples:
    n = len(completions)
    prompts = Prompts(tuple(f"q{i}" for i in range(n)), tuple(completions))
    return Examples(ids=np.arange(n), inputs=prompts, labels=np.zeros(n, dtype=np.int64))


def problems(n: int = 40) -> list[dict[str, Any]]:
    """Word problems in the form of GSM8K."""
    return [
        {
            "question": f"Ann has {i} apples and gets {i + 2}. How many has she?",
            "answer": f"{i} + {i + 2} = <<{i}+{i + 2}={2 * i + 2}>>{2 * i + 2}\n#### {2 * i + 2}",
        }
        for i in range(n)
    ]


def competition(n: int = 60) -> list[dict[str, Any]]:
    """Problems in the form of MATH-500."""
    return [
        {
            "problem": f"What is $\\frac{{{i}}}{{7}}$?",
            "answer": f"\\frac{{{i}}}{{7}}",
            "solution": f"It is what it says: $\\boxed{{\\frac{{{i}}}{{7}}}}.$",
            "subject": ("Algebra", "Counting & Probability", "Geometry")[i % 3],
            "level": 1 + i % 5,
        }
        for i in range(1, n + 1)
    ]
