"""Exercises in the forms of HumanEval and MBPP, and where the real ones are."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from boostlora.engine.contracts import Predictions

from ..support.places import SHARED_DATA

HUMANEVAL, MBPP = SHARED_DATA / "humaneval" / "HumanEval.jsonl.gz", SHARED_DATA / "mbpp" / "mbpp.jsonl"
linux = pytest.mark.skipif(sys.platform != "linux", reason="programs are confined on Linux only")
beside = pytest.mark.skipif(
    not (HUMANEVAL.is_file() and MBPP.is_file()),
    reason="HumanEval and MBPP are not beside the checkout (shared/data)",
)


def lines(rows: Sequence[dict[str, Any]]) -> str:
    return "\n".join(json.dumps(row) for row in rows) + "\n"


def heads(n: int = 15) -> list[dict[str, Any]]:
    """Functions to be written, each with an import and a helper before it."""
    return [
        {
            "task_id": f"Own/{i}",
            "prompt": (
                "from typing import List\n\ndef twice(x: int) -> int:\n    return 2 * x\n\n"
                f'def add_{i}(xs: List[int]) -> int:\n    """The sum of xs, twice, and {i}."""\n'
            ),
            "canonical_solution": f"    return twice(sum(xs)) + {i}\n",
            "test": f"def check(candidate):\n    assert candidate([1, 2]) == twice(3) + {i}\n    assert candidate([]) == {i}\n",
            "entry_point": f"add_{i}",
        }
        for i in range(n)
    ]


def sentences(numbers: Sequence[int] = range(1, 31)) -> list[dict[str, Any]]:
    """Functions to be written from a sentence and three tests; tasks 5, 15 and 25 come with code before their tests."""
    return [
        {
            "task_id": n,
            "text": f"Write a function to add {n}.",
            "code": f"import math\r\ndef add_{n}(x):\r\n    return math.floor(x) + {n}",
            "test_list": [
                f"assert add_{n}({'base + ' if n % 10 == 5 else ''}{x}) == {n + x}" for x in (0, 1, 5)
            ],
            "test_setup_code": "base = 0" if n % 10 == 5 else "",
            "challenge_test_list": [],
            "good": n % 2 == 0,
        }
        for n in numbers
    ]


def answers(texts: Sequence[str], examples: int | None = None) -> Predictions:
    n = len(texts) if examples is None else examples
    return Predictions(output=np.zeros(n, dtype=np.int64), loss=np.zeros(n), texts=tuple(texts))
