"""The contract of every generator: completions of all prompts, in order, from the current weights."""

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
    """A generative model with next-token logits `table[last]`: a bigram model."""

    table: NDArray[np.float64]

    def weight(self, site: str) -> NDArray[np.float64]:
        """The table, for every site."""
        del site
        return self.table

    def generate(self, examples: Examples, request: GenerationRequest) -> list[Completion]:
        """Token by token, as `GenerationRequest` defines it."""
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
class GeneratorCase:
    """A model in two states, and prompts."""

    source: ModelSource
    sites: Sequence[Site]
    generative_model: GenerativeModel
    other: GenerativeModel
    """The same model with other adapted weights, and so other completions."""
    examples: Examples
    exact: bool = True
    """Whether completions must equal the model's own greedy ones token by token."""


class GeneratorContract:
    """Contract tests: inherit, and implement `make`; override `surroundings` for a generator that computes the model itself."""

    def make(self) -> Generator:
        """A generator, as built from a spec."""
        raise NotImplementedError

    def make_case(self, folder: Path) -> GeneratorCase:
        """A model in two states, and prompts; by default a bigram table, which only its own `generate` can evaluate."""
        rng = np.random.default_rng(0)
        prompts = [rng.integers(0, WORDS, n).tolist() for n in (3, 1, 5, 2, 4)]
        tokens = Tokens.join([[*p, 0] for p in prompts], [len(p) for p in prompts])
        source = tiny_mlp(folder)
        return GeneratorCase(
            source=source,
            sites=sites_of(source),
            generative_model=Bigram(2.0 * rng.standard_normal((WORDS, WORDS))),
            other=Bigram(2.0 * rng.standard_normal((WORDS, WORDS))),
            examples=Examples(ids=np.arange(5), inputs=tokens, labels=np.zeros(5, dtype=np.int64)),
        )

    @pytest.fixture
    def case(self, tmp_path: Path) -> GeneratorCase:
        """The case, in the test's folder."""
        return self.make_case(tmp_path)

    def _written(
        self,
        case: GeneratorCase,
        request: GenerationRequest,
        *,
        generative_model: GenerativeModel | None = None,
    ) -> list[Completion]:
        generator = self.make()
        generator.check()
        writer = generator.open(case.source, case.sites)
        return writer.write(generative_model or case.generative_model, case.examples, request)

    def _requests(self, case: GeneratorCase) -> list[GenerationRequest]:
        """Greedy and sampled requests, with and without an end token that occurs, and one with a stop function."""
        greedy = GenerationRequest(max_new_tokens=STEPS, end_tokens=())
        draws = np.random.default_rng(1).random((len(case.examples), STEPS))
        drawn = attrs.evolve(greedy, sampling=Sampling(temperature=0.9), draws=draws)
        end = int(self._written(case, greedy)[0].tokens[1])
        stopped = attrs.evolve(greedy, finished=lambda tokens: len(tokens) >= 3)
        return [greedy, drawn, stopped, *(attrs.evolve(r, end_tokens=(end,)) for r in (greedy, drawn))]

    def test_every_prompt_is_continued_within_the_limits(self, case: GeneratorCase) -> None:
        for request in self._requests(case):
            written = self._written(case, request)
            assert len(written) == len(case.examples)
            for one in written:
                assert isinstance(one, Completion)
                assert one.tokens.dtype == np.int32
                assert one.end is None or one.end in request.end_tokens
                assert not set(one.tokens.tolist()) & set(request.end_tokens), "an end token among the tokens"
                assert 1 <= len(one.with_end) <= STEPS, "the end token counts towards the limit"
                if one.end is None and request.finished is None:
                    assert len(one.tokens) == STEPS, "it stopped before an end token or the limit"
                if request.finished is not None:
                    stops = [request.finished(one.tokens[: i + 1]) for i in range(len(one.tokens))]
                    assert not any(stops[:-1]), "it continued after `finished`"

    def test_end_token_of_a_text_is_reported(self, case: GeneratorCase) -> None:
        *_, greedy, _ = self._requests(case)
        assert self._written(case, greedy)[0].end == greedy.end_tokens[0]

    def test_same_request_gives_the_same_texts(self, case: GeneratorCase) -> None:
        for request in self._requests(case):
            assert _as_lists(self._written(case, request)) == _as_lists(self._written(case, request))

    def test_completions_keep_the_order_of_prompts(self, case: GeneratorCase) -> None:
        backwards = np.arange(len(case.examples))[::-1].copy()
        turned = attrs.evolve(case, examples=case.examples.take(backwards))
        for request in self._requests(case):
            expected = _as_lists(self._written(case, request))[::-1]
            assert _as_lists(self._written(turned, request.take(backwards))) == expected

    def test_greedy_texts_follow_the_current_weights(self, case: GeneratorCase) -> None:
        request = GenerationRequest(max_new_tokens=STEPS, end_tokens=())
        one, two = (
            self._written(case, request, generative_model=s) for s in (case.generative_model, case.other)
        )
        assert _as_lists(one) != _as_lists(two), "the adapted weights have no effect"
        if case.exact:
            assert _as_lists(one) == _as_lists(case.generative_model.generate(case.examples, request))
            assert _as_lists(two) == _as_lists(case.other.generate(case.examples, request))

    def test_draws_decide_what_is_drawn(self, case: GeneratorCase) -> None:
        request = self._requests(case)[1]
        draws = np.random.default_rng(2).random((len(case.examples), STEPS))
        other = attrs.evolve(request, draws=draws)
        assert _as_lists(self._written(case, request)) != _as_lists(self._written(case, other))


def _as_lists(written: Sequence[Completion]) -> list[tuple[list[int], int | None]]:
    return [(one.tokens.tolist(), one.end) for one in written]
