"""The loop on the quickstart's task, small enough for seconds."""

import numpy as np
import pytest

from boostlora.engine.boosting.experiment import open_experiment, prepare
from boostlora.engine.boosting.loop import _restore
from boostlora.engine.boosting.rounds import RoundRunner
from boostlora.engine.errors import ExhaustedError, UsageError
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.spec.resolve import load_spec


def test_run_with_rotate_grows_the_rank_by_r_every_round(run_cell):
    result, directory = run_cell()
    assert (result.status, result.rounds) == ("completed", 4)
    for record in directory.records:
        assert set(record.rank.values()) == {2 * record.round}
    assert directory.records[-1].overlap < 1e-13
    assert directory.records[-1].train.accuracy > directory.records[0].train.accuracy


def test_round_without_frames_records_no_adapted_sites(run_cell):
    _, directory = run_cell("adapter.use=full", "optimizer.lr=0.001", "rounds=1")
    assert [record.adapted for record in directory.records] == [None, None]


def test_run_with_fixed_keeps_the_rank_at_r(run_cell):
    _, directory = run_cell("basis.use=fixed")
    assert {tuple(r.rank.values()) for r in directory.records[1:]} == {(2, 2)}
    assert directory.records[-1].overlap == 1.0


def test_run_counts_agree_with_the_outcomes_on_disk(run_cell):
    _, directory = run_cell()
    for record in directory.records[1:]:
        before, after = (
            directory.outcomes(record.round - 1)["train"],
            directory.outcomes(record.round)["train"],
        )
        assert record.failures == int((~before.correct).sum())
        assert record.lost == int((before.correct & ~after.correct).sum())
        assert record.gained == int((~before.correct & after.correct).sum())
        assert record.train.accuracy == after.accuracy
        assert record.parameters == 16


@pytest.mark.parametrize("adapter", ["tinylora", "lora-xs", "diagonal", "lora", "full"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_run_with_every_adapter_and_optimizer_lowers_the_training_loss(run_cell, adapter, optimizer):
    rate = {"adam": "optimizer.lr=0.01", "sgd": "optimizer.lr=0.05"}[optimizer]
    _, directory = run_cell(f"adapter.use={adapter}", f"optimizer.use={optimizer}", rate, "sampler.use=all")
    assert directory.records[-1].train.loss < directory.records[0].train.loss


@pytest.mark.parametrize("merge", ["full", "shrinkage", "gate", "line-search"])
@pytest.mark.parametrize("sampler", ["failures", "hardest", "all", "random", "weighted"])
def test_run_with_every_sampler_and_merge_policy_completes(run_cell, sampler, merge):
    result, directory = run_cell(f"sampler.use={sampler}", f"merge.use={merge}")
    assert result.status == "completed"
    if merge in {"gate", "line-search"}:
        losses = [record.validation.loss for record in directory.records]
        assert losses == sorted(losses, reverse=True), "a policy that looks never makes validation worse"


def test_run_where_every_update_is_refused_leaves_the_base(run_cell):
    result, directory = run_cell("merge.use=gate", "merge.margin=100.0")
    assert result.status == "completed"
    assert [r.status for r in directory.records] == ["base"] + ["refused"] * 4
    assert directory.records[-1].test == directory.records[0].test
    assert directory.ensemble() == []


@pytest.mark.filterwarnings("ignore:task digits. .* occur in the training data:RuntimeWarning")
def test_run_without_failures_converges(run_cell):
    result, directory = run_cell("task.angle=0.0", "model.epochs=150", "model.hidden=[128, 128]", "rounds=12")
    assert result.status == "converged"
    assert directory.records[-1].train.accuracy == 1.0
    assert result.rounds < 12


def test_patience_ends_the_run_and_names_the_best_round(run_cell):
    result, _ = run_cell("merge.use=shrinkage", "merge.rate=0.0", "stop.patience=2")
    assert (result.status, result.rounds, result.best_round) == ("patience", 2, 0)


def test_exhausted_directions_are_refused_before_the_run(small, registry):
    spec = load_spec("paper/digits", registry, (*small, "rounds=9"))
    with pytest.raises(ExhaustedError) as caught:
        prepare(spec)
    assert str(caught.value) == (
        "layers.1.weight 16x24 has 16 singular directions; rounds = 9 at adapter.rank = 2 need 18. Set rounds to at "
        'most 8; or set basis.exhausted = "stop" or "wrap", or leave the site out (sites.exclude)'
    )


def test_exhausted_directions_end_the_run_with_stop(run_cell):
    result, _ = run_cell("rounds=9", "basis.exhausted=stop", "sampler.use=all")
    assert (result.status, result.rounds) == ("exhausted", 8)


def test_exhausted_directions_restart_with_wrap(run_cell):
    result, directory = run_cell("rounds=9", "basis.exhausted=wrap", "sampler.use=all")
    assert (result.status, result.rounds) == ("completed", 9)
    assert directory.records[9].rank == {"layers.0.weight": 18, "layers.1.weight": 16}
    assert directory.records[9].overlap > 0.99


def test_rank_larger_than_a_site_is_refused_with_the_largest_legal_one(small, registry):
    spec = load_spec("paper/digits", registry, (*small, "adapter.rank=17", "basis.use=fixed"))
    with pytest.raises(ExhaustedError, match=r"fewer than adapter.rank = 17; the largest allowed rank is 16"):
        prepare(spec)


def test_nonfinite_round_is_refused_and_the_run_stops(run_cell):
    result, directory = run_cell("adapter.use=full", "optimizer.use=sgd", "optimizer.lr=1e200")
    assert result.status == "failed"
    assert result.reason.startswith("round 1 was refused: ")
    assert [r.status for r in directory.records] == ["base"]


def test_nonfinite_round_is_skipped_with_on_nonfinite_skip(run_cell):
    result, directory = run_cell(
        "adapter.use=full", "optimizer.use=sgd", "optimizer.lr=1e200", "stop.on_nonfinite=skip"
    )
    assert result.status == "completed"
    assert [r.status for r in directory.records] == ["base"] + ["nonfinite"] * 4
    assert directory.records[-1].test == directory.records[0].test


def test_run_of_no_rounds_evaluates_the_base(run_cell):
    result, directory = run_cell("rounds=0")
    assert (result.status, len(directory.records)) == ("completed", 1)


def test_runs_of_the_same_spec_have_the_same_digest_and_of_another_seed_not(run_cell):
    one, two, other = run_cell()[0], run_cell(folder="two")[0], run_cell("seed=1", folder="other")[0]
    assert one.digest == two.digest
    assert one.digest != other.digest


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ('sites.targets=["layers.7.*"]',),
            'sites.targets: the pattern "layers.7.*" matches no linear weight. There are: ',
        ),
        (('sites.exclude=["head.wieght"]',), 'did you mean "head.weight"?'),
        (("sites.layers=[5]",), "sites.layers: no layer 5; there are [0, 1]"),
        (('sites.exclude=["layers.*"]',), "sites: nothing is left to adapt"),
    ],
)
def test_site_pattern_without_a_match_is_refused_and_lists_the_weights(small, registry, settings, message):
    with pytest.raises(UsageError) as caught:
        prepare(load_spec("paper/digits", registry, (*small, *settings)))
    assert message in str(caught.value)


