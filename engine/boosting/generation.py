"""What the model writes: how it is asked, and the texts that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from ..contracts import (
    BoostedModel,
    Completion,
    Decoding,
    Examples,
    GeneratingTask,
    GenerationRequest,
    TextModel,
    Tokens,
    Update,
)
from ..spec import Spec

MARGIN = 16
"""Tokens before a stop string that are decoded with it."""


@attrs.frozen(eq=False)
class TrialModel:
    """A model as a speaker: as it is, or with `scale` times a trial update added."""

    model: BoostedModel
    trial: Mapping[str, Update] | None = None
    scale: float = 1.0

    def generate(self, examples: Examples, request: GenerationRequest) -> list[Completion]:
        """The backend's own continuations."""
        return self.model.generate(examples, request, self.trial, self.scale)

    def weight(self, site: str) -> NDArray[np.float64]:
        """A site's weight, the trial's part added."""
        weight = self.model.weight(site)
        if self.trial is None or site not in self.trial:
            return weight
        L, M = self.trial[site].factors()
        return weight + self.scale * (L @ M.T)


def decoding_of(spec: Spec) -> Decoding | None:
    """How much the task lets the model write; None: nothing."""
    return spec.task.decoding if isinstance(spec.task, GeneratingTask) else None


def request_for(
    spec: Spec, decoding: Decoding, count: int, rng: np.random.Generator, *, most: int = 0
) -> GenerationRequest:
    """The request for `count` sequences of at most `most` tokens (0: what the task allows), draws from `rng`."""
    reader = spec.text_model
    length = most or decoding.max_new_tokens

    # A string of b bytes is in the last b tokens, if it ends with the last one; some more are read for what stands beside it.
    tail = MARGIN + max((len(stop.encode()) for stop in decoding.stop), default=0)

    def finished(tokens: NDArray[np.int32]) -> bool:
        text = reader.decode(tokens[-tail:])
        return any(stop in text for stop in decoding.stop)

    return GenerationRequest(
        max_new_tokens=length,
        end_tokens=tuple(dict.fromkeys((*reader.end_tokens, *special_stops(reader, decoding)))),
        finished=finished if decoding.stop else None,
        stop=decoding.stop,
        sampling=decoding.sampling,
        draws=None if decoding.sampling is None else rng.random((count, length)),
    )


def special_stops(reader: TextModel, decoding: Decoding) -> list[int]:
    """Stop strings that are special tokens, which have no text: they end an answer as end tokens do."""
    found = (reader.special_token(stop.strip()) for stop in decoding.stop)
    return [token for token in found if token is not None]


def repeated(examples: Examples, times: int) -> Examples:
    """Every example `times` times, its copies one after the other."""
    if times == 1:
        return examples
    return examples.take(np.repeat(np.arange(len(examples), dtype=np.int64), times))


def texts_of(
    spec: Spec, decoding: Decoding, prompts: Tokens, written: Sequence[Completion]
) -> tuple[str, ...]:
    """What was written behind every prompt (the tokens before `starts`), cut at the task's stop strings."""
    reader = spec.text_model
    starts = prompts.starts.tolist()
    return tuple(
        decoding.cut(reader.decode(w.tokens, prompts.sequence(i)[:start]))
        for i, (w, start) in enumerate(zip(written, starts, strict=True))
    )
