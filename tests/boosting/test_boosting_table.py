"""What may stand in `[boosting]`: in pairs of what is taken and what is refused, before any work."""

import pytest

from .boosting_toys import settings_of

ALLOWED = "allowed: ranks, subsample, top_sites, refit_every, refit_steps, refit_lr"
PAIRS = {
    "key": ("boosting.refit_every=3", "boosting.refitevery=3", [
        '1:1: unknown key "refitevery"', ALLOWED, 'did you mean "refit_every"?']),
    "far-off key": ("boosting.subsample=0.5", "boosting.momentum=0.5", [
        '1:1: unknown key "momentum"', ALLOWED]),
    "no share": ("boosting.subsample=0.01", "boosting.subsample=0", [
        '1:20: "subsample" must be more than 0 and at most 1, not 0.0']),
    "too much": ("boosting.subsample=1", "boosting.subsample=1.01", [
        '"subsample" must be more than 0 and at most 1, not 1.01']),
    "share of words": ("boosting.subsample=1.0", 'boosting.subsample="half"', [
        'boosting.subsample: expected a number, got "half"']),
    "negative sites": ("boosting.top_sites=0", "boosting.top_sites=-1", [
        '"top_sites" must be at least 0, not -1']),
    "broken sites": ("boosting.top_sites=1", "boosting.top_sites=1.5", [
        "boosting.top_sites: expected a whole number, got 1.5"]),
    "truth": ("boosting.refit_every=1", "boosting.refit_every=true", [
        "boosting.refit_every: expected a whole number, got true"]),
    "negative refits": ("boosting.refit_every=0", "boosting.refit_every=-2", [
        '"refit_every" must be at least 0, not -2']),
    "negative steps": ("boosting.refit_steps=9", "boosting.refit_steps=-9", [
        '"refit_steps" must be at least 0, not -9']),
    "negative rate": ("boosting.refit_lr=0.1", "boosting.refit_lr=-0.1", [
        '"refit_lr" must be at least 0, not -0.1']),
    "infinite rate": ("boosting.refit_lr=1e3", "boosting.refit_lr=inf", [
        "boosting.refit_lr: expected a finite number, got inf"]),
    "no rank": ("boosting.ranks=[1]", "boosting.ranks=[4, 0]", [
        '"ranks" must be whole numbers of at least 1, not [4, 0]']),
    "one rank": ("boosting.ranks=[4]", "boosting.ranks=4", [
        "boosting.ranks: expected a list, each item a whole number, got 4"]),
    "half a rank": ("boosting.ranks=[4, 2]", "boosting.ranks=[4, 2.5]", [
        "boosting.ranks.1: expected a whole number, got 2.5"]),
    "no table": ("boosting={}", "boosting=3", ["boosting must be a table, got 3", "allowed: [boosting]"]),
}  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_boosting_table_accepts_valid_and_refuses_invalid_options(pair, boostlora, tmp_path):
    good, bad, told = pair
    taken = boostlora("check", "paper/digits", "--set", good)
    assert taken.returncode == 0, taken.stderr
    for verb in ("check", "run"):
        refused = boostlora(verb, "paper/digits", "--set", bad)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert [text for text in told if text not in refused.stderr] == [], refused.stderr
    assert not list(tmp_path.iterdir()), "something was done"


IN_FRAMES = (
    "boosting.{} needs an adapter that trains cores in frames, and adapter {} does not; switch it off ({}), or use lora-xs, "
    "diagonal or tinylora"
)
FIT = {
    "sites": (
        ["boosting.top_sites=1"],
        "full",
        IN_FRAMES.format("top_sites = 1", "full", "--set boosting.top_sites=0"),
    ),
    "refits": (
        ["boosting.refit_every=3"],
        "lora",
        IN_FRAMES.format("refit_every = 3", "lora", "--set boosting.refit_every=0"),
    ),
    "two": (
        ["boosting.refit_every=3", "boosting.top_sites=1"],
        "lora",
        IN_FRAMES.format("top_sites = 1", "lora", "--set boosting.top_sites=0 --set boosting.refit_every=0"),
    ),
}


@pytest.mark.parametrize(("options", "adapter", "message"), FIT.values(), ids=FIT.keys())
def test_frame_options_are_refused_for_adapters_without_frames(
    options, adapter, message, boostlora, tmp_path
):
    assert boostlora("check", "paper/digits", *settings_of(options)).returncode == 0
    for verb in ("check", "run"):
        refused = boostlora(verb, "paper/digits", *settings_of([*options, f"adapter.use={adapter}"]))
        assert (refused.returncode, refused.stderr) == (2, f"error: {message}\n")
    assert not list(tmp_path.iterdir()), "something was done"


def test_quickstart_with_an_incompatible_adapter_names_settings_that_work(boostlora):
    words = ["check", "quickstart", "--set", "adapter.use=lora"]
    refused = boostlora(*words)
    assert refused.returncode == 2
    assert (
        "boosting.refit_every = 4 needs an adapter that trains cores in frames, and adapter lora does not"
        in refused.stderr
    )
    advice = refused.stderr.partition("(")[2].partition(")")[0]
    assert advice == "--set boosting.refit_every=0"
    taken = boostlora(*words, *advice.split())
    assert taken.returncode == 0, taken.stderr


def test_subsample_works_with_any_adapter(boostlora):
    for adapter in ("lora", "full"):
        answer = boostlora(
            "check", "paper/digits", *settings_of(["boosting.subsample=0.5", f"adapter.use={adapter}"])
        )
        assert answer.returncode == 0, answer.stderr


REWARDS = """
name = "sums"
rounds = 2
task.use = "arithmetic"
model.use = "scratch-causal-lm"
objective.use = "grpo"
adapter.use = "lora-xs"
backend.use = "torch"
"""


RATELESS = """
import attrs
import numpy as np
from boostlora.engine.hookspecs import hookimpl


@attrs.frozen(kw_only=True)
class Steady:
    rule = "sgd"
    clip: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    steps: int = 3
    batch_size: int = 8

    def rates(self, round, rounds):
        return np.full(self.steps, 0.1)


@hookimpl
def register_optimizers(register):
    register("steady", Steady)
"""


def test_refit_lr_is_refused_for_an_optimizer_without_lr(boostlora, tmp_path):
    (tmp_path / "steady.py").write_text(RATELESS)
    (tmp_path / "s.toml").write_text(
        'name = "s"\nrounds = 4\ntask.use = "digits"\nmodel.use = "mlp"\noptimizer.use = "steady"\n'
        "adapter.rank = 2\nadapter.u = 3\nboosting.refit_every = 1\n"
    )
    plug = ("--plugin", tmp_path / "steady.py")
    taken = boostlora("check", "s.toml", *plug, "--set", "boosting.refit_steps=9")
    assert taken.returncode == 0, taken.stderr
    refused = boostlora("check", "s.toml", *plug, "--set", "boosting.refit_lr=0.1")
    assert refused.returncode == 2
    assert refused.stderr.endswith(
        "error: boosting.refit_lr = 0.1 sets the optimizer's lr in refits, and optimizer steady has no option lr, only: batch_size, clip, momentum, "
        "nesterov, steps, weight_decay; switch it off (--set boosting.refit_lr=0.0), or use an optimizer with that option\n"
    )
