import pytest

from boostlora.engine.advising.holding import ArmHeld, judge

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
grid."basis.use" = ["gradient", "random"]
baseline."basis.use" = "random"
seeds = 1
"""


def arm(name, first, metric, together=None):
    return ArmHeld(
        arm=name,
        block="",
        basis=name,
        adapter="lora-xs",
        rank=4,
        rounds=4,
        first=first,
        together=first if together is None else together,
        metric=metric,
    )


def test_pick_that_is_the_best_is_a_hit_with_its_rank_correlation():
    found = judge([arm("a", 0.1, 0.5), arm("b", 0.9, 0.8), arm("c", 0.5, 0.6)], "first", "", lower=False)
    assert (found.picked, found.best, found.hit, found.lost) == ("b", "b", True, 0.0)
    assert found.spearman == pytest.approx(1.0)


def test_pick_that_is_worse_is_a_miss_that_says_by_how_much():
    found = judge([arm("a", 0.1, 0.75), arm("b", 0.9, 0.5)], "together", "", lower=False)
    assert (found.picked, found.best, found.hit, found.lost, found.spearman) == ("b", "a", False, 0.25, None)


def test_metric_that_is_to_be_small_turns_the_order():
    arms = [arm("a", 0.1, 2.0), arm("b", 0.9, 1.0), arm("c", 0.5, 1.5)]
    found = judge(arms, "first", "", lower=True)
    assert (found.hit, found.spearman) == (True, pytest.approx(1.0))


def test_arms_without_frames_are_not_ranked():
    assert judge([arm("a", 0.1, 0.5), arm("full", None, 0.9)], "first", "", lower=False) is None


def test_finished_study_is_held_against_by_the_command_line(boostlora, tmp_path):
    (tmp_path / "held.toml").write_text(STUDY)
    assert boostlora("ablate", "held.toml", "--quiet").returncode == 0
    done = boostlora("advise", "--against", "held")
    assert (done.returncode, done.stderr) == (0, "")
    assert "by the next round alone, gradient ranks first" in done.stdout
    assert "of 2 hit" in done.stdout


def test_study_that_is_not_there_or_not_begun_is_refused(boostlora):
    done = boostlora("advise", "--against", "nothing")
    assert done.returncode == 2
    assert "run one with: boostlora ablate SPEC" in done.stderr
