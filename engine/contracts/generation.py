"""Text generation: a task's decoding options, the request to a generator, and its completions."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class Sampling:
    """Sampling from `softmax(logits / temperature)`, truncated to its nucleus and renormalised.

    The nucleus is the smallest set of most probable tokens whose total probability is at least `top_p` (Holtzman et al., 2020).
    """

    temperature: float = 1.0
    top_p: float = 1.0

    @property
    def nucleus_mass(self) -> float:
        """The total probability at which a nucleus is complete: `top_p (1 - 1e-9)`.

        The margin keeps rounding from deciding: a sum that equals `top_p` exactly may come out below it in floating point.
        """
        return self.top_p * (1.0 - 1e-9)


@attrs.frozen(kw_only=True)
class Decoding:
    """At most `max_new_tokens` tokens, ended early by any of the `stop` strings; greedy, or `samples` sampled completions."""

    max_new_tokens: int
    stop: tuple[str, ...] = ()
    samples: int = 1
    """Completions per example; more than one makes sense only with `sampling`."""
    sampling: Sampling | None = None
    """None: greedy decoding."""

    def cut(self, text: str) -> str:
        """The text before the first stop string."""
        places = [place for stop in self.stop if (place := text.find(stop)) >= 0]
        return text[: min(places)] if places else text


@attrs.frozen(kw_only=True, eq=False)
class GenerationRequest:
    """At most `max_new_tokens` tokens per sequence, until one of `end_tokens`, or until `finished(tokens so far)`.

    With `sampling`, tokens are drawn by inverse transform: token j of sequence i is the first, in vocabulary order, whose cumulative
    probability exceeds `draws[i, j]`; `draws (n, max_new_tokens)` are uniform in [0, 1). The random numbers come from the run's
    streams, so every backend draws the same tokens. Without `sampling`, the argmax is taken (the first, on a tie).
    """

    max_new_tokens: int
    end_tokens: tuple[int, ...]
    finished: Callable[[NDArray[np.int32]], bool] | None = None
    stop: tuple[str, ...] = ()
    """The strings that `finished` tests for, for engines with their own stop strings; `finished` decides."""
    sampling: Sampling | None = None
    draws: NDArray[np.float64] | None = None

    def take(self, indices: NDArray[np.int64]) -> GenerationRequest:
        """The request for the sequences at `indices`."""
        return self if self.draws is None else attrs.evolve(self, draws=self.draws[indices])


@attrs.frozen(eq=False)
class Completion:
    """One completion: its tokens, and the end token after them; `end` is None where a stop string or the limit ended it."""

    tokens: NDArray[np.int32]
    end: int | None = None

    @property
    def with_end(self) -> list[int]:
        """The tokens that a policy is trained on: the completion, and its end token where it has one."""
        return [*self.tokens.tolist(), *([] if self.end is None else [self.end])]
