"""`--from` on the command line, what `check` and `show` say, and the replay of what is a run's own."""

import json
import os
import shlex
import shutil

import pytest

from boostlora.engine.runs.directory import RunDirectory

from .rollback_toys import PLUGIN, clone, digests, write_spec

SETTINGS = ("--set", "task.columns=14", "--set", "model.hidden=[13, 12]", "--set", "rounds=6")


@pytest.fixture
def desk(family, tmp_path, monkeypatch, boostlora):
    """A folder with the spec, the parent as `toy/parent` among the runs, and `run` and `check` for it."""
    write_spec(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOOSTLORA_CACHE", str(family.toy.cache))
    clone(family.parent, tmp_path / "runs" / "toy" / "parent")

    def go(verb, *words, spec="toy.toml", settings=SETTINGS):
        return boostlora(verb, spec, "--plugin", PLUGIN, *settings, *words)

    return go


def quiet(answer):
    code, out, err = answer
    assert (code, err) == (0, "")
    return out.strip()


def test_run_from_a_round_of_a_run(desk, family, tmp_path):
    for word in ("toy/parent@3", "parent@3", "toy@3", "runs/toy/parent@3", f"{tmp_path}/runs/toy/parent@3"):
        shutil.rmtree(tmp_path / "runs" / "toy" / "child", ignore_errors=True)
        path = quiet(desk("run", "--from", word, "-q"))
        assert digests(tmp_path / path) == digests(family.parent)
        start = RunDirectory.open(tmp_path / path).spec_tree()["start"]
        expected = {"run": f"{tmp_path}/runs/toy/parent", "round": 3, "digest": digests(family.parent)[3]}
        expected["ranks"] = [2, 2, 2]
        assert start == expected
        shutil.rmtree(tmp_path / path)


def test_run_from_a_run_continues_after_its_last_round(desk, tmp_path):
    full = ("--set", "rounds=7", "--set", "adapter.rank=1")
    refused = desk("run", "--from", "toy", *full)
    assert refused[0] == 2
    assert "rounds = 7 at adapter.rank = 1 and [2, 2, 2, 2, 2, 2] inherited need 13" in refused[2]
    more = (*full, "--set", "basis.exhausted=wrap")
    path = tmp_path / quiet(desk("run", "--from", "toy", *more, "-q"))
    found = RunDirectory.open(path)
    assert len(found.records) == 8
    assert found.spec_tree()["start"]["round"] == 6
    again = desk("run", "--from", "toy/parent", *more)
    assert "already completed (7 of 7 rounds cached); nothing to do" in again[1]
    out = desk("run", "--from", "toy", "-q")
    assert out[0] == 2
    assert '"toy" is 2 runs; name one of them: ' in out[2]


def test_name_of_many_runs_is_refused_and_lists_the_latest(desk, boostlora, tmp_path):
    many = tmp_path / "runs" / "many runs"
    for number in range(13):
        spec = write_spec(many / f"{number:02}").rename(many / f"{number:02}" / "spec.toml")
        os.utime(spec, (1000 + number * 7 % 13, 1000 + number * 7 % 13))
    code, _, err = boostlora("rollback", "many runs", "--to", 1)
    latest = sorted(range(13), key=lambda number: number * 7 % 13, reverse=True)[:10]
    told = ", ".join(f"runs/many runs/{number:02}" for number in latest)
    shown = "boostlora show 'many runs' --runs runs"
    assert code == 2
    assert (
        err == f'error: "many runs" is 13 runs; name one of them: {told}, and 3 older; all of them: {shown}\n'
    )
    code, out, err = boostlora(*shlex.split(shown)[1:])
    assert (code, err) == (0, "")
    assert all(f"{number:02}" in out for number in range(13))


def test_run_from_replaces_the_start_of_the_spec(desk, family, tmp_path):
    path = quiet(desk("run", "--from", "toy@4", "-q"))
    other = quiet(desk("run", "--from", "toy/parent@2", "-q", spec=f"{path}/spec.toml", settings=()))
    assert other != path
    assert RunDirectory.open(tmp_path / other).spec_tree()["start"]["round"] == 2
    assert digests(tmp_path / other) == digests(family.parent)


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("nothing@3", 'no run "nothing"'),
        ("toy@nine", 'no run "toy@nine"'),
        ("toy@9", "start.round: no round 9"),
        ("toy@-3", '"round" must be at least -1'),
    ],
)
def test_run_from_an_unknown_run_is_refused(desk, word, problem, tmp_path):
    code, out, err = desk("run", "--from", word)
    assert (code, out) == (2, "")
    assert problem in err
    assert sorted(p.name for p in (tmp_path / "runs" / "toy").iterdir()) == ["parent"]


