"""GSM8K's answers, read and compared as the evaluation harness does (lm-eval 0.4, task `gsm8k`, version 3)."""

from __future__ import annotations

import re
from typing import Literal

Extraction = Literal["strict", "flexible"]

STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")
FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
IGNORED = tuple(re.compile(pattern) for pattern in (",", r"\$", r"(?s).*#### ", r"\.$"))
"""What is deleted from answers before they are compared, in this order."""


def answer_in(text: str, extraction: Extraction) -> str | None:
    """The answer in what was written, ready to be compared; None where there is none.

    `strict`: what follows the first `#### `; `flexible`: the last thing that looks like a number.
    """
    if extraction == "strict":
        first = STRICT.search(text)
        return None if first is None else comparable(first[1])
    last = None
    for last in FLEXIBLE.finditer(text):  # noqa: B007 - the last one is wanted
        pass
    return None if last is None else comparable(last[1] or last[2])


def comparable(answer: str) -> str:
    """An answer without what does not count: commas, dollars, all up to `#### `, a final full stop, case.

    `18.00` stays `18.00`, and so is not `18`. Of a whole solution this is what stands after its last `#### `.
    """
    for pattern in IGNORED:
        answer = pattern.sub("", answer)
    return answer.lower()
