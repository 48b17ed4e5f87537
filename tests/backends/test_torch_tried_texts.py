"""Which tokens a model is tried with before the first round."""

from itertools import pairwise

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="the torch backend needs PyTorch")

import torch

from boostlora.backends.torch.next_logits import PROMPT_TOKENS, STEPS, _sample, _test_logits
from boostlora.backends.torch.site_check import EXAMPLES, TOKENS, sample_examples
from boostlora.engine.contracts import Examples, Tokens

sizes = st.lists(st.integers(1, 3 * TOKENS), min_size=1, max_size=4)


def texts(lengths, starts=None, *, typed=False):
    """Every token another, so that it says where it stood; types are half its number."""
    ends = np.cumsum([0, *lengths]).tolist()
    ids = [list(range(a, b)) for a, b in pairwise(ends)]
    types = [[i // 2 for i in row] for row in ids] if typed else None
    tokens = Tokens.join(ids, starts, types=types)
    n = len(lengths)
    return Examples(ids=np.arange(n), inputs=tokens, labels=np.arange(n))


@given(sizes, st.booleans())
def test_classified_texts_are_checked_on_their_first_tokens(lengths, typed):
    given_, found = (e := texts(lengths, typed=typed)).inputs, sample_examples(e, predicts_tokens=False)
    assert len(found) == min(EXAMPLES, len(lengths))
    np.testing.assert_array_equal(found.labels, np.arange(len(found)))
    for i, row in enumerate(found.inputs):
        np.testing.assert_array_equal(row, given_.sequence(i)[:TOKENS])
    np.testing.assert_array_equal(found.inputs.targets, np.zeros(len(found)))
    if typed:
        np.testing.assert_array_equal(found.inputs.types, found.inputs.ids // 2)
    else:
        assert found.inputs.types is None


@given(st.lists(st.tuples(st.integers(1, 90), st.integers(0, 90)), min_size=1, max_size=4))
def test_completions_are_checked_on_tokens_around_their_start(parts):
    """Half of the tokens before it, where there are so many; a prompt alone is read as if its second half were the completion."""
    starts, lengths = [s for s, _ in parts], [s + n for s, n in parts]
    examples = texts(lengths, starts)
    found = sample_examples(examples, predicts_tokens=True).inputs
    for i, row in enumerate(found):
        whole = examples.inputs.sequence(i)
        begins = starts[i] if starts[i] < lengths[i] else max(1, lengths[i] // 2)
        at = int(found.starts[i])
        assert 1 <= at <= min(TOKENS // 2, begins)
        assert at == begins or at == TOKENS // 2, "as many before it as there are"
        place = begins - at
        np.testing.assert_array_equal(row, whole[place : place + TOKENS])
        assert found.targets[i] == min(lengths[i] - begins, TOKENS - at)


def test_numeric_rows_are_checked_unchanged():
    examples = attrs.evolve(texts([1, 1, 1]), inputs=np.eye(3))
    np.testing.assert_array_equal(
        sample_examples(examples, predicts_tokens=False).inputs, np.eye(3)[:EXAMPLES]
    )


@pytest.mark.parametrize(
    ("starts", "expected"),
    [((40, 40, 40, 40), (12, 9, 6)), ((12, 30), (12, 9)), ((4, 4, 4), (4, 3, 2)), ((1, 1, 1), (1, 1, 1)), ((2, 9, 5), (2, 7, 3))],
)  # fmt: skip
def test_cache_modes_are_tested_on_prompts_of_unequal_lengths(starts, expected):
    """Equal ones have no padding, and a cache that is wrong about it would pass."""
    prompts = texts([start + 2 for start in starts], list(starts)).inputs
    found = _sample(prompts)
    assert [len(row) for row in found] == list(expected)
    assert max(map(len, found)) <= PROMPT_TOKENS
    for i, row in enumerate(found):
        np.testing.assert_array_equal(row, prompts.sequence(i)[: len(row)])


class Counting:
    """Steps whose logits say at which one they are."""

    def __init__(self):
        self.step, self.taken = 0, []

    def logits(self, given):
        return torch.full((len(given), 5), float(self.step))

    def feed(self, tokens):
        self.step += 1

    def select(self, index):
        self.taken.append(index.tolist())


@pytest.mark.parametrize(("selectable", "taken"), [(True, [[0, 1, 2, 2], [1, 2, 3]]), (False, [])])
def test_every_step_of_a_cache_mode_is_compared_and_the_last_drops_the_first_row(selectable, taken):
    steps = Counting()
    found = _test_logits(steps, [[1, 2], [3], [4, 4, 4], [4, 4, 4]], selectable=selectable)
    assert found[:, 0].tolist() == [0.0] * 4 + [1.0] * 4 + [2.0] * 3
    assert (steps.step, steps.taken) == (STEPS - 1, taken)