def test_sites_can_include_the_head_and_exclude_layers(small, registry):
    def chosen(*settings):
        return [
            s.site.name for s in prepare(load_spec("paper/digits", registry, (*small, *settings))).plan.sites
        ]

    assert chosen() == ["layers.0.weight", "layers.1.weight"]
    assert chosen("sites.layers=[1]") == ["layers.1.weight"]
    assert chosen('sites.targets=["all-linear", "head"]', "sites.exclude=layers.0") == [
        "layers.1.weight",
        "head.weight",
    ]
    assert chosen("sites.targets=*.1.weight") == ["layers.1.weight"]


def test_directions_are_computed_once_and_cached_for_later_runs(run_cell, monkeypatch):
    from boostlora.backends.reference import model as reference

    calls, right = [], reference.leading_triplets
    monkeypatch.setattr(reference, "leading_triplets", lambda W, n: (calls.append(n), right(W, n))[1])
    run_cell("seed=77")
    first = len(calls)
    run_cell("seed=77", "optimizer.lr=0.1", folder="again")
    assert first == 2
    assert len(calls) == first


def test_basis_of_a_resumed_run_receives_the_used_frames(run_cell, registry):
    _, directory = run_cell()
    spec = load_spec(directory.path / "spec.toml", registry)
    experiment = open_experiment(prepare(spec), RunContext())
    runner = RoundRunner(experiment, RunContext().report)
    assert _restore(runner, directory) == 4
    for site, view in experiment.views.items():
        assert len(view.used) == 4
        for t, frame in enumerate(view.used):
            np.testing.assert_array_equal(frame.U, directory.updates(t + 1)[site].frame.U)


def test_dropping_all_rounds_restores_the_base_and_any_prefix_is_a_model(run_cell, registry):
    _, directory = run_cell()
    spec = load_spec(directory.path / "spec.toml", registry)
    experiment = open_experiment(prepare(spec), RunContext())
    base = experiment.model.weight("layers.0.weight")
    ensemble = directory.ensemble()
    for rounds in (4, 2):
        experiment.model.assemble(ensemble[:rounds])
        outcome = experiment.evaluate("test")
        assert outcome.accuracy == directory.records[rounds].test.accuracy
    experiment.model.assemble([])
    np.testing.assert_array_equal(experiment.model.weight("layers.0.weight"), base)
