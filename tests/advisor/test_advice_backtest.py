import json

import pytest
from arm_comparisons import ArmEnergy, judge

from ..support.commands import script
from ..support.places import ROOT

SCRIPT = ROOT / "benchmarks" / "advice_backtest.py"

STUDY = """
extends = "paper/digits"
name = "held"
rounds = 3

[model]
hidden = [24, 16]
epochs = 15

[adapter]
use = "lora-xs"
rank = 2

[optimizer]
steps = 5
lr = 0.1

[ablate]
baseline = "random"
seeds = 2

[[ablate.case]]
name = "gradient"
set.basis.use = "gradient"

[[ablate.case]]
name = "random"
set.basis.use = "random"

[[ablate.case]]
name = "gradient, one"
set.basis.use = "gradient"
set.rounds = 1

[[ablate.case]]
name = "full"
set.adapter.use = "full"

[[ablate.case]]
name = "base"
set.rounds = 0
"""


def arm(name, first, metric, together=None):
    return ArmEnergy(
        arm=name,
        block="",
        basis=name,
        adapter="lora-xs",
        rank=4,
        rounds=4,
        sampler="all",
        refits=False,
        first=first,
        together=first if together is None else together,
        metric=metric,
    )


def test_best_pick_is_a_hit_with_its_rank_correlation():
    found = judge([arm("a", 0.1, 0.5), arm("b", 0.9, 0.8), arm("c", 0.5, 0.6)], "first", lower=False)
    assert (found.picked, found.best, found.hit, found.lost) == ("b", "b", True, 0.0)
    assert found.spearman == pytest.approx(1.0)


def test_worse_pick_is_a_miss_with_its_difference():
    found = judge([arm("a", 0.1, 0.75), arm("b", 0.9, 0.5)], "together", lower=False)
    assert (found.picked, found.best, found.hit, found.lost, found.spearman) == ("b", "a", False, 0.25, None)


def test_lower_is_better_metric_reverses_the_order():
    arms = [arm("a", 0.1, 2.0), arm("b", 0.9, 1.0), arm("c", 0.5, 1.5)]
    found = judge(arms, "first", lower=True)
    assert (found.hit, found.spearman) == (True, pytest.approx(1.0))


@pytest.fixture
def study(boostlora, tmp_path):
    (tmp_path / "held.toml").write_text(STUDY)
    assert boostlora("ablate", "held.toml", "--quiet").returncode == 0
    return "held"


def test_advice_is_compared_with_a_finished_study(tmp_path, study):
    done = script(SCRIPT, study, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 120
    assert any("advice for the spec of random: gradient, lora-xs" in line for line in lines)
    assert any(line.startswith("  basis    gradient: hit, against random +") for line in lines)
    assert any(line.startswith("  rounds   boosting: ") and "against one shot" in line for line in lines)
    assert any("not compared" in line for line in lines if line.startswith("  core"))
    assert "of 2 hit" in done.stdout
    assert "not compared: full, base" in done.stdout

    content = json.loads(script(SCRIPT, study, "--json", cwd=tmp_path).stdout)
    basis = next(judged for judged in content["judged"] if judged["topic"] == "basis")
    (pair,) = basis["pairs"]
    ended = {arm["arm"]: arm["metric"] for arm in content["arms"]}
    assert (basis["outcome"], pair["arm"], pair["other"]) == ("hit", "gradient", "random")
    difference = sum(pair["differences"]) / 2
    assert difference == pytest.approx(ended["gradient"] - ended["random"])
    assert {verdict["arms"] for verdict in content["verdicts"]} == {3}


def test_study_that_does_not_exist_is_refused(tmp_path):
    done = script(SCRIPT, "nothing", cwd=tmp_path)
    assert done.returncode == 2
    assert "run one with: boostlora ablate SPEC" in done.stderr
