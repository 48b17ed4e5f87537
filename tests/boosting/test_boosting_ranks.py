"""Rounds of different sizes: how many directions each takes, what it trains, and what becomes of it."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import _restore
from boostlora.engine.boosting.round_setup import refit_for
from boostlora.engine.errors import ExhaustedError, UsageError
from boostlora.engine.export.boost_writer import pack
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.ranks import Ranks
from boostlora.engine.study.budget_quantities import measure
from boostlora.engine.testing import assert_close
from boostlora.engine.verification.round_start import _ends
from boostlora.engine.verification.verify import verify

from .boosting_toys import (
    BACKENDS,
    PLUGIN,
    SITES,
    WIDE,
    as_run,
    opened,
    records,
    retold,
    toy,
    weights_sha256,
    went_on,
)

FALLING = ("boosting.ranks=[5, 3]", "adapter.use=lora-xs", "rounds=4", "sampler.use=all")
"""Of 12 directions, rounds of 5, 3, 2 and 2."""
ROUNDING = 16 * np.finfo(np.float64).eps
"""Of inner products of 14 numbers at most."""
PLUG = ("--plugin", PLUGIN)
few = st.lists(st.integers(0, 9), max_size=6)


@given(few, few, st.integers(1, 9), st.integers(0, 20))
def test_ranks_are_inherited_then_listed_then_the_adapters(inherited, listed, usual, rounds):
    ranks = Ranks(usual=usual, listed=listed, inherited=inherited)
    wanted = [*inherited, *listed[len(inherited) :]]
    wanted += [usual] * (rounds - len(wanted))
    assert list(ranks.first(rounds)) == wanted[:rounds] == [ranks[t] for t in range(rounds)]
    counted = ranks.counted(rounds)
    assert {rank: n for rank, n in counted.items() if n} == {
        r: wanted[:rounds].count(r) for r in wanted[:rounds]
    }


@given(few, few, st.integers(1, 9), st.integers(1, 12), st.one_of(st.none(), st.integers(0, 40)))
def test_served_rounds_are_those_whose_ranks_fit_in_order(inherited, listed, usual, width, directions):
    ranks, taken, most = Ranks(usual=usual, listed=listed, inherited=inherited), 0, None
    for number in range(80):
        taken += ranks[number]
        if ranks[number] > width or (directions is not None and taken > directions):
            most = number
            break
    assert ranks.served(width, directions) == most


@pytest.fixture(scope="module", params=BACKENDS)
def falling(request, tmp_path_factory):
    made = toy(tmp_path_factory.mktemp("falling"), *BACKENDS[request.param], *FALLING)
    assert made.go("whole").status == "completed"
    return made


def test_rounds_of_falling_ranks_use_the_listed_ranks(falling):
    rounds = records(falling, "whole")[1:]
    assert [set(r.rank.values()) for r in rounds] == [{5}, {8}, {10}, {12}]
    assert [r.parameters for r in rounds] == [2 * n**2 for n in (5, 3, 2, 2)]
    directory, taken = RunDirectory.open(falling.path("whole")), dict.fromkeys(SITES, 0)
    experiment, _ = opened(falling)
    for number, rank in enumerate((5, 3, 2, 2), start=1):
        for site, update in directory.updates(number).items():
            base = experiment.model.directions(site, 12).take(range(taken[site], taken[site] + rank))
            assert_close(update.frame.S, base.S, rtol=1e-12, atol=0.0, what="the next singular values")
            taken[site] += rank
    assert records(falling, "whole")[-1].overlap < ROUNDING


@pytest.mark.parametrize("basis", ["gradient", "mixed", "tail"])
def test_rounds_of_different_ranks_are_orthogonal_for_any_basis(basis, tmp_path):
    made = toy(tmp_path, *FALLING, f"basis.use={basis}")
    made.go("run")
    assert [set(r.rank.values()) for r in records(made, "run")[1:]] == [{5}, {8}, {10}, {12}]
    assert max(r.overlap or 0.0 for r in records(made, "run")[1:]) < ROUNDING


def test_plan_counts_parameters_by_the_rank_of_each_round(falling):
    plan = prepare(falling.spec).plan
    assert (plan.parameters, plan.total_parameters) == (2 * 25, 2 * (25 + 9 + 4 + 4))
    assert plan.ranks == (2, 3, 5)
    assert {site.depth for site in plan.sites} == {12}
    assert measure(falling.spec, "parameters") == plan.parameters
    assert measure(falling.spec, "total_parameters") == plan.total_parameters


def test_interrupted_run_of_falling_ranks_resumes_to_the_same_digest(falling):
    whole = RunDirectory.open(falling.path("whole")).digest
    assert {went_on(falling, f"broken-{n}", n) for n in (1, 2)} == {whole}


def test_verification_of_falling_ranks_passes(tmp_path):
    for basis in ("rotate", "gradient"):
        made = toy(tmp_path / basis, *BACKENDS["torch"], *FALLING, f"basis.use={basis}")
        found = verify(made.spec, made.registry, RunContext(cache=tmp_path / "cache"))
        assert (found.rounds, found.first, found.passed) == (4, None, True)


def test_verification_splits_directions_into_rounds():
    assert _ends(Ranks(usual=2, listed=[5, 3]), 12) == [5, 8, 10, 12]
    assert _ends(Ranks(usual=4, inherited=[0, 0]), 10) == [4, 8, 10]
    assert _ends(Ranks(usual=4), 0) == []


def test_boost_file_of_falling_ranks_needs_no_factors(falling, tmp_path):
    run = as_run(falling, "whole")
    own, place = run.ensemble(), tmp_path / "x.boost.safetensors"
    assert pack(own, place, own.choose()).factors == {}
    found = run.load(place, tmp_path / "cache")
    for rounds in (None, 1, 3):
        assert weights_sha256(found, rounds) == weights_sha256(own, rounds)


def test_boost_file_of_a_run_continued_at_another_rank_needs_no_factors(tmp_path):
    settings = ("adapter.use=lora-xs", "sampler.use=all")
    made = toy(tmp_path, *settings)
    retold(made, *settings, "rounds=2", "adapter.rank=3").go("parent")
    start = f'start.run="{made.path("parent")}"'
    child = retold(made, *settings, "rounds=4", "adapter.rank=2", start)
    assert child.spec.start.ranks == (3, 3)
    child.go("child")
    assert [set(r.rank.values()) for r in records(made, "child")[1:]] == [{3}, {6}, {8}, {10}]
    run = as_run(made, "child")
    own, place = run.ensemble(), tmp_path / "x.boost.safetensors"
    assert pack(own, place, own.choose()).factors == {}
    assert weights_sha256(run.load(place, tmp_path / "cache")) == weights_sha256(own)


def test_refit_retrains_rounds_of_all_ranks(tmp_path):
    made = toy(tmp_path, *FALLING, "boosting.refit_every=3")
    made.go("run")
    rounds = records(made, "run")[1:]
    assert [r.parameters for r in rounds] == [2 * n for n in (25, 9, 4, 25 + 9 + 4)]
    assert [set(r.rank.values()) for r in rounds] == [{5}, {8}, {10}, {10}]
    experiment, runner = opened(made)
    _restore(runner, RunDirectory.open(made.path("run")))
    refit = refit_for(experiment, runner.rounds[:3])
    directions = [experiment.views[p.site.name].directions(range(p.depth)) for p in experiment.plan.sites]
    frames = sum(f.U.nbytes + f.S.nbytes + f.V.nbytes for f in (*refit.frames.values(), *directions))
    cores = refit.parametrisations.values()
    held = frames + sum(p.projections.nbytes + 4 * p.init.nbytes for p in cores)
    assert experiment.plan.extra_bytes == held


def test_exhausted_directions_error_names_the_ranks(tmp_path):
    made = toy(tmp_path, "adapter.use=lora-xs")

    def planned(*settings):
        return prepare(retold(made, "adapter.use=lora-xs", *settings).spec).plan

    with pytest.raises(ExhaustedError) as caught:
        planned("boosting.ranks=[5, 4]", "rounds=5")
    assert str(caught.value) == (
        "layers.1.weight 12x13 has 12 singular directions; rounds = 5 at adapter.rank = 2 and boosting.ranks = [5, 4] need 15. Set "
        'rounds to at most 3; or set basis.exhausted = "stop" or "wrap", or leave the site out (sites.exclude)'
    )
    assert planned("boosting.ranks=[5, 4]", "rounds=3").capacity == 3
    with pytest.raises(
        ExhaustedError, match=r"fewer than boosting\.ranks\[1\] = 13; the largest allowed rank is 12"
    ):
        planned("boosting.ranks=[1, 13]", "rounds=2", "basis.use=random")
    assert planned("boosting.ranks=[1, 12]", "rounds=2", "basis.use=random").capacity is None
    stopping = retold(
        made, "adapter.use=lora-xs", "boosting.ranks=[5, 4]", "rounds=9", "basis.exhausted=stop"
    )
    assert [site.depth for site in prepare(stopping.spec).plan.sites] == [13, 11], "of rounds that are served"
    result = stopping.go("stopping")
    assert (result.status, result.rounds) == ("exhausted", 3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("exhausted", ["error", "stop", "wrap"])
@pytest.mark.parametrize(
    ("settings", "where"),
    [
        (["boosting.ranks=[6,6,3,13]"], "boosting.ranks[3] = 13"),
        (["boosting.ranks=[6,6,3,100000]"], "boosting.ranks[3] = 100000"),
        (["boosting.ranks=[6,5]", "adapter.rank=100000"], "adapter.rank = 100000"),
    ],
)
def test_rank_that_no_site_can_have_is_refused_in_any_round(tmp_path, backend, exhausted, settings, where):
    """Also behind the round at which the run would stop, and before arrays of that size are made."""
    made = toy(
        tmp_path,
        *BACKENDS[backend],
        "rounds=4",
        *settings,
        f"basis.exhausted={exhausted}",
        "adapter.use=lora-xs",
    )
    with pytest.raises(ExhaustedError) as caught:
        prepare(made.spec)
    assert str(caught.value) == (
        f"layers.1.weight 12x13 has 12 singular directions, fewer than {where}; the largest allowed rank is 12"
    )


def test_rank_that_no_round_uses_is_allowed(tmp_path):
    made = toy(tmp_path, "adapter.use=lora-xs", "boosting.ranks=[6,5]", "adapter.rank=100000", "rounds=2")
    assert prepare(made.spec).plan.ranks == (5, 6)


def test_inherited_ranks_that_use_up_all_directions_are_refused_or_end_the_run(tmp_path):
    """The parent wrapped: its three rounds took 6 + 6 + 12 directions of 12."""
    wide = ("adapter.use=lora-xs", "basis.exhausted=wrap", "boosting.ranks=[6,6,12]")
    made = toy(tmp_path, *wide, "rounds=3")
    made.go("parent")

    def child(exhausted):
        start = f'start.run="{made.path("parent")}"'
        return retold(made, "adapter.use=lora-xs", f"basis.exhausted={exhausted}", "rounds=5", start)

    with pytest.raises(ExhaustedError) as caught:
        prepare(child("error").spec)
    assert str(caught.value) == (
        "layers.0.weight 13x14 has 13 singular directions; rounds = 5 at adapter.rank = 2 and [6, 6, 12] inherited need 28. "
        'Set basis.exhausted = "wrap"; or set start.round to at most 2'
    )
    stopped = child("stop").go("stopped")
    assert (stopped.status, stopped.reason) == ("exhausted", "unused directions ran out after 3 rounds")
    assert child("wrap").go("wrapped").status == "completed"


def test_wrap_restarts_at_a_round_that_does_not_fit(tmp_path):
    made = toy(
        tmp_path, "adapter.use=lora-xs", "boosting.ranks=[5, 5, 4]", "rounds=4", "basis.exhausted=wrap"
    )
    assert made.go("run").status == "completed"
    assert [set(r.rank.values()) for r in records(made, "run")[1:]] == [{5}, {10}, {10}, {10}]


def test_unused_ranks_are_noted_and_adapters_without_rank_refused(tmp_path):
    made = toy(tmp_path, *FALLING)
    noted = prepare(retold(made, *FALLING, "rounds=1").spec).plan.notes
    assert (
        "boosting.ranks lists 2 ranks, and 1 of 1 round takes new directions; the other ranks are not used"
        in noted
    )
    with pytest.raises(UsageError) as caught:
        prepare(retold(made, "boosting.ranks=[5, 3]", "adapter.use=full").spec)
    assert str(caught.value) == (
        "boosting.ranks = [5, 3] sets the adapter's rank per round, and adapter full has no option rank; switch it off "
        "(--set boosting.ranks=[]), or use an adapter with that option"
    )
    prepare(retold(made, "boosting.ranks=[]", "adapter.use=full").spec)


def test_lora_rounds_use_the_listed_ranks(tmp_path):
    made = toy(tmp_path, "boosting.ranks=[5, 3]", "adapter.use=lora", "rounds=3", "sampler.use=all")
    made.go("run")
    assert [r.parameters for r in records(made, "run")[1:]] == [n * (13 + 14 + 12 + 13) for n in (5, 3, 2)]


def test_empty_ranks_do_not_change_the_hash(tmp_path):
    made = toy(tmp_path)
    for settings in ((), ("boosting.refit_every=3",)):
        assert retold(made, *settings, "boosting.ranks=[]").spec.sha256 == retold(made, *settings).spec.sha256
    others = {retold(made, f"boosting.ranks={r}").spec.sha256 for r in ("[]", "[2]", "[4]", "[4, 2]")}
    assert len(others) == 4


def test_check_and_run_print_the_parameters_of_rounds(boostlora, tmp_path):
    made = toy(tmp_path, *FALLING)
    settings = [word for s in (*WIDE, *FALLING) for word in ("--set", s)]
    answer = boostlora("check", made.folder / "toy.toml", *PLUG, *settings)
    assert answer.returncode == 0, answer.stderr
    assert "trained parameters: up to 50 a round, 84 in 4 rounds" in answer.stdout
    plan = json.loads(boostlora("check", made.folder / "toy.toml", *PLUG, *settings, "--json").stdout)["plan"]
    assert (plan["parameters"], plan["total_parameters"], plan["ranks"]) == (50, 84, [2, 3, 5])
    ran = boostlora("run", made.folder / "toy.toml", *PLUG, *settings)
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"4 rounds · lora-xs: up to 50 parameters a round", ran.stdout + ran.stderr)
