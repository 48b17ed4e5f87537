"""What a task asks a model to write, what a backend is asked to generate, and what came of it."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class Sampling:
    """How a token is drawn: from `softmax(z / temperature)`, cut to its nucleus.

    The nucleus is the smallest set of likeliest tokens whose probabilities add up to `top_p` at least (Holtzman et al., 2020).
    """

    temperature: float = 1.0
    top_p: float = 1.0

    @property
    def enough(self) -> float:
        """What a nucleus adds up to: `top_p`, less a billionth of it, so that no rounding of a sum decides where tokens tie."""
        return self.top_p * (1.0 - 1e-9)


@attrs.frozen(kw_only=True)
class Decoding:
    """At most `max_new_tokens` tokens, ended early by the first of the `stop` strings; greedy, or `samples` of them drawn."""

    max_new_tokens: int
    stop: tuple[str, ...] = ()
    samples: int = 1
    """Texts an example; more than one has a meaning only with `sampling`."""
    sampling: Sampling | None = None
    """None: the likeliest token, always."""

    def cut(self, text: str) -> str:
        """The text up to the first stop string, which is left out."""
        places = [place for stop in self.stop if (place := text.find(stop)) >= 0]
        return text[: min(places)] if places else text


@attrs.frozen(kw_only=True, eq=False)
class GenerationRequest:
    """At most `max_new_tokens` tokens a sequence, until one of `end_tokens`, or until `finished(tokens so far)`.

    With `sampling`, token j of sequence i is the first, in the order of the vocabulary, at which the cumulated probabilities
    exceed `draws[i, j]`; `draws (n, max_new_tokens)` are uniform in [0, 1). So the engine's streams decide, and every backend draws the
    same tokens. Without, the likeliest token is taken (the first, on a tie).
    """

    max_new_tokens: int
    end_tokens: tuple[int, ...]
    finished: Callable[[NDArray[np.int32]], bool] | None = None
    stop: tuple[str, ...] = ()
    """The strings for which `finished` looks, for engines that can look themselves; `finished` decides."""
    sampling: Sampling | None = None
    draws: NDArray[np.float64] | None = None

    def take(self, indices: NDArray[np.int64]) -> GenerationRequest:
        """The request for the sequences at `indices`."""
        return self if self.draws is None else attrs.evolve(self, draws=self.draws[indices])


@attrs.frozen(eq=False)
class Completion:
    """One continuation: its tokens, and the end token that closed it (left out of them); None where something else did."""

    tokens: NDArray[np.int32]
    end: int | None = None

    @property
    def trained(self) -> list[int]:
        """What a policy is answerable for: the tokens, and the end it set."""
        return [*self.tokens.tolist(), *([] if self.end is None else [self.end])]
