"""The local executor meets the contract, limits its workers, and leaves no processes."""

import sys
import time
from pathlib import Path

import pytest

from boostlora.engine.contracts import Job
from boostlora.engine.foundation import hardware as machine
from boostlora.engine.testing import ExecutorContract
from boostlora.plugins.executors import local
from boostlora.plugins.executors.local import Local

from ..support.commands import PATIENCE

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


OTHERS = pytest.mark.slow(reason="some six processes each; the rest of the contract runs by default")


class TestLocal(ExecutorContract):
    def make(self):
        return Local(workers=2)

    @OTHERS
    def test_order_of_jobs_does_not_matter_to_their_results(self, cells, tmp_path):
        super().test_order_of_jobs_does_not_matter_to_their_results(cells, tmp_path)

    @OTHERS
    def test_closed_iterator_leaves_no_process_and_all_cells_can_resume(self, cells, tmp_path):
        super().test_closed_iterator_leaves_no_process_and_all_cells_can_resume(cells, tmp_path)


def _started(workers):
    """Environments of the workers that a run of so many idle jobs starts."""
    nothing = {"spec": "", "folder": "/nowhere", "study": "/nowhere", "cache": ""}
    found = []
    running = Local(workers=workers).run([Job(cell=str(n), label="", **nothing) for n in range(4)])
    before = set(_workers())
    next(running)
    until = time.monotonic() + PATIENCE
    while len(found := sorted(set(_workers()) - before)) < workers:
        assert time.monotonic() < until
        time.sleep(0.01)
    environments = [Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in found]
    running.close()
    assert not set(_workers()) - before
    return [dict(v.decode().split("=", 1) for v in e if b"=" in v) for e in environments]


def _workers():
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"boostlora.engine.study.worker" in (entry / "cmdline").read_bytes():
                yield int(entry.name)
        except OSError:
            continue


def test_workers_share_the_cores(monkeypatch):
    monkeypatch.setattr(local, "cores", lambda: 8)
    monkeypatch.setattr(local, "accelerators", list)
    environments = _started(2)
    assert [{e[name] for name in machine.THREADS} for e in environments] == [{"4"}, {"4"}]


def test_workers_get_one_accelerator_each_in_turn(monkeypatch):
    monkeypatch.setattr(local, "accelerators", lambda: ["0", "3"])
    assert sorted(e["CUDA_VISIBLE_DEVICES"] for e in _started(3)) == ["0", "0", "3"]


@pytest.mark.parametrize(
    ("given", "found"),
    [("0,2", ["0", "2"]), ("", []), ("-1", []), ("GPU-1a, MIG-2b", ["GPU-1a", "MIG-2b"])],
)
def test_accelerators_are_those_visible_to_the_process(monkeypatch, given, found):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert machine.accelerators() == found


def test_accelerators_are_listed_by_nvidia_smi(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    tool.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.accelerators() == ["0", "1"]
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert machine.accelerators() == []
