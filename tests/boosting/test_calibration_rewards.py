"""A basis that hears a policy's own answers: what is asked, what is left of it, and that the model stays as it was."""

import attrs
import numpy as np
import pytest

from boostlora.engine.boosting.calibration import oracle_for
from boostlora.engine.boosting.rollouts import Rollout
from boostlora.engine.boosting.rounds import RoundRunner
from boostlora.engine.contracts import CalibrationSpec
from boostlora.engine.foundation.run_context import no_report
from boostlora.engine.testing import assert_close

from ..support.rollout_toys import BACKENDS, RolloutToy, opened, write_folder

CALIBRATION = CalibrationSpec(source="all", examples=6, batches=2, passes=2, columns=4)
INFORMED = ("basis.use=gradient", "basis.examples=8", "basis.batches=2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("rewards")
    write_folder(path)
    return path


@pytest.fixture(scope="module")
def runner(folder):
    found = RoundRunner(opened(folder), no_report)
    found.accept(found.base())
    return found


def asked(runner, number=1, **changes):
    calibration = attrs.evolve(CALIBRATION, **changes)
    source = runner.select(1), runner.history[-1]
    return oracle_for(runner.experiment, number, *source, calibration=calibration, report=no_report)


def test_policy_calibration_samples_answers_at_the_start_of_the_round(runner):
    oracle = asked(runner)
    assert len(oracle.batches) == 2
    assert any(len(batch) for batch in oracle.batches), "every group was silent; the test shows nothing"
    for batch in oracle.batches:
        if len(batch):
            rollouts = batch.rollouts
            assert len(rollouts.tokens) == len(batch) <= 3 * 4
            assert (rollouts.old, rollouts.start, rollouts.beta) == (None, None, 0.0)
            assert rollouts.temperature == 1.2
            assert batch.weights.min() < 0 < batch.weights.max(), "advantages"


def test_policy_calibration_is_reproducible_and_differs_between_rounds(runner):
    one, again, other = asked(runner), asked(runner), asked(runner, number=2)
    for a, b in zip(one.batches, again.batches, strict=True):
        np.testing.assert_array_equal(a.indices, b.indices)
        np.testing.assert_array_equal(a.rollouts.tokens.ids, b.rollouts.tokens.ids)
        np.testing.assert_array_equal(a.weights, b.weights)
    written = [[b.rollouts.tokens.ids.tolist() for b in e.batches if len(b)] for e in (one, other)]
    assert written[0] != written[1]


def test_policy_calibration_does_not_change_the_model(runner):
    experiment = runner.experiment
    sites = [site.name for site in experiment.sites]
    before, losses = {s: experiment.model.weight(s) for s in sites}, experiment.evaluate("validation").loss
    asked(runner)
    for site in sites:
        np.testing.assert_array_equal(experiment.model.weight(site), before[site])
    np.testing.assert_array_equal(experiment.evaluate("validation").loss, losses)


def test_policy_gradient_products_match_the_dense_gradient(runner):
    oracle, model = asked(runner), runner.experiment.model
    site = runner.experiment.sites[0]
    heard = [b for b in oracle.batches if len(b)]
    total = sum(b.counts.sum() for b in heard)
    G = sum(b.counts.sum() * model.gradient(site.name, oracle.examples, b) for b in heard) / total
    right = np.random.default_rng(0).standard_normal((site.shape[1], 3))
    found = oracle.gradient_products(right={site.name: right})[site.name].right
    assert_close(found, G @ right, atol=1e-12, what="float64, some hundred tokens")
    assert np.abs(G).max() > 1e-6


@pytest.mark.parametrize(("examples", "batches", "asks"), [(0, 2, 14), (0, 99, 14), (5, 8, 5), (10, 4, 12)])
def test_policy_calibration_uses_the_requested_number_of_prompts(
    runner, monkeypatch, examples, batches, asks
):
    assert len(runner.experiment.splits.train) == 14
    heard, ask = list[int](), Rollout.sample

    def counted(self, policy):
        heard.append(len(self.prompts[len(self.answers)]))
        return ask(self, policy)

    monkeypatch.setattr(Rollout, "sample", counted)
    oracle = asked(runner, examples=examples, batches=batches)
    assert sum(heard) == asks
    assert len(oracle.batches) == min(batches, examples or 14)


@pytest.fixture(scope="module")
def runs(folder):
    """Two rounds in the directions of the gradient, on every backend."""
    return {
        name: RolloutToy.make(folder, *settings, *INFORMED).go(f"informed-{name}")
        for name, settings in BACKENDS.items()
    }


def test_reward_run_with_gradient_basis_agrees_on_both_backends(runs):
    one, two = runs["reference"], runs["torch"]
    assert len(one.records) == len(two.records) == 3
    for a, b in zip(one.records, two.records, strict=True):
        assert (a.status, a.trained_on, a.rollouts, a.stored) == (
            b.status,
            b.trained_on,
            b.rollouts,
            b.stored,
        )
        for split in ("train", "validation", "test"):
            mine, theirs = getattr(a, split), getattr(b, split)
            assert_close(mine.loss, theirs.loss, atol=1e-9, what=f"{split} loss")
    merged = [r for r in one.records if r.scale]
    assert merged, "nothing was learned; the test shows nothing"
    assert set(merged[-1].rank.values()) == {2 * len(merged)}
    assert all(r.stored > r.parameters for r in merged)


def test_training_answers_do_not_depend_on_the_basis(folder, runs):
    plain = RolloutToy.make(folder, *BACKENDS["reference"]).go("plain")
    mine, theirs = runs["reference"].rollouts(1)[0], plain.rollouts(1)[0]
    np.testing.assert_array_equal(mine.indices, theirs.indices)
    np.testing.assert_array_equal(mine.rollouts.tokens.ids, theirs.rollouts.tokens.ids)


def test_calibration_answers_use_their_own_random_stream(runner, monkeypatch):
    """Prompts answered by the same model: if the draws were the same too, so were the answers."""
    drawn, ask = list[np.ndarray](), Rollout.sample

    def listened(self, policy):
        batch = ask(self, policy)
        drawn.append(self.requests[-1].draws)
        return batch

    monkeypatch.setattr(Rollout, "sample", listened)
    asked(runner, examples=4, batches=1)
    plan = runner.plan(1)
    rollout = runner.batches(plan, runner.select(1))
    runner.experiment.model.train(runner.request(plan, rollout))
    assert drawn[0].shape == drawn[1].shape == (16, 6)
    assert not (drawn[0] == drawn[1]).any()


def test_reward_rounds_with_only_zero_variance_groups_are_refused(folder):
    settings = (
        *BACKENDS["torch"],
        *INFORMED,
        "objective.top_p=0.0001",
    )  # greedy: a prompt's answers are all one
    directory = RolloutToy.make(folder, *settings).go("silent")
    assert [r.status for r in directory.records] == ["base", "refused", "refused"]
    assert "rewarded alike" in directory.records[1].reason


def test_top_sites_with_rewards_needs_no_data_driven_basis(folder):
    directory = RolloutToy.make(folder, *BACKENDS["torch"], "boosting.top_sites=1", "rounds=1").go("choosing")
    assert directory.records[1].adapted == 1
    if directory.records[1].scale:
        assert len(directory.updates(1)) == 1
