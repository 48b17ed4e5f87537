"""Generation requests for a task's prompts, and the texts of their completions."""

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
"""Extra tokens decoded before a possible stop string: the first tokens of a slice may hold only a part of a character."""


@attrs.frozen(eq=False)
class TrialModel:
    """The current model as a `GenerativeModel`, with `scale` times a trial update added where there is one."""

    model: BoostedModel
    trial: Mapping[str, Update] | None = None
    scale: float = 1.0

    def generate(self, examples: Examples, request: GenerationRequest) -> list[Completion]:
        """Completions from the backend's own generator."""
        return self.model.generate(examples, request, self.trial, self.scale)

    def weight(self, site: str) -> NDArray[np.float64]:
        """`W + scale dW (d_out, d_in)` of a site, with the trial update `dW`."""
        weight = self.model.weight(site)
        if self.trial is None or site not in self.trial:
            return weight
        L, M = self.trial[site].factors()
        return weight + self.scale * (L @ M.T)


def decoding_of(spec: Spec) -> Decoding | None:
    """The task's decoding options; None where it judges no texts."""
    return spec.task.decoding if isinstance(spec.task, GeneratingTask) else None


def request_for(
    spec: Spec, decoding: Decoding, count: int, rng: np.random.Generator, *, most: int = 0
) -> GenerationRequest:
    """A request for `count` completions of at most `most` tokens (0: `decoding.max_new_tokens`), with uniform draws from `rng`."""
    reader = spec.text_model
    length = most or decoding.max_new_tokens

    # Every token holds at least one byte, so a stop string of b bytes that ends at the last token lies in the last b tokens.
    # Decoding only these keeps the check O(1) per token.
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
    """Token ids of stop strings that are special tokens. Those decode to no text, so they must stop generation as end tokens."""
    found = (reader.special_token(stop.strip()) for stop in decoding.stop)
    return [token for token in found if token is not None]


def repeated(examples: Examples, times: int) -> Examples:
    """Every example `times` times, copies adjacent."""
    if times == 1:
        return examples
    return examples.take(np.repeat(np.arange(len(examples), dtype=np.int64), times))


def texts_of(
    spec: Spec, decoding: Decoding, prompts: Tokens, completions: Sequence[Completion]
) -> tuple[str, ...]:
    """The texts of completions, cut at the task's stop strings. A prompt is the tokens before `starts`."""
    reader = spec.text_model
    starts = prompts.starts.tolist()
    return tuple(
        decoding.cut(reader.decode(completion.tokens, prompts.sequence(i)[:start]))
        for i, (completion, start) in enumerate(zip(completions, starts, strict=True))
    )
