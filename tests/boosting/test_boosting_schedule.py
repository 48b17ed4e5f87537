"""Which rounds take new directions, and how many rounds those directions serve."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.boosting import rounds as round_runner
from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.round_plan import plan_round
from boostlora.engine.errors import ExhaustedError
from boostlora.engine.spec.boosting_table import Boosting
from boostlora.engine.study.budget_quantities import measure

from .boosting_toys import records, retold, toy

CAPACITY = 6


def played(every, rounds):
    """Round by round, whether it is a refit: one after every so many that are none."""
    found, since = list[bool](), 0
    for _ in range(rounds):
        refit = every > 0 and since == every
        since = 0 if refit else since + 1
        found.append(refit)
    return found


@given(every=st.integers(0, 7), rounds=st.integers(0, 60))
def test_refit_schedule_counts_match_a_simulated_schedule(every, rounds):
    boosting, refits = Boosting(refit_every=every), played(every, rounds)
    assert [boosting.is_refit(n) for n in range(1, rounds + 1)] == refits
    before = [refits[: n - 1].count(False) for n in range(1, rounds + 1)]
    assert [boosting.fresh_before(n) for n in range(1, rounds + 1)] == before
    assert boosting.fresh_in(rounds) == refits.count(False)
    last = max((n for n, refit in enumerate(refits) if refit), default=0)
    assert boosting.refitted_in(rounds) == refits[:last].count(False)


def test_default_options_are_not_given():
    assert not Boosting().given
    assert Boosting(subsample=0.5).given
    assert not Boosting(subsample=1.0).given


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return toy(tmp_path_factory.mktemp("schedule"), "sampler.use=all")


@pytest.mark.parametrize("every", range(9))
def test_maximum_rounds_with_refits_is_exact(wide, every):
    def planned(rounds):
        return prepare(retold(wide, f"boosting.refit_every={every}", f"rounds={rounds}").spec)

    with pytest.raises(ExhaustedError) as caught:
        planned(50)
    (most,) = map(int, re.findall(r"Set rounds to at most (\d+)", str(caught.value)))
    plan = planned(most).plan
    assert (plan.capacity, plan.rounds) == (CAPACITY, most)
    assert played(every, most).count(False) == CAPACITY
    with pytest.raises(ExhaustedError, match=rf"rounds = {most + 1} at adapter.rank = 2 need 14\."):
        planned(most + 1)


def prepare_depths(made):
    return {site.depth for site in prepare(made.spec).plan.sites}


def test_refits_compute_no_directions(wide):
    assert prepare_depths(retold(wide, "rounds=6")) == {12}
    assert prepare_depths(retold(wide, "rounds=6", "boosting.refit_every=2")) == {8}


@pytest.mark.parametrize(("every", "rounds"), [(0, 6), (2, 9), (4, 7), (6, 7), (7, 6)])
def test_run_out_of_directions_stops_after_the_last_refit(wide, every, rounds, tmp_path):
    made = toy(
        tmp_path, "sampler.use=all", "basis.exhausted=stop", f"boosting.refit_every={every}", "rounds=20"
    )
    result = made.go("run")
    assert (result.status, result.rounds) == ("exhausted", rounds), result.reason
    assert [bool(r.refit) for r in records(made, "run")[1:]] == played(every, rounds)


def test_budget_counts_refit_steps_and_each_parameter_once(wide):
    made = retold(wide, "rounds=6", "boosting.refit_every=2", "boosting.refit_steps=5")
    assert measure(made.spec, "steps") == 4 * 3 + 2 * 5
    assert measure(made.spec, "examples") == 16 * (4 * 3 + 2 * 5)
    assert measure(made.spec, "parameters") == 2 * 3
    assert measure(made.spec, "total_parameters") == 4 * 2 * 3
    assert measure(retold(wide, "rounds=6").spec, "total_parameters") == 6 * 2 * 3


def test_every_round_of_a_run_is_planned_once(tmp_path, monkeypatch):
    planned = list[int]()

    def listened(spec, number):
        planned.append(number)
        return plan_round(spec, number)

    monkeypatch.setattr(round_runner, "plan_round", listened)
    made = toy(tmp_path, "rounds=4", "boosting.refit_every=1", "basis.use=gradient")
    assert made.go("run").rounds == 4
    assert planned == [1, 2, 3, 4, 5], "the last is planned too, and is beyond the spec's rounds"
