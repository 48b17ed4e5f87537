"""Runs with fully corrective rounds: what is recorded, what comes after, and what other commands make of them."""

import json

import numpy as np
import pytest

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import _restore
from boostlora.engine.boosting.round_setup import refit_for
from boostlora.engine.export.boost_writer import pack
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.testing import assert_close

from ..support.places import SUPPORT
from .boosting_toys import (
    BACKENDS,
    PLUGIN,
    SITES,
    WIDE,
    as_run,
    opened,
    records,
    retold,
    sealed,
    toy,
    toy_run,
    weights_sha256,
    went_on,
)

REFITS, FRESH = (3, 6), (1, 2, 4, 5)
PLUG = ("--plugin", PLUGIN)
REASON = "it cannot be rebuilt from its trained values: it is a refit of earlier cores, in their frames"


def test_refits_are_recorded_with_trained_and_stored_parameters(refitted):
    base, *rounds = records(refitted, "whole")
    assert (base.refit, base.stored) == (None, None)
    assert [r.round for r in rounds if r.refit] == list(REFITS)
    assert {r.refit for r in rounds} == {True, None}
    assert [r.parameters for r in rounds] == [6, 6, 2 * 6, 6, 6, 4 * 6]
    assert [r.stored for r in rounds] == [None, None, 0, None, None, 0]
    assert all(r.status == "merged" for r in rounds)


def test_refits_use_no_new_directions(refitted):
    ranks = [r.rank for r in records(refitted, "whole")]
    assert [set(rank.values()) for rank in ranks[1:]] == [{2}, {4}, {4}, {6}, {8}, {8}]
    experiment, runner = opened(refitted)
    _restore(runner, RunDirectory.open(refitted.path("whole")))
    for site in SITES:
        used, base = experiment.views[site].used, experiment.model.directions(site, 8)
        assert len(used) == len(FRESH)
        assert_close(
            np.concatenate([frame.S for frame in used]), base.S, rtol=1e-6, atol=0.0,
            what="singular values, one after the other",
        )  # fmt: skip
    assert records(refitted, "whole")[-1].overlap < 1e-13


def test_refit_changes_only_earlier_cores(refitted):
    directory = RunDirectory.open(refitted.path("whole"))
    for site in SITES:
        whole = directory.updates(6)[site]
        earlier = [directory.updates(number)[site] for number in FRESH]
        core = whole.core.copy()
        for i, update in enumerate(earlier):
            place = slice(2 * i, 2 * i + 2)
            np.testing.assert_array_equal(whole.frame.U[:, place], update.frame.U)
            np.testing.assert_array_equal(whole.frame.V[:, place], update.frame.V)
            assert core[place, place].any()
            core[place, place] = 0.0
        assert not core.any(), "no two rounds' directions are mixed"


@pytest.mark.parametrize(("rounds", "last"), [(6, 6), (5, 3)])
@pytest.mark.parametrize("tie", ["none", "all"])
def test_planned_memory_is_that_of_the_last_refit(tie, rounds, last, tmp_path):
    made = toy(
        tmp_path, "boosting.refit_every=2", "sampler.use=all", f"adapter.tie={tie}", f"rounds={rounds}"
    )
    made.go("run")
    experiment, runner = opened(made)
    _restore(runner, RunDirectory.open(made.path("run")))
    refit = refit_for(experiment, [r for r in runner.rounds if r.plan.number < last])
    directions = [experiment.views[p.site.name].directions(range(p.depth)) for p in experiment.plan.sites]
    frames = sum(f.U.nbytes + f.S.nbytes + f.V.nbytes for f in (*refit.frames.values(), *directions))
    cores = refit.parametrisations.values()
    numbers = {p.group: p.init.nbytes for p in cores}
    held = frames + sum(p.projections.nbytes for p in cores) + 4 * sum(numbers.values())
    assert experiment.plan.extra_bytes == held


