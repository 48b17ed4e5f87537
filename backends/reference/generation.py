"""Generation without a cache: every token recomputes the whole sequence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...engine.contracts import Completion, GenerationRequest, Sampling, Tokens
from .arrays import Matrix
from .losses import log_softmax

Logits = Callable[[Tokens], Matrix]


def generate_completion(prompt: NDArray[np.int32], request: GenerationRequest, logits: Logits) -> Completion:
    """The completion of a prompt: greedy (the first token, on a tie), or sampled with `request.draws (1, …)`."""
    found = list[int]()
    for step in range(request.max_new_tokens):
        # Token 0 is a placeholder for the target; causal attention hides it from the tokens before it.
        sequence = [*prompt.tolist(), *found, 0]
        z = logits(Tokens.join([sequence], [len(sequence) - 1]))[0]
        if request.sampling is None:
            token = int(np.argmax(z))
        elif request.draws is None:
            raise ValueError("sampling needs draws")
        else:
            token = sample_token(z, request.sampling, float(request.draws[0, step]))
        if token in request.end_tokens:
            return Completion(np.array(found, dtype=np.int32), token)
        found.append(token)
        if request.finished is not None and request.finished(np.array(found, dtype=np.int32)):
            break
    return Completion(np.array(found, dtype=np.int32))


def sample_token(z: Matrix, sampling: Sampling, draw: float) -> int:
    """Inverse-CDF sampling: the first token whose cumulative probability exceeds `draw` times the total.

    `p = softmax(z / temperature)`, cut to its nucleus (Holtzman et al., 2020): by descending probability (lower ids first, on a
    tie), the tokens whose predecessors sum to less than `top_p`.
    """
    p = np.exp(log_softmax(z.astype(np.float64)[None] / sampling.temperature))[0]
    if sampling.top_p < 1.0:
        order = np.argsort(-p, kind="stable")
        before = np.cumsum(p[order]) - p[order]
        p[order[before >= sampling.nucleus_mass]] = 0.0
    edges = np.cumsum(p)
    place = int(np.searchsorted(edges, draw * edges[-1], side="right"))
    return min(place, int(np.flatnonzero(p)[-1]))
