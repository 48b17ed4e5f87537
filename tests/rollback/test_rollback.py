"""A run that is taken back keeps what it had, whenever it is killed, and plays the same rounds again."""

import json
import os
import shutil

import pytest

from boostlora.engine.errors import RunError, UsageError
from boostlora.engine.foundation.locks import locked
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.runs.rollback import roll_back

from ..support.record_toys import PLUGIN
from .rollback_toys import ROUNDS, Interrupter, check_valid, clone, contents, digests, sealed


@pytest.fixture
def run(family, request):
    """A copy of the whole run."""
    path = clone(family.parent, family.toy.path(request.node.name))
    yield path
    shutil.rmtree(path)


def test_rollback_keeps_a_prefix_and_sets_the_rest_aside(run, family):
    before = contents(run)
    done = roll_back(run, 2)
    assert (done.to, done.last) == (2, ROUNDS)
    assert check_valid(run, sealed(family.parent)) == 3
    RunDirectory.open(run).check_files()
    assert RunDirectory.open(run).result() is None
    kept, aside = contents(run), contents(done.aside)
    for name, sha256 in before.items():
        later = name[:1] in "ou" and int(name[-16:-12]) > 2
        assert (kept.get(name) == sha256) == (not later and name not in {"rounds.jsonl", "result.json"}), name
        assert (aside.get(name) == sha256) == (later or name in {"rounds.jsonl", "result.json"}), name


def test_rollback_reports_every_step_once_and_in_order(run):
    told = []
    roll_back(run, 2, lambda what, done, total: told.append((what, done, total)))
    first = [(done, total) for what, done, total in told if what != "removing"]
    last = [(done, total) for what, done, total in told if what == "removing"]
    assert [done for done, _ in first] == list(range(len(first)))
    assert {total for _, total in first} == {len(first)}
    assert [done for done, _ in last] == list(range(len(last)))
    assert {total for _, total in last} == {len(last)}


def test_resume_after_rollback_trains_the_same_rounds(run, family):
    roll_back(run, 3)
    family.toy.go(run.name)
    assert sealed(run) == sealed(family.parent)


def test_rollback_to_the_base_and_twice(run, family):
    one = roll_back(run, 4)
    two = roll_back(run, 0)
    assert one.aside != two.aside
    assert check_valid(run, sealed(family.parent)) == 1
    family.toy.go(run.name)
    assert sealed(run) == sealed(family.parent)


def test_rollback_killed_before_any_step_leaves_a_run_and_loses_nothing(family):
    whole, counter = sealed(family.parent), Interrupter()
    before = set(contents(family.parent).values())
    roll_back(clone(family.parent, family.toy.path("counted")), 3, counter)
    assert counter.calls > 12
    for step in range(counter.calls):
        path = clone(family.parent, family.toy.path(f"killed-{step}"))
        with pytest.raises(KeyboardInterrupt):
            roll_back(path, 3, Interrupter(step))
        assert check_valid(path, whole) in {4, ROUNDS + 1}
        RunDirectory.open(path).check_files()
        assert before <= set(contents(path).values())
        roll_back(path, 3)
        assert check_valid(path, whole) == 4
        assert before <= set(contents(path).values())
        assert not list((path / "rolled-back").glob(".*"))
        family.toy.go(path.name)
        assert sealed(path) == whole


def _without_file(run):
    (run / "updates" / "0005.safetensors").unlink()


def _with_other_bytes(run):
    (run / "outcomes" / "0004.safetensors").write_bytes(b"")


def _with_another_line(run):
    lines = (run / "rounds.jsonl").read_bytes().splitlines(keepends=True)
    (run / "rounds.jsonl").write_bytes(b"".join([*lines[:4], b"\xff{\n", *lines[5:]]))


def _with_another_result(run):
    (run / "result.json").write_text("{")


@pytest.mark.parametrize(
    "damage", [_without_file, _with_other_bytes, _with_another_line, _with_another_result]
)
def test_rollback_to_before_the_damage_keeps_intact_rounds(run, family, damage):
    damage(run)
    roll_back(run, 3)
    assert check_valid(run, sealed(family.parent)) == 4
    family.toy.go(run.name)
    assert sealed(run) == sealed(family.parent)


