"""Greedy continuation: the whole sequence is computed anew for every token."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import GenerationRequest, Tokens
from .arrays import Matrix


def continued(
    prompt: NDArray[np.int32], request: GenerationRequest, logits: Callable[[Tokens], Matrix]
) -> NDArray[np.int32]:
    """Tokens that follow a prompt, each the likeliest (the first, on a tie); the end token is left out."""
    found = list[int]()
    while len(found) < request.max_new_tokens:
        # A last token of any kind stands for the one to be predicted; nothing before it can see it.
        sequence = [*prompt.tolist(), *found, 0]
        token = int(np.argmax(logits(Tokens.join([sequence], [len(sequence) - 1]))[0]))
        if token in request.end_tokens:
            break
        found.append(token)
        if request.finished is not None and request.finished(np.array(found, dtype=np.int32)):
            break
    return np.array(found, dtype=np.int32)