def test_run_from_a_run_on_other_data_leaves_nothing(desk, tmp_path):
    code, _, err = desk("run", "--from", "toy@3", "--set", "seed=1")
    assert code == 2
    assert "which has other data (" in err
    assert sorted(p.name for p in (tmp_path / "runs" / "toy").iterdir()) == ["parent"]


def test_fresh_run_without_its_parent_is_refused_and_sets_nothing_aside(desk, boostlora, tmp_path):
    path = tmp_path / quiet(desk("run", "--from", "toy@3", "-q"))
    shutil.rmtree(tmp_path / "runs" / "toy" / "parent")
    code, _, err = desk("run", "--fresh", spec=path / "spec.toml", settings=())
    assert code == 2
    assert "are not inherited yet; put it back" in err
    assert [p.name for p in (tmp_path / "runs" / "toy").iterdir()] == [path.name]
    assert desk("check", spec=path / "spec.toml", settings=())[0] == 0
    assert "already completed" in desk("run", spec=path / "spec.toml", settings=())[1]
    assert boostlora("show", path)[0] == 0
    assert "already completed" in desk("resume", spec=path, settings=())[1]


def test_check_prints_the_start_of_a_run(desk, tmp_path):
    start = ("--set", "start.run=runs/toy/parent", "--set", "start.round=2")
    code, out, _ = desk("check", *start)
    line = f"continues from round 2 of {tmp_path}/runs/toy/parent, which gives it rounds 0 to 2; rounds left to run: 3 to 6"
    assert code == 0
    assert line in out.splitlines()
    assert "continues from" not in desk("check")[1]
    code, _, err = desk("check", *start, "--set", "seed=4")
    assert code == 2
    assert "cannot continue from round 2" in err


def test_verify_replays_only_the_runs_own_rounds(desk, tmp_path):
    run = quiet(desk("run", "--from", "toy@3", "--set", "optimizer.lr=0.2", "-q"))
    shutil.rmtree(tmp_path / "runs" / "toy" / "parent")
    code, out, err = desk("verify", "--backend", "reference", "--json", spec=run, settings=())
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["rounds"] == 3
    parent = f"{tmp_path}/runs/toy/parent"
    assert found["notes"] == [f"rounds 1 to 3 were inherited from {parent}: taken as recorded, not replayed"]
    assert found["passed"]
    code, _, err = desk("verify", "--rounds", "3", "--backend", "reference", spec=run, settings=())
    assert code == 2
    assert f"its rounds up to 3 are those of {parent}" in err


def test_verify_of_a_run_altered_after_its_start_deviates(desk, tmp_path):
    """The replay can go red: rounds of one rate under the spec of another."""
    run = tmp_path / quiet(desk("run", "--from", "toy@3", "--set", "optimizer.lr=0.2", "-q"))
    for name in ("spec.toml", ".spec.lock.toml"):
        text = (run / name).read_text()
        assert "lr = 0.2\n" in text
        (run / name).write_text(text.replace("lr = 0.2\n", "lr = 0.3\n"))
    code, out, _ = desk("verify", "--backend", "reference", "--json", spec=run, settings=())
    assert code == 4
    assert json.loads(out)["first_departure"]["round"] == 4


def test_verify_of_a_spec_with_a_start_is_refused(desk):
    code, _, err = desk("verify", "--set", "start.run=runs/toy/parent", "--set", "start.round=2")
    assert code == 2
    assert "is verified through a run" in err


STUDY = """
extends = "toy.toml"
name = "forks"
rounds = 5
task.columns = 14
model.hidden = [13, 12]

[start]
run = "runs/toy/parent"
round = 3

[ablate]
grid."optimizer.lr" = [0.05, 0.4]
baseline."optimizer.lr" = 0.05
seeds = 1
executor.workers = 1
"""


def test_ablate_continues_from_one_round_in_every_arm(desk, family, tmp_path):
    (tmp_path / "forks.toml").write_text(STUDY)
    code, out, _ = desk("check", spec="forks.toml", settings=())
    assert code == 0
    assert out.count("which gives it rounds 0 to 3; rounds left to run: 4 to 5") == 1
    code, _, err = desk("ablate", "-q", spec="forks.toml", settings=())
    assert (code, err) == (0, "")
    runs = sorted(
        p.parent for p in (tmp_path / "runs" / "forks").glob("*/spec.toml") if p.parent.name != "study"
    )
    found = {RunDirectory.open(path).spec_tree()["optimizer"]["lr"]: digests(path) for path in runs}
    same, other = found[0.05], found[0.4]
    assert same == digests(family.parent)[:6]
    assert other[:4] == same[:4]
    assert not set(other[4:]) & set(same)
    code, out, _ = desk("ablate", spec="forks.toml", settings=())
    assert code == 0
    assert "2 of 2 cells cached" in out
