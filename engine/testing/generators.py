"""What every generator must do: write what was asked, prompt by prompt, from the model as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from ..contracts import (
    Completion,
    Examples,
    GenerationRequest,
    GenerativeModel,
    Generator,
    ModelSource,
    Sampling,
    Site,
    Tokens,
)
from .strategies import sites_of, tiny_mlp

WORDS, STEPS = 11, 6


@attrs.frozen(eq=False)
class Bigram:
    """A speaker whose next token depends on the last one alone: `z = table[last]`."""

    table: NDArray[np.float64]

    def weight(self, site: str) -> NDArray[np.float64]:
        """The table, whatever is asked for."""
        del site
        return self.table

    def generate(self, examples: Examples, request: GenerationRequest) -> list[Completion]:
        """Token by token, by the definition of `GenerationRequest`."""
        tokens: Tokens = examples.inputs
        return [
            self._continued(tokens.sequence(i)[: tokens.starts[i]], request, i) for i in range(len(tokens))
        ]

    def _continued(self, prompt: NDArray[np.int32], request: GenerationRequest, row: int) -> Completion:
        found, last = list[int](), int(prompt[-1])
        for step in range(request.max_new_tokens):
            last = self._next(last, request, row, step)
            if last in request.end_tokens:
                return Completion(np.array(found, dtype=np.int32), last)
            found.append(last)
            if request.finished is not None and request.finished(np.array(found, dtype=np.int32)):
                break
        return Completion(np.array(found, dtype=np.int32))

    def _next(self, last: int, request: GenerationRequest, row: int, step: int) -> int:
        z = self.table[last]
        if request.sampling is None or request.draws is None:
            return int(np.argmax(z))
        p = np.exp((z - z.max()) / request.sampling.temperature)
        return int(np.searchsorted(np.cumsum(p / p.sum()), request.draws[row, step], side="right"))


@attrs.frozen(kw_only=True, eq=False)
class Surroundings:
    """What a generator is opened on and asked with."""

    source: ModelSource
    sites: Sequence[Site]
    generative_model: GenerativeModel
    other: GenerativeModel
    """The same model with other adapted weights, which says something else."""
    examples: Examples
    exact: bool = True
    """Whether the speaker's own greedy continuations are to be met token by token."""


class GeneratorContract:
    """Inherit, and implement `make`; override `surroundings` for a generator that computes the model itself."""

    def make(self) -> Generator:
        """A generator, as a spec would make it."""
        raise NotImplementedError

    def surroundings(self, folder: Path) -> Surroundings:
        """A model in two states, and prompts; here a table of bigrams, which only its own `generate` can read."""
        rng = np.random.default_rng(0)
        prompts = [rng.integers(0, WORDS, n).tolist() for n in (3, 1, 5, 2, 4)]
        tokens = Tokens.join([[*p, 0] for p in prompts], [len(p) for p in prompts])
        source = tiny_mlp(folder)
        return Surroundings(
            source=source,
            sites=sites_of(source),
            generative_model=Bigram(2.0 * rng.standard_normal((WORDS, WORDS))),
            other=Bigram(2.0 * rng.standard_normal((WORDS, WORDS))),
            examples=Examples(ids=np.arange(5), inputs=tokens, labels=np.zeros(5, dtype=np.int64)),
        )

    @pytest.fixture
    def around(self, tmp_path: Path) -> Surroundings:
        """The surroundings, in the test's own folder."""
        return self.surroundings(tmp_path)

    def _written(
        self,
        around: Surroundings,
        request: GenerationRequest,
        *,
        generative_model: GenerativeModel | None = None,
    ) -> list[Completion]:
        generator = self.make()
        generator.check()
        writer = generator.open(around.source, around.sites)
        return writer.write(generative_model or around.generative_model, around.examples, request)

    def _requests(self, around: Surroundings) -> list[GenerationRequest]:
        """Greedy and drawn, with an end token that comes, and with a stop."""
        greedy = GenerationRequest(max_new_tokens=STEPS, end_tokens=())
        draws = np.random.default_rng(1).random((len(around.examples), STEPS))
        drawn = attrs.evolve(greedy, sampling=Sampling(temperature=0.9), draws=draws)
        end = int(self._written(around, greedy)[0].tokens[1])
        stopped = attrs.evolve(greedy, finished=lambda tokens: len(tokens) >= 3)
        return [greedy, drawn, stopped, *(attrs.evolve(r, end_tokens=(end,)) for r in (greedy, drawn))]

    def test_every_prompt_is_continued_within_the_limits(self, around: Surroundings) -> None:
        for request in self._requests(around):
            written = self._written(around, request)
            assert len(written) == len(around.examples)
            for one in written:
                assert isinstance(one, Completion)
                assert one.tokens.dtype == np.int32
                assert one.end is None or one.end in request.end_tokens
                assert not set(one.tokens.tolist()) & set(request.end_tokens), "an end token among the tokens"
                assert 1 <= len(one.with_end) <= STEPS, "the end token is one of those that may be written"
                if one.end is None and request.finished is None:
                    assert len(one.tokens) == STEPS, "neither at its end nor at the limit"
                if request.finished is not None:
                    stops = [request.finished(one.tokens[: i + 1]) for i in range(len(one.tokens))]
                    assert not any(stops[:-1]), "it went on after it was finished"

    def test_the_end_token_that_closed_a_text_is_told(self, around: Surroundings) -> None:
        *_, greedy, _ = self._requests(around)
        assert self._written(around, greedy)[0].end == greedy.end_tokens[0]

    def test_same_request_gives_the_same_texts(self, around: Surroundings) -> None:
        for request in self._requests(around):
            assert _told(self._written(around, request)) == _told(self._written(around, request))

    def test_prompts_are_answered_in_their_order(self, around: Surroundings) -> None:
        backwards = np.arange(len(around.examples))[::-1].copy()
        turned = attrs.evolve(around, examples=around.examples.take(backwards))
        for request in self._requests(around):
            expected = _told(self._written(around, request))[::-1]
            assert _told(self._written(turned, request.take(backwards))) == expected

    def test_greedy_texts_are_those_of_the_speaker_as_it_is_now(self, around: Surroundings) -> None:
        request = GenerationRequest(max_new_tokens=STEPS, end_tokens=())
        one, two = (
            self._written(around, request, generative_model=s)
            for s in (around.generative_model, around.other)
        )
        assert _told(one) != _told(two), "the adapted weights have no say"
        if around.exact:
            assert _told(one) == _told(around.generative_model.generate(around.examples, request))
            assert _told(two) == _told(around.other.generate(around.examples, request))

    def test_draws_decide_what_is_drawn(self, around: Surroundings) -> None:
        request = self._requests(around)[1]
        draws = np.random.default_rng(2).random((len(around.examples), STEPS))
        other = attrs.evolve(request, draws=draws)
        assert _told(self._written(around, request)) != _told(self._written(around, other))


def _told(written: Sequence[Completion]) -> list[tuple[list[int], int | None]]:
    return [(one.tokens.tolist(), one.end) for one in written]