@pytest.mark.parametrize("damage", [_with_other_bytes, _with_another_line])
def test_rollback_to_a_damaged_round_is_refused_and_changes_nothing(run, damage):
    damage(run)
    before = contents(run)
    with pytest.raises(RunError, match=r"0004\.safetensors: damaged|rounds\.jsonl:5: "):
        roll_back(run, 5)
    assert contents(run) == before


def test_rollback_of_an_interrupted_round_takes_its_files_too(run, family):
    roll_back(run, 4)
    (run / "updates" / "0005.safetensors").write_bytes(b"unfinished")
    done = roll_back(run, 3)
    assert (done.aside / "updates" / "0005.safetensors").read_bytes() == b"unfinished"
    assert not (run / "updates" / "0005.safetensors").exists()
    assert check_valid(run, sealed(family.parent)) == 4


def test_rollback_without_links_copies(run, family, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    before = set(contents(run).values())
    roll_back(run, 1)
    assert before <= set(contents(run).values())
    assert check_valid(run, sealed(family.parent)) == 2


def test_rollback_to_the_last_round_changes_nothing(run):
    before = contents(run)
    assert roll_back(run, ROUNDS).aside is None
    assert contents(run) == before


@pytest.mark.parametrize("number", [-1, ROUNDS + 1])
def test_rollback_to_an_unknown_round_lists_the_rounds(run, number):
    with pytest.raises(UsageError, match=f"no round {number} to go back to; it has rounds 0 to {ROUNDS}"):
        roll_back(run, number)


def test_rollback_of_an_unknown_run_is_refused_and_creates_no_folder(tmp_path):
    with pytest.raises(UsageError, match="not a run"):
        roll_back(tmp_path / "none", 0)
    assert not (tmp_path / "none").exists()


def test_rollback_command_prints_its_result_and_the_next_command(run, family, boostlora, monkeypatch):
    monkeypatch.setenv("BOOSTLORA_CACHE", str(family.toy.cache))
    code, out, err = boostlora("rollback", run, "--to", 3)
    assert (code, err) == (0, "")
    first, again, other = out.splitlines()
    assert first.startswith(
        f"{run}: rolled back to round 3; rounds 4 to {ROUNDS} are set aside in rolled-back/"
    )
    assert f"boostlora resume {run} --plugin " in again
    assert f"boostlora run {run}/spec.toml --from {run}@3 --plugin {PLUGIN} --set KEY=VALUE" in other
    assert boostlora(*again.partition("boostlora ")[2].split())[0] == 0
    assert digests(run) == digests(family.parent)


def test_rollback_command_in_json(run, boostlora):
    code, out, _ = boostlora("rollback", run, "--to", 5, "--json")
    found = json.loads(out)
    assert code == 0
    assert found == {"path": str(run), "round": 5, "rounds_before": 6, "set_aside": found["set_aside"]}
    assert RunDirectory.open(run).digest == digests(run)[5]
    code, out, _ = boostlora("rollback", run, "--to", 5, "--json")
    assert json.loads(out)["set_aside"] is None


def test_rollback_command_refusals(run, boostlora):
    runs = run.parent
    code, _, err = boostlora("rollback", run, "--to", 9)
    assert (code, err) == (2, f"error: {run}: no round 9 to go back to; it has rounds 0 to 6\n")
    code, _, err = boostlora("rollback", "nothing", "--to", 1, "--runs", runs)
    assert code == 2
    assert 'no run "nothing"' in err
    clone(run, runs / "several" / "one")
    clone(run, runs / "several" / "two")
    code, _, err = boostlora("rollback", "several", "--to", 1, "--runs", runs)
    assert code == 2
    assert '"several" is 2 runs; name one of them: ' in err
    assert " older" not in err
    before = contents(run)
    with locked(run):
        code, _, err = boostlora("rollback", run, "--to", 1)
    assert code == 3
    assert f"error: {run}: in use by process {os.getpid()}" in err
    assert contents(run) == before