def test_planned_memory_without_refits_is_that_of_a_round(tmp_path):
    plans = [
        prepare(toy(tmp_path / str(n), "rounds=2", f"boosting.refit_every={n}").spec).plan for n in (0, 2)
    ]
    assert len({plan.extra_bytes for plan in plans}) == 1
    values, frames = 2 * 3, 4 * (13 + 14 + 1) + 4 * (12 + 13 + 1)
    assert plans[0].extra_bytes == 8 * (4 * values + frames)


def test_planned_memory_counts_only_rounds_with_directions(tmp_path):
    settings = ("boosting.refit_every=2", "basis.exhausted=stop")
    plans = [prepare(toy(tmp_path / str(n), *settings, f"rounds={n}").spec).plan for n in (9, 900)]
    assert plans[0].extra_bytes == plans[1].extra_bytes


@pytest.mark.parametrize("adapter", ["lora-xs", "diagonal", "tinylora"])
def test_refit_of_enough_steps_lowers_the_training_loss(adapter, tmp_path):
    own = ("adapter.tie=all",) if adapter == "tinylora" else ()
    made = toy(
        tmp_path, f"adapter.use={adapter}", *own, "boosting.refit_every=2", "boosting.refit_steps=30",
        "sampler.use=all", "rounds=3",
    )  # fmt: skip
    made.go("run")
    found = records(made, "run")
    assert found[3].train.loss < found[2].train.loss


@pytest.mark.parametrize("number", [2, 3, 5])
def test_interrupted_run_with_refits_has_the_same_digest(refitted, number):
    assert went_on(refitted, f"stopped-{number}", number) == records(refitted, "whole")[-1].digest
    assert sealed(refitted.path(f"stopped-{number}")) == sealed(refitted.path("whole"))


def test_backends_agree_on_refits(tmp_path):
    pytest.importorskip("torch", reason="the torch backend needs PyTorch")
    losses = dict[str, list[float]]()
    for name, settings in BACKENDS.items():
        made = toy(tmp_path / name, *settings, "boosting.refit_every=2", "rounds=3", "sampler.use=all")
        made.go("run")
        losses[name] = [r.train.loss for r in records(made, "run")]
    assert_close(np.array(losses["torch"]), np.array(losses["reference"]), atol=1e-10, what="losses, float64")


def test_refit_takes_its_own_steps_and_rate(refitted):
    made = retold(
        refitted, "boosting.refit_every=2", "sampler.use=all",
        "boosting.refit_steps=7", "boosting.refit_lr=0.0001", "rounds=3",
    )  # fmt: skip
    made.go("own")
    mine, theirs = (RunDirectory.open(refitted.path(name)) for name in ("own", "whole"))
    assert [r.digest for r in mine.records[:3]] == [r.digest for r in theirs.records[:3]]
    # Adam's steps are at most about their rate long, in every number: 7 of 0.0001, and not 3 of 0.05.
    largest = max(np.abs(value).max() for value in mine.values(3).values())
    assert 1e-4 < largest < 8e-4


def test_refit_without_merged_rounds_is_refused_and_the_run_continues(tmp_path):
    made = toy(tmp_path, "boosting.refit_every=1", "merge.use=gate", "merge.margin=100.0", "rounds=4")
    result = made.go("run")
    assert result.status == "completed", result.reason
    found = records(made, "run")
    assert [r.status for r in found] == ["base"] + ["refused"] * 4
    assert "no earlier round has been merged whose cores could be trained again" in found[2].reason
    assert "no earlier round" not in found[3].reason
    assert made.go("run").digest == result.digest


def test_evaluate_of_prefixes_with_refits_matches_the_record(refitted, boostlora):
    answer = boostlora("evaluate", refitted.path("whole"), "--staged", *PLUG)
    assert answer.returncode == 0, answer.stderr
    for number, record in enumerate(records(refitted, "whole")[1:], start=1):
        answer = boostlora(
            "evaluate", refitted.path("whole"), "--rounds", f"1..{number}", "--recompute", "--json", *PLUG
        )
        assert answer.returncode == 0, answer.stderr
        assert f'"loss": {record.test.loss}' in json.dumps(json.loads(answer.stdout))


