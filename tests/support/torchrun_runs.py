"""One small run of rewards in several processes, or in one, and what both must have in common."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.testing import assert_close

from .commands import PATIENCE, SCRIPT
from .forked import forked
from .places import ROOT, SUPPORT

PLUGIN = SUPPORT / "torchrun_plugin.py"

SPEC = """
name = "sums"
rounds = 2

[task]
use = "weighed"
train = 40
validation = 20
test = 20
source = 200
max_new_tokens = 5

[model]
use = "scratch-causal-lm"
layers = 1
hidden = 16
heads = 2
intermediate = 32
max_length = 64
pretrain_steps = 60

[adapter]
rank = 2
u = 4

[optimizer]
steps = 3
batch_size = 5
lr = 0.1

[backend]
use = "torch"
device = "cpu"
dtype = "float64"
threads = 1
eval_tokens = 128
"""
GRPO = ("objective.use=grpo", "objective.group_size=4", "objective.iterations=2", "objective.kl=0.1")
IDLE = ("optimizer.batch_size=1", "backend.micro_batch=1")


def arguments(settings):
    return [word for setting in settings for word in ("--set", setting)]


def together(count, command, folder, **more):
    """Start a command as torchrun does, in processes that are a session of their own."""
    environment = {k: v for k, v in os.environ.items() if k not in {"RANK", "WORLD_SIZE", "LOCAL_RANK"}}
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count), *map(str, command)],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)} | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_together(folder, *settings, verb=None, count=2, **more):
    """The outcome of `boostlora run` in several processes: exit code, what was printed, what was told."""
    (folder / "sums.toml").write_text(SPEC)
    words = verb or ["run", "sums.toml", "--runs", "runs"]
    command = ["--no-python", SCRIPT, *words, "--plugin", PLUGIN, *arguments(settings)]
    process = together(count, command, folder, **more)
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, out, err


def run_forked(folder, *settings, verb=None, count=2, **more):
    """The same in processes that are forked from this one, which have imported what it has."""
    from boostlora.engine.cli import main

    (folder / "sums.toml").write_text(SPEC)
    words = map(str, verb or ["run", "sums.toml", "--runs", "runs"])
    argv = ["boostlora", *words, "--plugin", str(PLUGIN), *arguments(settings)]

    def call():
        sys.argv = argv
        main()

    return forked(count, call, folder, **more)


def run_alone(folder, *settings):
    (folder / "alone.toml").write_text(SPEC)
    registry = Registry.load((PLUGIN,))
    spec = load_spec(str(folder / "alone.toml"), registry, settings)
    directory = RunDirectory.create(folder / "alone", spec)
    boost(prepare(spec), directory, registry, RunContext())
    return directory


def only_run(folder):
    (path,) = (p.parent for p in folder.glob("*/*/spec.toml"))
    return RunDirectory.open(path)


def assert_same_way(one, two):
    """The same choices and texts, and numbers that differ by roundings of float64 alone."""
    assert len(one.records) == len(two.records) == 3
    for a, b in zip(one.records, two.records, strict=True):
        for field in ("status", "selected", "trained_on", "failures", "lost", "gained", "parameters"):
            assert getattr(a, field) == getattr(b, field), field
        assert a.rollouts == b.rollouts
        left, right = one.outcomes(a.round), two.outcomes(b.round)
        for split, outcome in left.items():
            np.testing.assert_array_equal(right[split].correct, outcome.correct)
            np.testing.assert_array_equal(right[split].reward, outcome.reward)
            assert right[split].texts == outcome.texts
            assert_close(right[split].loss, outcome.loss, atol=1e-12, what=f"round {a.round}, {split}: loss")
        if a.round:
            assert a.loss_last == pytest.approx(b.loss_last, abs=1e-12)
            for site, update in one.updates(a.round).items():
                core = two.updates(b.round)[site].core
                assert_close(core, update.core, atol=1e-11, what=f"round {a.round}: {site}")
