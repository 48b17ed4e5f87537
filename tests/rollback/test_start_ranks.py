"""Runs that go on from another at another rank: which directions are theirs."""

import shutil

import attrs
import numpy as np
import pytest

from boostlora.engine.boosting.experiment import open_experiment, prepare
from boostlora.engine.contracts import Frame
from boostlora.engine.errors import ExhaustedError, UsageError
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.resolve import load_spec

from .rollback_toys import Family, Interrupter, sealed, steps_until_round


def starting_of(folder, basis, rank, *settings):
    """Two rounds of a rank, at sites of 13 and 12 directions."""
    return Family.make(
        folder, f"basis.use={basis}", f"adapter.rank={rank}", "rounds=2", "sampler.use=all", *settings
    )


def shared(path):
    """By round, the largest cosine of any of its directions with one of an earlier round: `max |U_t' U_s|`, `max |V_t' V_s|`."""
    directory, frames, found = RunDirectory.open(path), list[dict[str, Frame]](), {}
    for record in directory.records[1:]:
        now = {site: update.frame for site, update in directory.updates(record.round).items()}
        assert {frame.U.dtype for frame in now.values()} == {np.dtype(np.float64)}
        pairs = [(frame, earlier[site]) for earlier in frames for site, frame in now.items()]
        found[record.round] = max(
            (np.abs(a.T @ b).max() for f, g in pairs for a, b in ((f.U, g.U), (f.V, g.V))), default=0.0
        )
        frames.append(now)
    return found


ROUNDING = 16 * np.finfo(np.float64).eps
"""Of inner products of 14 numbers at most."""


def ranks_of(path):
    return [set(record.rank.values()) for record in RunDirectory.open(path).records[1:]]


@pytest.mark.parametrize("exhausted", ["error", "stop", "wrap"])
def test_start_at_another_rank_uses_the_remaining_gradient_directions(tmp_path, exhausted):
    child = starting_of(tmp_path, "gradient", 4).child(
        2, "adapter.rank=2", "rounds=4", f"basis.exhausted={exhausted}"
    )
    assert child.go("smaller").status == "completed"
    path = child.path("smaller")
    assert ranks_of(path) == [{4}, {8}, {10}, {12}]
    assert max(shared(path).values()) < ROUNDING


def test_start_at_another_rank_stops_when_gradient_directions_run_out(tmp_path):
    """Of 12 directions 8 were used: two rounds of 2 are left, where four whole blocks of 2 would be counted."""
    family = starting_of(tmp_path, "gradient", 4)
    child = family.child(2, "adapter.rank=2", "rounds=9", "basis.exhausted=stop")
    result = child.go("stopping")
    assert (result.status, result.rounds) == ("exhausted", 4)
    assert result.reason == "unused directions ran out after 4 rounds"
    assert RunDirectory.open(child.path("stopping")).result() == result.as_json()
    assert child.go("stopping") == result


def test_start_at_another_rank_stops_after_the_last_refit(tmp_path):
    family = starting_of(tmp_path, "gradient", 4, "boosting.refit_every=2")
    result = family.child(2, "adapter.rank=2", "rounds=20", "basis.exhausted=stop").go("refitted")
    assert (result.status, result.rounds) == ("exhausted", 6), "rounds 3 and 6 are refits"


@pytest.mark.parametrize("basis", ["gradient", "rotate"])
def test_start_that_leaves_too_few_directions_is_refused_before_anything_is_done(tmp_path, basis):
    family, told = starting_of(tmp_path, basis, 4), list[str]()
    child = family.child(2, "adapter.rank=2", "rounds=5")
    with pytest.raises(ExhaustedError) as caught:
        child.go("unserved", lambda what, done, total: told.append(what))
    assert str(caught.value) == (
        "layers.0.weight 13x14 has 13 singular directions; rounds = 5 at adapter.rank = 2 and [4, 4] inherited need 14. "
        'Set rounds to at most 4; or set basis.exhausted = "stop" or "wrap"'
    )
    assert told == []
    assert not child.path("unserved").exists()


def test_start_counts_directions_of_rounds_that_were_not_merged(tmp_path):
    """As every run does: a block that was offered is not offered again."""
    family = starting_of(tmp_path, "rotate", 4, "merge.use=gate", "merge.margin=100.0")
    child = family.child(2, "adapter.rank=2", "rounds=4", "merge.use=full")
    assert child.go("spared").status == "completed"
    updates = RunDirectory.open(child.path("spared")).updates(3)
    base = starting_of(tmp_path / "whole", "rotate", 2).child(0, "rounds=5", "merge.use=full")
    base.go("base")
    fifth = RunDirectory.open(base.path("base")).updates(5)
    for site, update in updates.items():
        np.testing.assert_array_equal(update.frame.U, fifth[site].frame.U)