def test_evaluate_without_a_round_keeps_its_refit(refitted):
    """A refit is an update like any other: rounds can be left out one by one."""
    own = refitted_ensemble(refitted)
    base, site = own.exportable(0).merged(SITES[0]), SITES[0]
    deltas = {n: r.scale * np.matmul(*_factors(r.updates[site])) for n, r in own.origin.merged.items()}
    without = own.exportable([1, 2, 3, 5, 6]).merged(site)
    expected = base + sum(d for n, d in deltas.items() if n != 4)
    assert_close(without, expected, atol=1e-6, what="weight, stored in float32")


def _factors(update):
    left, right = update.factors()
    return left, right.T


def refitted_ensemble(refitted):
    return as_run(refitted, "whole").ensemble()


def test_boost_file_stores_only_the_factors_of_refits(refitted, tmp_path):
    run = as_run(refitted, "whole")
    own, place = run.ensemble(), tmp_path / "x.boost.safetensors"
    packed = pack(own, place, own.choose())
    assert packed.factors == dict.fromkeys(REFITS, REASON)
    found = run.load(place, tmp_path / "cache")
    for rounds in (None, 2, 3, 4, 6):
        assert weights_sha256(found, rounds) == weights_sha256(own, rounds)
    assert [r.digest for r in found.records] == [r.digest for r in own.records]


def test_boost_file_of_a_history_dependent_basis_stores_only_factors_of_refits(tmp_path):
    wandering = SUPPORT / "wandering_basis.py"
    options = ("basis.use=following", "boosting.refit_every=2", "sampler.use=all")
    run = toy_run(tmp_path / "toy", *WIDE, *options, plugins=(PLUGIN, wandering))
    own, place = run.ensemble(), tmp_path / "x.boost.safetensors"
    assert list(pack(own, place, own.choose()).factors) == list(REFITS)
    assert weights_sha256(run.load(place, tmp_path / "cache")) == weights_sha256(own)


def test_refit_has_no_parametrisation_of_the_adapter(refitted):
    """An export that rebuilds rounds from the adapter's projections must not take it for one."""
    merged = refitted_ensemble(refitted).origin.merged
    assert {n: sorted(r.parametrisations) for n, r in merged.items()} == {
        **dict.fromkeys(FRESH, sorted(SITES)),
        **{number: [] for number in REFITS},
    }


def test_exports_of_a_run_with_refits_are_its_merged_weights(refitted, boostlora, tmp_path):
    from safetensors.numpy import load_file

    run = refitted.path("whole")
    file = tmp_path / "x.boost.safetensors"
    saved = boostlora("export", run, "--to", "boost", "--rounds", "all", "--out", file, *PLUG)
    assert saved.returncode == 0, saved.stderr
    assert all(f"{number}" in saved.stdout for number in REFITS)
    assert "it is a refit of earlier cores" in saved.stdout + saved.stderr
    plain = boostlora(
        "export", run, "--to", "safetensors", "--rounds", "all", "--out", tmp_path / "plain", *PLUG
    )
    assert plain.returncode == 0, plain.stderr
    base = as_run(refitted, "whole").base
    applied = boostlora("apply", base, file, "--out", tmp_path / "applied", *PLUG)
    assert applied.returncode == 0, applied.stderr
    assert "bit-identical to the merged weights of the run" in applied.stdout
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "applied"))
    own = refitted_ensemble(refitted).exportable()
    for site in SITES:
        merged = own.merged(site).astype(np.float32)
        np.testing.assert_array_equal(one[site], merged)
        np.testing.assert_array_equal(two[site], merged)


def test_compare_pairs_a_refit_with_the_previous_round(refitted, boostlora):
    run = refitted.path("whole")
    answer = boostlora("compare", f"{run}@2", f"{run}@3", *PLUG)
    assert answer.returncode == 0, answer.stderr


def test_show_has_a_line_per_refit(refitted, boostlora):
    answer = boostlora("show", refitted.path("whole"))
    assert answer.returncode == 0, answer.stderr
    rows = [
        line.split() for line in answer.stdout.splitlines() if line.split()[:1] and line.split()[0].isdigit()
    ]
    assert [row[0] for row in rows] == [str(n) for n in range(7)]
