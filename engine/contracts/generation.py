"""What a task asks a model to write, and what a backend is asked to generate."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(kw_only=True)
class Decoding:
    """Greedy decoding of at most `max_new_tokens` tokens, ended early by the first of the `stop` strings."""

    max_new_tokens: int
    stop: tuple[str, ...] = ()

    def cut(self, text: str) -> str:
        """The text up to the first stop string, which is left out."""
        places = [place for stop in self.stop if (place := text.find(stop)) >= 0]
        return text[: min(places)] if places else text


@attrs.frozen(kw_only=True, eq=False)
class GenerationRequest:
    """At most `max_new_tokens` tokens a sequence, until one of `end_tokens`, or until `finished(tokens so far)`."""

    max_new_tokens: int
    end_tokens: tuple[int, ...]
    finished: Callable[[NDArray[np.int32]], bool] | None = None
