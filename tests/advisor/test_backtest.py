import json

import pytest

from boostlora.engine.advisor.arm_ranking import ArmEnergy, judge

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


def test_pick_that_is_the_best_is_a_hit_with_its_rank_correlation():
    found = judge([arm("a", 0.1, 0.5), arm("b", 0.9, 0.8), arm("c", 0.5, 0.6)], "first", lower=False)
    assert (found.picked, found.best, found.hit, found.lost) == ("b", "b", True, 0.0)
    assert found.spearman == pytest.approx(1.0)


def test_pick_that_is_worse_is_a_miss_that_says_by_how_much():
    found = judge([arm("a", 0.1, 0.75), arm("b", 0.9, 0.5)], "together", lower=False)
    assert (found.picked, found.best, found.hit, found.lost, found.spearman) == ("b", "a", False, 0.25, None)


def test_metric_that_is_to_be_small_turns_the_order():
    arms = [arm("a", 0.1, 2.0), arm("b", 0.9, 1.0), arm("c", 0.5, 1.5)]
    found = judge(arms, "first", lower=True)
    assert (found.hit, found.spearman) == (True, pytest.approx(1.0))


@pytest.fixture
def study(boostlora, tmp_path):
    (tmp_path / "held.toml").write_text(STUDY)
    assert boostlora("ablate", "held.toml", "--quiet").returncode == 0
    return "held"


def test_finished_study_is_held_against_by_the_command_line(boostlora, study):
    done = boostlora("advise", "--against", study)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 120
    assert any("advised, looking through the spec of random: gradient, lora-xs" in line for line in lines)
    assert any(line.startswith("  basis    gradient: hit, against random +") for line in lines)
    assert any(line.startswith("  rounds   boosting: ") and "against one shot" in line for line in lines)
    assert any("not asked" in line for line in lines if line.startswith("  core"))
    assert "of 2 hit" in done.stdout
    assert "not judged: full, base" in done.stdout

    content = json.loads(boostlora("advise", "--against", study, "--json").stdout)
    basis = next(judged for judged in content["judged"] if judged["question"] == "basis")
    (pair,) = basis["pairs"]
    ended = {arm["arm"]: arm["metric"] for arm in content["arms"]}
    assert (basis["outcome"], pair["arm"], pair["other"]) == ("hit", "gradient", "random")
    difference = sum(pair["differences"]) / 2
    assert difference == pytest.approx(ended["gradient"] - ended["random"])
    assert {verdict["arms"] for verdict in content["verdicts"]} == {3}


def test_spec_beside_a_study_is_refused_with_what_to_type(boostlora):
    done = boostlora("advise", "quickstart", "--against", "held")
    assert done.returncode == 2
    assert "boostlora advise --against held" in done.stderr


def test_study_that_is_not_there_or_not_begun_is_refused(boostlora):
    done = boostlora("advise", "--against", "nothing")
    assert done.returncode == 2
    assert "run one with: boostlora ablate SPEC" in done.stderr
