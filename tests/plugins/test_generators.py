"""Generators keep their contract, and the suite catches those that do not."""

import attrs
import numpy as np
import pytest

from boostlora.engine.contracts import Completion
from boostlora.engine.testing import GeneratorContract
from boostlora.plugins.generators.native import Native


class TestNative(GeneratorContract):
    def make(self):
        return Native()


class Faulty:
    """A generator whose writer changes what the speaker says."""

    def __init__(self, fault):
        self.fault = fault

    def check(self):
        """Nothing is needed."""

    def open(self, source, sites):
        return self

    def write(self, generative_model, examples, request):
        return self.fault(generative_model, examples, request)


def swallows_the_end(generative_model, examples, request):
    return [Completion(w.tokens) for w in generative_model.generate(examples, request)]


def keeps_the_end_among_the_tokens(generative_model, examples, request):
    return [
        Completion(np.array(w.with_end, dtype=np.int32), w.end)
        for w in generative_model.generate(examples, request)
    ]


def sorts_prompts_by_length(generative_model, examples, request):
    order = np.argsort(examples.inputs.starts, kind="stable")
    return generative_model.generate(examples.take(order), request.take(order))


def ignores_draws(generative_model, examples, request):
    draws = None if request.draws is None else np.full_like(request.draws, 0.5)
    return generative_model.generate(examples, attrs.evolve(request, draws=draws))


def ignores_stops(generative_model, examples, request):
    return generative_model.generate(examples, attrs.evolve(request, finished=None))


def never_synchronises():
    first = []

    def write(generative_model, examples, request):
        first.append(generative_model)
        return first[0].generate(examples, request)

    return write


def writes_too_much(generative_model, examples, request):
    more = {} if request.draws is None else {"draws": np.hstack([request.draws] * 2)}
    return generative_model.generate(
        examples, attrs.evolve(request, max_new_tokens=request.max_new_tokens + 1, **more)
    )


def stops_early(generative_model, examples, request):
    return [Completion(w.tokens[:-1], w.end) for w in generative_model.generate(examples, request)]


def draws_by_itself():
    rng = np.random.default_rng()

    def write(generative_model, examples, request):
        draws = None if request.draws is None else rng.random(request.draws.shape)
        return generative_model.generate(examples, attrs.evolve(request, draws=draws))

    return write


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (swallows_the_end, "end_token_of_a_text_is_reported"),
        (keeps_the_end_among_the_tokens, "every_prompt_is_continued_within_the_limits"),
        (sorts_prompts_by_length, "completions_keep_the_order_of_prompts"),
        (ignores_draws, "draws_decide_what_is_drawn"),
        (ignores_stops, "every_prompt_is_continued_within_the_limits"),
        (never_synchronises(), "greedy_texts_follow_the_current_weights"),
        (writes_too_much, "every_prompt_is_continued_within_the_limits"),
        (stops_early, "every_prompt_is_continued_within_the_limits"),
        (draws_by_itself(), "same_request_gives_the_same_texts"),
    ],
)
def test_suite_catches_a_generator_that_breaks_the_contract(fault, test, tmp_path):
    class Suite(GeneratorContract):
        def make(self):
            return Faulty(fault)

    suite = Suite()
    with pytest.raises(AssertionError):
        getattr(suite, f"test_{test}")(suite.make_case(tmp_path))
