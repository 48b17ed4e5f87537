"""What the plan of a spec says of the options in `[boosting]`, and the hash that a spec without them keeps."""

import json
import re

import pytest

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.options import LARGE
from boostlora.engine.spec.resolve import load_spec

from .boosting_toys import settings_of

QUICKSTART = "ed0b90261b1b"


def notes(registry, *settings):
    return [
        n
        for n in prepare(load_spec("paper/digits", registry, settings)).plan.notes
        if n.startswith("boosting")
    ]


NOTED = {
    "sites": (["boosting.top_sites=1"], ["boosting.top_sites=2"], "boosting.top_sites = 2 has no effect: it selects all 2 sites. Set it below 2"),
    "refits": (
        ["boosting.refit_every=15"],
        ["boosting.refit_every=16"],
        "boosting.refit_every = 16 has no effect: the first refit would be round 17 of 16. Set it below 16",
    ),
    "tied numbers": (
        ["boosting.refit_every=3"],
        ["adapter.tie=all", "boosting.refit_every=3", "rounds=200", "basis.use=random", "adapter.rank=12"],
        "boosting.refit_every: the last refit trains 1,200 parameters, and their projections take 62.2 GB of memory. Lower rounds or adapter.rank to need less",
    ),
    "size": (
        ["adapter.use=lora-xs", "boosting.refit_every=3"],
        ["adapter.use=lora-xs", "boosting.refit_every=3", "rounds=200", "basis.use=random", "adapter.rank=6"],
        "boosting.refit_every: the last refit trains 10,800 parameters, and their projections take 70.0 GB of memory. Lower rounds or adapter.rank to need less",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("good", "odd", "note"), NOTED.values(), ids=NOTED.keys())
def test_options_without_effect_are_noted(good, odd, note, registry):
    assert notes(registry, *good) == []
    assert notes(registry, *odd) == [note]


def test_note_on_large_refits_appears_above_the_threshold(registry):
    """Eight bytes of `t u (t r)^2` numbers a site, of those rounds that the last refit trains again."""
    for rounds in (40, 58, 59, 60, 80, 100):
        fresh = 3 * (rounds // 4)
        size = 2 * 8 * fresh * 16 * (fresh * 4) ** 2
        found = notes(
            registry, "adapter.use=lora-xs", "boosting.refit_every=3", "basis.use=random", f"rounds={rounds}"
        )
        assert bool(found) == (size > LARGE)


def test_neutral_boosting_options_do_not_change_the_hash(registry):
    def short(*settings):
        return load_spec("paper/digits", registry, settings).short_hash

    assert short() == QUICKSTART
    neutral = [
        "subsample=1.0",
        "subsample=1",
        "top_sites=0",
        "refit_every=0",
        "refit_lr=0",
    ]
    assert {short(f"boosting.{setting}") for setting in neutral} == {QUICKSTART}
    others = [
        "subsample=0.5",
        "top_sites=1",
        "refit_every=3",
        "refit_lr=0.1",
        "refit_steps=2",
    ]
    found = {short(f"boosting.{setting}") for setting in others}
    assert len(found | {QUICKSTART}) == len(others) + 1


def test_check_prints_calibration_and_refits(boostlora):
    settings = settings_of(["basis.use=gradient", "boosting.refit_every=3"])
    answer = boostlora("check", "paper/digits", *settings)
    assert answer.returncode == 0, answer.stderr
    assert "trained parameters: 16 a round, 192 in 12 rounds, trained again in 4 refits\n" in answer.stdout
    assert re.search(
        r"\nbasis gradient: calibrates on 256 chosen examples before every round, in 2 passes; ",
        answer.stdout,
    )
    plan = json.loads(boostlora("check", "paper/digits", *settings, "--json").stdout)["plan"]
    assert plan["calibration"] == {
        "source": "chosen",
        "examples": 256,
        "batches": 8,
        "passes": 2,
        "columns": 12,
    }
    assert plan["calibration_bytes"] == 2 * 8 * 12 * (128 + 64 + 128 + 128)


@pytest.mark.parametrize(
    ("steps", "batches", "told"),
    [(8, 8, "1 pass"), (9, 8, "2 passes"), (8, 1, "8 passes"), (3, 8, "1 pass")],
)
def test_check_counts_probe_steps_as_fractions_of_passes(boostlora, steps, batches, told):
    settings = settings_of(["basis.use=probe", f"basis.steps={steps}", f"basis.batches={batches}"])
    answer = boostlora("check", "paper/digits", *settings)
    assert f"calibrates on 256 chosen examples before every round, in {told}; " in answer.stdout, (
        answer.stderr
    )


def test_check_without_boosting_options_does_not_mention_them(boostlora):
    text = boostlora("check", "paper/digits").stdout
    assert "calibrates" not in text
    assert "refit" not in text
    plan = json.loads(boostlora("check", "paper/digits", "--json").stdout)["plan"]
    assert "calibration" not in plan


def test_top_sites_costs_one_more_pass_and_is_printed(boostlora):
    settings = settings_of(["basis.use=gradient", "boosting.top_sites=1"])
    assert ", in 3 passes" in boostlora("check", "paper/digits", *settings).stdout
    alone = boostlora("check", "paper/digits", "--set", "boosting.top_sites=1").stdout
    assert "256 chosen examples before every round, in 1 pass" in alone


def test_spec_with_refits_runs_shows_and_resumes(boostlora):
    words = settings_of(
        ["boosting.refit_every=3", "rounds=4", "optimizer.steps=5", "model.epochs=3", "backend.threads=1"]
    )
    answer = boostlora("run", "paper/digits", *words, "--runs", "runs")
    assert answer.returncode == 0, answer.stderr
    assert "completed: all 4 rounds done" in answer.stdout
    shown = boostlora("show", "paper-digits", "--runs", "runs")
    assert shown.returncode == 0, shown.stderr
    rows = [line.split() for line in shown.stdout.splitlines()]
    (last,) = (row for row in rows if row[:1] == ["4"])
    assert "48" in last, "three rounds' numbers trained again"
    again = boostlora("run", "paper/digits", *words, "--runs", "runs")
    assert "nothing to do" in again.stdout
