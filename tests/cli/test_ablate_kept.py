"""What a study keeps, replaces and refuses: its record, its exclusions, its name."""

import json
import re
import shutil

import pytest

from ..support.earlier_run import make_earlier, make_earlier_lines
from .tiny_study import TINY, write

ABSENT = """
import attrs
from boostlora.engine.errors import UsageError
from boostlora.engine.hookspecs import hookimpl


@attrs.frozen
class Absent:
    def check(self):
        raise UsageError("its library is missing")

    def follow(self, run):
        raise NotImplementedError


@hookimpl
def register_trackers(register):
    register("absent", Absent)
"""


@pytest.fixture
def small(tmp_path, boostlora):
    """A finished study of three cells, in the test's folder."""
    write(tmp_path, TINY.replace("seeds = 2", "seeds = 1").replace("rounds = 3", "rounds = 1"))
    assert boostlora("ablate", "tiny.toml").returncode == 0
    return tmp_path


def test_refused_fresh_run_keeps_the_earlier_run(small, boostlora):
    (small / "plain.toml").write_text((small / "tiny.toml").read_text().partition("[ablate]")[0])
    (small / "absent.py").write_text(ABSENT)
    options = ("--plugin", "absent.py", "--set", "sampler.use=all")
    assert boostlora("run", "plain.toml", *options).returncode == 0
    before = sorted(path.name for path in (small / "runs/tiny").iterdir())
    done = boostlora("run", "plain.toml", *options, "--fresh", "--track", "absent")
    assert (done.returncode, done.stderr) == (2, "error: its library is missing\n")
    assert sorted(path.name for path in (small / "runs/tiny").iterdir()) == before


@pytest.mark.parametrize("rewrite", [make_earlier, make_earlier_lines])
@pytest.mark.parametrize("command", ["ablate", "check"])
def test_cells_of_an_earlier_format_are_refused_in_one_line(small, boostlora, command, rewrite):
    cells = sorted(path.parent for path in small.glob("runs/tiny/*/rounds.jsonl"))
    rewrite(cells[1])
    (cells[1] / "result.json").unlink()  # nor does an interrupted one go on
    told = "written by an earlier format, which this version does not read; remove the folder"
    study = (small / "runs/tiny/study/study.json").read_bytes()

    def answer():
        done = boostlora(command, "tiny.toml")
        return done.returncode, done.stderr, done.stdout

    assert answer() == (3, f"error: runs/tiny/{cells[1].name}: {told}, and run the study again\n", "")
    for cell in (cells[0], cells[2]):
        rewrite(cell)
    code, said, printed = answer()
    named, _, rest = said.removeprefix("error: ").partition(": ")
    assert (code, rest, printed) == (3, f"{told}s, and run the study again\n", "")
    assert set(named.split(", ")) == {f"runs/tiny/{cell.name}" for cell in cells}
    assert (small / "runs/tiny/study/study.json").read_bytes() == study


def test_cell_of_an_earlier_format_that_is_excluded_or_removed_is_no_obstacle(small, boostlora):
    for path in small.glob("runs/tiny/*/spec.toml"):
        if 'use = "random"' in path.read_text().partition("[basis]")[2].partition("\n[")[0]:
            make_earlier_lines(path.parent)
            earlier = path.parent
    assert boostlora("ablate", "tiny.toml", "--exclude", "random").returncode == 0
    assert boostlora("ablate", "tiny.toml", "--include", "random").returncode == 3
    shutil.rmtree(earlier)
    done = boostlora("ablate", "tiny.toml", "--include", "random")
    assert (done.returncode, "2 of 3 cells cached" in done.stdout) == (0, True)


def test_damaged_cell_is_not_taken_for_one_of_an_earlier_format(small, boostlora):
    first = next(small.glob("runs/tiny/*/rounds.jsonl"))
    first.write_bytes(b"[]\n")
    done = boostlora("ablate", "tiny.toml")
    assert "earlier format" not in done.stdout + done.stderr


def test_check_and_status_show_excluded_cells(small, boostlora):
    assert boostlora("ablate", "tiny.toml", "--exclude", "random", "--quiet").returncode == 0
    assert "3 arms · 1 seed · 2 cells (1 excluded)" in boostlora("check", "tiny.toml").stdout
    assert "1 cell excluded" in boostlora("status", "tiny").stdout


def test_resolved_study_has_the_same_cells(small, boostlora):
    (small / "whole.toml").write_text(boostlora("check", "tiny.toml", "--resolved").stdout)
    assert "extends" not in (small / "whole.toml").read_text()
    assert "3 of 3 cells cached" in boostlora("ablate", "whole.toml").stdout


def test_another_study_of_the_same_name_gives_a_warning(small, boostlora):
    text = (small / "tiny.toml").read_text().replace("steps = 5", "steps = 6")
    done = boostlora("ablate", write(small, text, "other.toml"))
    assert 'warning: another study has the name "tiny"' in done.stderr
    assert len(list((small / "runs/tiny/study").glob("study-*.json"))) == 1
    more = boostlora("ablate", "other.toml", "--set", "ablate.seeds=2")
    assert "warning" not in more.stderr


def test_recorded_executor_is_kept_if_no_cell_runs(small, boostlora):
    done = boostlora("ablate", "tiny.toml", "--executor", "slurm")
    assert re.search(r"^rotate ", done.stdout, re.MULTILINE)
    assert json.loads((small / "runs/tiny/study/study.json").read_text())["executor"] == "local"


def test_report_shows_the_command_without_past_exclusions(small, boostlora):
    boostlora("ablate", "tiny.toml", "--set", "ablate.seeds=2", "--exclude", "random")
    assert boostlora("report", "tiny", "--format", "md").returncode == 0
    told = (small / "runs/tiny/report/report.md").read_text()
    assert "boostlora ablate tiny.toml --set ablate.seeds=2\n" in told


def test_report_of_a_study_goes_before_those_of_its_runs_and_its_folder_is_the_study(small, boostlora):
    (cell, *_) = sorted(path.parent for path in (small / "runs/tiny").glob("*/spec.toml"))
    for name in ("tiny", "runs/tiny", "runs/tiny/study"):
        boostlora("report", name, "--format", "md")
        assert "## Cost" in (small / "runs/tiny/report/report.md").read_text(), name
        (small / "runs/tiny/report/report.md").unlink()
    assert boostlora("report", str(cell), "--format", "md").returncode == 0
    assert "## Samples" in (cell / "report/report.md").read_text()
    done = boostlora("report", "tinny")
    assert (done.returncode, 'no study or run "tinny"; did you mean "tiny"?' in done.stderr) == (2, True)


def test_study_description_is_its_own_not_that_of_the_extended_spec(small, boostlora):
    assert "boosted in gradient directions" not in boostlora("check", "tiny.toml").stdout
    own = TINY.replace("rounds = 3", 'rounds = 3\ndescription = "my question"')
    write(small, own, "own.toml")
    assert "my question" in boostlora("check", "own.toml", "--set", "ablate.seeds=1").stdout


def test_failures_are_printed_once_per_cause(small, boostlora):
    text = (small / "tiny.toml").read_text().replace("steps = 5", "steps = 5\nlr = 1e300")
    write(small, text, "hot.toml")
    done = boostlora("ablate", "hot.toml", "--set", "name=hot")
    assert done.returncode == 3
    told = boostlora("status", "hot").stdout
    assert 1 <= told.count("failed: round 1 was refused") <= 3
    assert "retry: boostlora ablate runs/hot/study/study.toml --retry" in told