@pytest.mark.parametrize("basis", ["rotate", "tail", "mixed"])
def test_start_at_a_smaller_rank_continues_after_the_inherited_directions(tmp_path, basis):
    """After `[0, 8)` rounds 3 and 4 take `[8, 10)` and `[10, 12)`, and then there is nothing left."""
    child = starting_of(tmp_path, basis, 4).child(2, "adapter.rank=2", "rounds=9", "basis.exhausted=stop")
    result = child.go("smaller")
    assert (result.status, result.rounds) == ("exhausted", 4)
    path = child.path("smaller")
    assert ranks_of(path) == [{4}, {8}, {10}, {12}]
    assert max(shared(path).values()) < ROUNDING


@pytest.mark.parametrize("basis", ["rotate", "tail", "mixed"])
def test_start_at_a_larger_rank_continues_after_the_inherited_directions(tmp_path, basis):
    """After `[0, 4)` rounds 3 and 4 take `[4, 8)` and `[8, 12)`."""
    child = starting_of(tmp_path, basis, 2).child(2, "adapter.rank=4", "rounds=4")
    child.go("larger")
    path = child.path("larger")
    assert ranks_of(path) == [{2}, {4}, {8}, {12}]
    assert max(shared(path).values()) < ROUNDING


def test_start_at_another_rank_of_a_run_that_did_the_same_counts_them_all(tmp_path):
    family = starting_of(tmp_path, "rotate", 4)
    second = family.child(2, "adapter.rank=1", "rounds=4")
    second.go("second")
    third = family.child(4, "adapter.rank=2", "rounds=5", parent=family.toy.path("second"))
    assert third.spec.start.ranks == (4, 4, 1, 1)
    third.go("third")
    path = third.path("third")
    assert ranks_of(path) == [{4}, {8}, {9}, {10}, {12}]
    assert max(shared(path).values()) < ROUNDING


def test_start_after_a_refit_counts_only_rounds_with_directions(tmp_path):
    family = starting_of(tmp_path, "rotate", 2, "boosting.refit_every=2", "rounds=4")
    child = family.child(4, "adapter.rank=3", "rounds=5")
    assert child.spec.start.ranks == (2, 2, 2), "round 3 is a refit"
    child.go("after")
    assert ranks_of(child.path("after")) == [{2}, {4}, {4}, {6}, {9}]


def test_start_of_a_run_whose_adapter_took_no_directions_has_them_all(tmp_path):
    family = starting_of(tmp_path, "rotate", 4, "adapter.use=lora")
    child = family.child(2, "adapter.use=lora-xs", "adapter.rank=4", "rounds=5")
    assert child.spec.start.ranks == (0, 0)
    assert child.go("framed").status == "completed"
    directory = RunDirectory.open(child.path("framed"))
    assert {u.frame.S[0] > u.frame.S[-1] for u in directory.updates(3).values()} == {True}
    assert directory.updates(3)["layers.0.weight"].frame.S[0] == pytest.approx(
        np.linalg.norm(_base_of(child), 2)
    )


def _base_of(child):
    """The base weight of the first site."""
    return open_experiment(prepare(child.spec), RunContext()).model.weight("layers.0.weight")


def test_start_with_ranks_continues_identically_without_its_parent(tmp_path):
    family = starting_of(tmp_path, "rotate", 4)
    child = family.child(2, "adapter.rank=2", "rounds=4")
    child.go("whole")
    with pytest.raises(KeyboardInterrupt):
        child.go("orphan", Interrupter(steps_until_round(child, 3)))
    shutil.rmtree(family.parent)
    path = child.path("orphan")
    read = load_spec(path / "spec.toml", child.registry)
    assert read.start.ranks == (4, 4)
    attrs.evolve(child, spec=read).go("orphan")
    assert sealed(path) == sealed(child.path("whole"))
    forgetful = attrs.evolve(read, start=attrs.evolve(read.start, run="", ranks=()))
    assert forgetful.sha256 == read.sha256
    (path / "result.json").unlink()
    with pytest.raises(
        UsageError, match=rf"start\.ranks = \[\], and {path} was begun with \[4, 4\].*boostlora resume"
    ):
        attrs.evolve(child, spec=forgetful).go("orphan")
