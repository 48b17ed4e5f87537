"""Token sampling of both backends, against its definition and its distribution."""

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from boostlora.backends.reference.generation import sample_token
from boostlora.backends.torch.generation import nucleus, sampled
from boostlora.engine.contracts import GenerationRequest, Sampling
from boostlora.engine.testing.strategies import seeds

from ..support.hf_modules import texts, torch
from .policy_cases import BACKENDS, log_softmax
from .training_transformers import opened

ONE = float(np.nextafter(1.0, 0.0))
DOUBTFUL = 1e-4
"""Of a p-value: seeds are fixed, so a test that passes once passes always."""


def by_reference(z, sampling, draws):
    return np.array([sample_token(row, sampling, float(u)) for row, u in zip(z, draws, strict=True)])


def by_torch(z, sampling, draws):
    return sampled(torch.from_numpy(z), sampling, torch.from_numpy(draws)).numpy()


RULES = {"reference": by_reference, "torch": by_torch}


def by_definition(z, sampling, draw):
    """The first token at which the cumulated probabilities exceed the draw, with plain loops over plain numbers."""
    p = np.exp(log_softmax(z / sampling.temperature)).tolist()
    kept, total = set(), 0.0
    for token in sorted(range(len(p)), key=lambda t: (-p[t], t)):
        if total >= sampling.top_p:
            break
        kept.add(token)
        total += p[token]
    inside, cumulated = [t in kept for t in range(len(p))], 0.0
    whole = sum(q for q, k in zip(p, inside, strict=True) if k)
    for token, q in enumerate(p):
        cumulated += q / whole if inside[token] else 0.0
        if inside[token] and cumulated > draw:
            return token
    return max(kept)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@given(
    classes=st.integers(1, 40),
    temperature=st.floats(0.3, 3.0),
    top_p=st.floats(0.05, 1.0),
    seed=seeds,
)
def test_token_is_the_first_whose_cumulative_probability_exceeds_the_draw(
    rule, classes, temperature, top_p, seed
):
    rng, sampling = np.random.default_rng(seed), Sampling(temperature=temperature, top_p=top_p)
    z, draws = 3.0 * rng.standard_normal((5, classes)), rng.random(5)
    expected = [by_definition(row, sampling, u) for row, u in zip(z, draws, strict=True)]
    np.testing.assert_array_equal(rule(z, sampling, draws), expected)


@given(st.integers(2, 3000), st.floats(0.5, 2.0), st.sampled_from([0.5, 0.9, 1.0]), seeds)
def test_both_rules_draw_the_same_tokens_from_wide_vocabularies(classes, temperature, top_p, seed):
    rng, sampling = np.random.default_rng(seed), Sampling(temperature=temperature, top_p=top_p)
    z, draws = 4.0 * rng.standard_normal((8, classes)), np.r_[0.0, ONE, rng.random(6)]
    np.testing.assert_array_equal(by_reference(z, sampling, draws), by_torch(z, sampling, draws))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_nucleus_of_ties_is_as_small_as_it_can_be_and_takes_the_first(rule):
    """Of n tokens that are equally likely, the nucleus of k / n has k: no rounding may add one."""
    for n in range(2, 41):
        for k in range(1, n + 1):
            sampling = Sampling(top_p=k / n)
            last = rule(np.zeros((1, n)), sampling, np.array([ONE]))
            assert last[0] == k - 1, f"{k} of {n}"


def test_nucleus_with_a_tie_at_its_border_takes_only_the_first():
    p = torch.tensor([[0.2, 0.4, 0.2, 0.2]], dtype=torch.float64)
    assert nucleus(p, 0.5).tolist() == [[True, True, False, False]]
    assert nucleus(p, 0.39).tolist() == [[False, True, False, False]]
    assert nucleus(p, 1.0).tolist() == [[True] * 4]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_tokens_of_zero_probability_are_never_drawn(rule):
    z = np.array([[-1e9, 0.0, 1.0, -1e9]])
    for draw in (0.0, 0.3, 0.999, ONE):
        assert rule(z, Sampling(), np.array([draw]))[0] in {1, 2}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("top_p", [0.6, 1.0])
@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_many_draws_are_distributed_as_the_softmax(rule, temperature, top_p):
    rng = np.random.default_rng(5)
    z, sampling = rng.standard_normal(12), Sampling(temperature=temperature, top_p=top_p)
    p = np.exp(log_softmax(z / temperature))
    order = np.argsort(-p)
    p[order[np.cumsum(p[order]) - p[order] >= top_p]] = 0.0
    p /= p.sum()
    counts = np.bincount(rule(np.tile(z, (20_000, 1)), sampling, rng.random(20_000)), minlength=12)
    assert counts[p == 0.0].sum() == 0
    assert chisquare(counts[p > 0.0], 20_000 * p[p > 0.0]).pvalue > DOUBTFUL
    other = np.roll(p[p > 0.0], 1)
    assert chisquare(counts[p > 0.0], 20_000 * other).pvalue < DOUBTFUL, "the test tells nothing apart"


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_many_answers_to_one_prompt_are_distributed_as_the_models_softmax(backend, tmp_path):
    """1,000 first tokens, and the second ones after the likeliest first, which the cache computes."""
    model, _ = opened("qwen2", tmp_path, backend)
    count, row = 1000, texts("qwen2").take(np.array([2]))
    asked = GenerationRequest(
        max_new_tokens=2,
        end_tokens=(),
        sampling=Sampling(temperature=0.8),
        draws=np.random.default_rng(11).random((count, 2)),
    )
    written = np.array([w.tokens for w in model.generate(row.take(np.zeros(count, dtype=np.int64)), asked)])
    prompt = row.inputs.sequence(0)[: row.inputs.starts[0]].tolist()
    likeliest = int(np.bincount(written[:, 0]).argmax())
    for said, before in ((written[:, 0], []), (written[written[:, 0] == likeliest, 1], [likeliest])):
        sequence = [*prompt, *before, 0]
        inputs = type(row.inputs).join([sequence], [len(sequence) - 1])
        p = np.exp(log_softmax(model.logits(attrs.evolve(row, inputs=inputs))[0] / 0.8))
        counts = np.bincount(said, minlength=len(p))
        often = len(said) * p >= 5.0  # the rest is one bin: a chi-square wants five of each
        observed, expected = np.r_[counts[often], counts[~often].sum()], np.r_[p[often], p[~often].sum()]
        assert len(observed) > 4
        assert chisquare(observed, len(said) * expected).pvalue > DOUBTFUL
