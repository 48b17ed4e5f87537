"""Whole runs on the torch backend: the reference's trajectory, and the same bits after an interruption."""

import numpy as np
import pytest

from boostlora.engine.boosting.experiment import prepare
from boostlora.engine.boosting.loop import boost
from boostlora.engine.foundation.run_context import RunContext
from boostlora.engine.hookspecs import hookimpl
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.resolve import load_spec
from boostlora.engine.testing import assert_close

pytest.importorskip("torch", reason="the torch backend needs PyTorch")


class Ears:
    """Notes what every round was to be trained on, and presses Ctrl-C at the end of one, if asked to."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after

    @hookimpl
    def round_finished(self, record):
        if record.round == self.stop_after:
            raise KeyboardInterrupt


def run_cell(path, *settings, stop_after=None):
    registry = Registry.load()
    registry.manager.register(Ears(stop_after), name="ears")
    spec = load_spec("paper/digits", registry, settings)
    directory = RunDirectory.create(path, spec)
    if stop_after is None:
        boost(prepare(spec), directory, registry, RunContext())
    else:
        with pytest.raises(KeyboardInterrupt):
            boost(prepare(spec), directory, registry, RunContext())
    return RunDirectory.open(path)


TORCH = ("backend.use=torch", "backend.device=cpu")


@pytest.mark.parametrize(
    ("adapter", "lr", "error"),
    [("tinylora", 0.3, 1e-10), ("lora-xs", 0.1, 1e-10), ("lora", 0.01, 1e-8)],
    ids=["tinylora", "lora-xs", "lora"],
)
@pytest.mark.parametrize(
    "angle",
    [90.0, pytest.param(45.0, marks=pytest.mark.slow(reason="runs on the reference, at another shift"))],
)
def test_digits_in_float64_follow_the_references_trajectory(adapter, lr, error, angle, tmp_path):
    settings = (f"task.angle={angle}", f"adapter.use={adapter}", "rounds=8", f"optimizer.lr={lr}")
    truth = run_cell(tmp_path / "reference", *settings)
    found = run_cell(tmp_path / "torch", *settings, *TORCH, "backend.dtype=float64")
    assert len(truth.records) == len(found.records) == 9
    for one, two in zip(truth.records, found.records, strict=True):
        assert (one.failures, one.selected, one.trained_on) == (two.failures, two.selected, two.trained_on)
        a, b = truth.outcomes(one.round), found.outcomes(two.round)
        for split, outcome in a.items():
            np.testing.assert_array_equal(outcome.ids, b[split].ids)
            np.testing.assert_array_equal(outcome.prediction, b[split].prediction)
            # After 320 steps of Adam, measured: 1e-12 for cores; 3e-10 for free factors, which start at a saddle, B = 0.
            assert_close(
                b[split].loss, outcome.loss, atol=10 * error, what=f"round {one.round}, {split}: loss"
            )
        if one.round:
            for site, update in truth.updates(one.round).items():
                L, M = update.factors()
                L2, M2 = found.updates(one.round)[site].factors()
                assert_close(L2 @ M2.T, L @ M.T, atol=error, what=f"round {one.round}: {site}")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_interrupted_run_resumes_to_the_same_bits(dtype, tmp_path):
    settings = (*TORCH, f"backend.dtype={dtype}", "rounds=5", "merge.use=line-search")
    whole = run_cell(tmp_path / "whole", *settings)
    run_cell(tmp_path / "half", *settings, stop_after=2)
    resumed = run_cell(tmp_path / "half", *settings)
    assert len(resumed.records) == 6
    assert resumed.digest == whole.digest
