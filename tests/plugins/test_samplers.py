import numpy as np
import pytest
from hypothesis import given

from boostlora.engine.testing import SamplerContract, assert_close
from boostlora.engine.testing.strategies import contract_settings, make_outcome, outcomes, seeds
from boostlora.plugins.samplers.all import All
from boostlora.plugins.samplers.failures import Failures
from boostlora.plugins.samplers.hardest import Hardest
from boostlora.plugins.samplers.random import Random
from boostlora.plugins.samplers.weighted import Weighted


class TestFailures(SamplerContract):
    def make(self):
        return Failures()


class TestFailuresAlone(SamplerContract):
    def make(self):
        return Failures(replay=0.0)

    @given(outcomes(), seeds)
    @contract_settings
    def test_selection_holds_exactly_the_failures(self, outcome, seed):
        chosen = self._select(outcome, seed)
        assert set(chosen.indices.tolist()) == set(np.flatnonzero(~outcome.correct).tolist())


class TestFailuresCapped(SamplerContract):
    def make(self):
        return Failures(cap=3, replay=0.25)

    @given(outcomes(), seeds)
    @contract_settings
    def test_selection_holds_at_most_the_cap_of_failures(self, outcome, seed):
        chosen = self._select(outcome, seed)
        wrong = [i for i in chosen.indices if not outcome.correct[i]]
        assert len(wrong) == min(3, int((~outcome.correct).sum()))


class TestAll(SamplerContract):
    selects_without_failures = True

    def make(self):
        return All()


class TestHardest(SamplerContract):
    selects_without_failures = True

    def make(self):
        return Hardest(share=0.3, replay=0.4)

    @given(outcomes(), seeds)
    @contract_settings
    def test_hard_examples_have_the_largest_losses_and_their_share_of_the_weight(self, outcome, seed):
        chosen = self._select(outcome, seed)
        count = max(1, round(0.3 * len(outcome)))
        hard, others = outcome.loss[chosen.indices[:count]], outcome.loss[chosen.indices[count:]]
        assert len(chosen) == len(outcome)
        assert not len(others) or hard.min() >= others.max()
        weight = chosen.weights[:count].sum() / chosen.weights.sum()
        assert_close(weight, 0.6 if len(others) else 1.0, atol=1e-12, what="share of the hard")


class TestHardestAlone(SamplerContract):
    selects_without_failures = True

    def make(self):
        return Hardest(share=0.25, replay=0.0)

    @given(outcomes(), seeds)
    @contract_settings
    def test_selection_has_only_the_hard_examples(self, outcome, seed):
        assert len(self._select(outcome, seed)) == max(1, round(0.25 * len(outcome)))


class TestRandom(SamplerContract):
    def make(self):
        return Random()

    @given(outcomes(), seeds)
    @contract_settings
    def test_selection_is_as_large_as_the_failures(self, outcome, seed):
        assert len(self._select(outcome, seed)) == int((~outcome.correct).sum())


class TestWeighted(SamplerContract):
    def make(self):
        return Weighted()


@pytest.mark.parametrize("replay", [0.1, 0.5, 0.9])
def test_failures_with_replay_give_right_examples_that_share_of_the_weight(replay):
    outcome = make_outcome(np.array([True] * 30 + [False] * 7), np.random.default_rng(0))
    chosen = Failures(replay=replay).select(outcome, (), np.random.default_rng(1))
    right = outcome.correct[chosen.indices]
    share = chosen.weights[right].sum() / chosen.weights.sum()
    assert share == pytest.approx(replay, abs=1e-12)


def test_weighted_prefers_examples_that_stayed_hard():
    rng = np.random.default_rng(0)
    always, once = np.array([False, True, True]), np.array([False, False, True])
    history = [make_outcome(always, rng), make_outcome(always, rng)]
    chosen = Weighted(eta=3.0).select(make_outcome(once, rng), history, rng)
    weight = dict(zip(chosen.indices.tolist(), chosen.weights.tolist(), strict=True))
    assert weight[0] > weight[1] > weight[2]


def test_weighted_with_zero_sharpness_is_uniform():
    outcome = make_outcome(np.array([True, False, False, True]), np.random.default_rng(0))
    assert set(Weighted(eta=0.0).select(outcome, (), np.random.default_rng(0)).weights.tolist()) == {1.0}


@pytest.mark.parametrize(("eta", "decay"), [(2.0, 0.5), (0.7, 1.0), (30.0, 0.0)])
def test_weighted_is_the_exponential_of_a_decayed_history_of_errors(eta, decay):
    """`w_i` in proportion to `exp(eta sum_s decay^(T - s) (1 - p_is))`, with `p_is` the probability of the right answer in round s."""
    rng = np.random.default_rng(3)
    correct = np.array([True, False, True, False, True, True])
    past = [make_outcome(correct, rng) for _ in range(4)]
    chosen = Weighted(eta=eta, decay=decay).select(past[-1], past[:-1], rng)
    p = np.exp(-np.array([outcome.loss for outcome in past]))
    powers = decay ** np.arange(3, -1, -1)
    expected = np.exp(eta * powers @ (1 - p))[chosen.indices]
    found = chosen.weights / chosen.weights.sum()
    assert_close(found, expected / expected.sum(), atol=1e-14, what="shares")
    assert np.ptp(found) > 0.01


@pytest.mark.parametrize("sampler", [All(), Random(), Failures(replay=0.0), Hardest(replay=0.0)])
def test_samplers_without_replay_weight_chosen_examples_equally(sampler):
    outcome = make_outcome(np.arange(30) % 3 > 0, np.random.default_rng(0))
    assert set(sampler.select(outcome, (), np.random.default_rng(1)).weights.tolist()) == {1.0}
