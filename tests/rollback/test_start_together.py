"""Several processes that go on from a run: only the leader reads it."""

import os
import shutil

import pytest

pytest.importorskip("torch", reason="the torch backend needs PyTorch")
pytest.importorskip("transformers", reason="the model is Hugging Face's")

from boostlora.engine.runs.directory import RunDirectory

from ..support.torchrun_runs import only_run, run_alone, run_forked
from .rollback_toys import digests


def test_two_processes_continue_from_a_round_that_process_0_copies(tmp_path):
    parent = run_alone(tmp_path)
    digest = parent.records[1].digest
    gone = tmp_path / "alone-elsewhere"
    shutil.copytree(parent.path, gone)
    settings = (f'start.run="{gone}"', "start.round=1", f'start.digest="{digest}"')
    code, out, err = run_forked(tmp_path, *settings)
    assert code == 0, err
    found = only_run(tmp_path / "runs")
    assert digests(found.path)[:2] == [record.digest for record in parent.records[:2]]
    assert len(found.records) == 3
    assert out.count("resuming after round 1") == 1
    origin = RunDirectory.open(found.path).provenance()
    assert origin["start"]["path"] == str(gone)
    assert origin["processes"] == 2
    assert os.path.samefile(tmp_path, found.path.parents[2])  # noqa: PTH121 - the run is the leader's
