"""`boostlora ablate`, `status`, `collect`, `check` of a study: exit codes and what is printed."""

import json
import re
import shutil

import pytest

from ..support import commands
from .tiny_study import TINY, digests, write

FAILING = """
import attrs
from boostlora.engine.contracts import Selection
from boostlora.engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Brittle:
    fail_at: int = 2

    def select(self, outcome, history, rng):
        if len(history) + 1 == self.fail_at:
            raise ValueError("it broke")
        return Selection.equal(range(len(outcome)))


@hookimpl
def register_samplers(register):
    register("brittle", Brittle)
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study that was run once; tests copy what they change."""
    folder = tmp_path_factory.mktemp("study")
    write(folder)
    done = commands.boostlora("ablate", "tiny.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture
def study(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_ablate_runs_every_cell_and_compares_the_arms(finished):
    _, done = finished
    assert "0 of 6 cells cached · 6 to run · executor local" in done.stdout
    assert len(re.findall(r"^\[\d/6\] .*: completed after 3 rounds$", done.stdout, re.MULTILINE)) == 6
    table = done.stdout[done.stdout.index("\narm") :]
    assert re.search(r"^fixed .* baseline$", table, re.MULTILINE)
    assert re.search(r"^rotate .* too few seeds$", table, re.MULTILINE)


def test_ablate_again_runs_nothing_and_prints_the_same_table(study, boostlora, finished):
    before = digests(study / "runs")
    done = boostlora("ablate", "tiny.toml")
    assert "6 of 6 cells cached\n" in done.stdout
    assert "completed after" not in done.stdout
    assert (
        done.stdout[done.stdout.index("\narm") :] == finished[1].stdout[finished[1].stdout.index("\narm") :]
    )
    assert digests(study / "runs") == before


def test_ablate_extended_by_seeds_and_arms_runs_only_the_new_cells(study, boostlora):
    done = boostlora(
        "ablate",
        "tiny.toml",
        "--set",
        "ablate.seeds=3",
        "--set",
        'ablate.grid."basis.use"=["rotate", "fixed"]',
    )
    assert "4 of 6 cells cached · 2 to run" in done.stdout
    assert len(list((study / "runs/tiny/study").glob("study-*.json"))) == 1


def test_ablate_uses_cells_of_other_studies_and_of_plain_runs(study, boostlora):
    write(study, TINY.replace('name = "tiny"', 'name = "other"'), "other.toml")
    done = boostlora("ablate", "other.toml")
    assert "6 of 6 cells cached" in done.stdout
    assert not list((study / "runs/other").glob("*/rounds.jsonl"))


def test_ablate_json_prints_cells_and_the_comparison(tmp_path, boostlora):
    write(tmp_path)
    done = boostlora("ablate", "tiny.toml", "--set", "ablate.seeds=1", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [e["event"] for e in events] == ["study_started", *["cell_finished"] * 3, "study_finished"]
    assert events[0]["cells"] == 3
    assert {e["arm"] for e in events[1:-1]} == {"rotate", "random", "fixed"}
    assert len(events[-1]["rows"]) == 3


def test_ablate_quiet_prints_only_the_folder(study, boostlora):
    assert boostlora("ablate", "tiny.toml", "--quiet").stdout == "runs/tiny/study\n"


def test_check_of_a_study_prints_arms_cells_and_cost(study, boostlora):
    done = boostlora("check", "tiny.toml", "--set", "ablate.seeds=4")
    assert done.returncode == 0
    assert "3 arms · 4 seeds · 12 cells · executor local" in done.stdout
    assert re.search(r"^fixed \(baseline\) +3 +5 +16 +48 +4$", done.stdout, re.MULTILINE)
    assert "to run: 6 cells (6 finished), 18 rounds, 90 optimiser steps" in done.stdout
    assert re.search(r"^time: about .* estimated from 6 finished runs", done.stdout, re.MULTILINE)
    assert len(re.findall(r"^[0-9a-f]{12}  .* seed \d$", done.stdout, re.MULTILINE)) == 12


def test_check_of_a_study_prints_the_plan_as_json(study, boostlora):
    content = json.loads(boostlora("check", "tiny.toml", "--json").stdout)
    assert (content["finished"], content["cost"]["cells"], len(content["cells"])) == (6, 0, 6)
    assert [arm["parameters"] for arm in content["arms"]] == [16, 16, 16]


def test_invalid_study_is_refused_before_anything_is_written(tmp_path, boostlora):
    write(tmp_path)
    done = boostlora("ablate", "tiny.toml", "--set", "rounds=9")
    assert done.returncode == 2
    assert 'arm "rotate" cannot be run: layers.1.weight 12x16 has 12 singular directions' in done.stderr
    assert not (tmp_path / "runs").exists()


def test_invalid_tuned_value_is_refused_before_anything_is_written(tmp_path, boostlora):
    write(tmp_path, TINY + "tune.rounds = [2, 9]\n")
    done = boostlora("ablate", "tiny.toml")
    assert (done.returncode, 'arm "rotate" cannot be run' in done.stderr) == (2, True)
    assert not (tmp_path / "runs").exists()


def test_run_and_ablate_refuse_each_others_specs(study, boostlora):
    wrong = boostlora("run", "tiny.toml")
    assert wrong.returncode == 2
    assert "run it with: boostlora ablate tiny.toml" in wrong.stderr
    wrong = boostlora("ablate", "paper/digits")
    assert wrong.returncode == 2
    assert "run it with: boostlora run paper/digits" in wrong.stderr


def test_failing_cells_are_recorded_and_the_others_finish(tmp_path, boostlora):
    (tmp_path / "brittle.py").write_text(FAILING)
    write(tmp_path, TINY + '\n[[ablate.case]]\nname = "broken"\nset."sampler.use" = "brittle"\n')
    done = boostlora("ablate", "tiny.toml", "--plugin", "brittle.py", "--set", "ablate.seeds=1")
    assert done.returncode == 3
    assert 'broken · seed 0: failed: sampler plugin "brittle": raised ValueError: it broke' in done.stdout
    assert "1 cell failed" in done.stderr
    told = boostlora("status", "tiny")
    assert "raised ValueError: it broke" in told.stdout
    failure = next((tmp_path / "runs/tiny/study/failures").glob("*.json"))
    assert "Traceback" in json.loads(failure.read_text())["traceback"]
    again = boostlora("ablate", "tiny.toml", "--plugin", "brittle.py", "--set", "ablate.seeds=1")
    assert "3 of 4 cells cached · 1 failed before (retry them with --retry)" in again.stdout
    assert again.returncode == 3


@pytest.fixture
def dying(tmp_path):
    """A study of one cell, whose worker dies in the second round; returns the plugin that kills it."""
    code = FAILING.replace('raise ValueError("it broke")', "import os; os._exit(1)")
    (tmp_path / "brittle.py").write_text(code)
    study = TINY + '\n[sampler]\nuse = "brittle"\nfail_at = 3\n'
    write(tmp_path, study.replace("seeds = 2", "seeds = 1").replace('"rotate", "random", ', ""))
    return ("--plugin", "brittle.py")


@pytest.mark.slow(reason="three workers that die; a lost cell is in tests/executors")
def test_cell_fails_after_its_worker_died_repeatedly(dying, boostlora):
    done = boostlora("ablate", "tiny.toml", *dying, workers=True)
    assert "its worker ended with exit code 1 (3 times)" in done.stdout
    assert done.returncode == 3


@pytest.mark.slow(reason="six workers that die")
def test_retry_resumes_failed_cells(dying, boostlora):
    assert boostlora("ablate", "tiny.toml", *dying, workers=True).returncode == 3
    done = boostlora("ablate", "tiny.toml", *dying, "--retry", workers=True)
    assert "1 to run" in done.stdout
    assert done.returncode == 3


def test_excluded_cells_do_not_run_until_they_are_included(study, boostlora):
    done = boostlora("ablate", "tiny.toml", "--exclude", "random", "--exclude", "seed=1")
    assert "2 of 2 cells cached · 4 excluded" in done.stdout
    assert "4 excluded" in boostlora("ablate", "tiny.toml").stdout
    assert (
        "excluded"
        not in boostlora("ablate", "tiny.toml", "--include", "random", "--include", "seed=1").stdout
    )
    wrong = boostlora("ablate", "tiny.toml", "--exclude", "rotat")
    assert wrong.returncode == 2
    assert 'did you mean "rotate"?' in wrong.stderr


def test_status_lists_studies_and_cells(study, boostlora):
    assert re.search(r"rotate +━+ +2/2 +6/6", boostlora("status").stdout)
    cells = boostlora("status", "tiny", "--cells").stdout
    assert len(re.findall(r"^finished +[0-9a-f]{12}  .* 3 rounds · completed$", cells, re.MULTILINE)) == 6
    content = json.loads(boostlora("status", "runs/tiny", "--json").stdout)
    assert content["counts"] == {"finished": 6}
    wrong = boostlora("status", "tinny")
    assert (wrong.returncode, 'did you mean "tiny"?' in wrong.stderr) == (2, True)


def test_collect_compares_the_finished_cells(study, boostlora):
    done = boostlora("collect", "tiny")
    assert done.returncode == 0
    assert re.search(r"^rotate .* too few seeds$", done.stdout, re.MULTILINE)


def test_recorded_study_spec_runs_the_same_cells(study, boostlora):
    done = boostlora("ablate", "runs/tiny/study/study.toml")
    assert "6 of 6 cells cached" in done.stdout
