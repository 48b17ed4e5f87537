import json
import os
import signal
import subprocess
import sys

import pytest

from boostlora.engine.errors import RunError, UsageError
from boostlora.engine.study.states import failure_path
from boostlora.engine.testing.cells import Cells, is_waiting, wait_until, worker_of
from boostlora.engine.testing.executors import DetachedExecutorContract
from boostlora.plugins.executors.slurm import Slurm

from ..support.commands import PATIENCE
from . import fake_slurm

pytest.importorskip("submitit")


OTHERS = pytest.mark.slow(reason="a process each and waits; two tests of the contract run by default")


class _Queue(DetachedExecutorContract):
    """What holds of both queues beyond the contract."""

    @OTHERS
    def test_killed_worker_is_lost_and_resumes_when_resubmitted(self, cells, tmp_path):
        super().test_killed_worker_is_lost_and_resumes_when_resubmitted(cells, tmp_path)

    @OTHERS
    def test_cancelled_cell_is_lost_and_its_process_gone(self, cells):
        super().test_cancelled_cell_is_lost_and_its_process_gone(cells)

    @OTHERS
    def test_preempted_cell_goes_back_into_the_queue_and_then_finishes(self, cells):
        job = cells.job(0, gated=True)
        ids = self._submit(cells, [job])
        wait_until(lambda: is_waiting(job), "the cell has got to its gate")
        first = worker_of(job)
        os.kill(first, signal.SIGUSR2)
        wait_until(
            lambda: is_waiting(job) and worker_of(job) not in {first, None}, "another process plays it"
        )
        assert self._poll(cells, ids)[job.cell] is None
        assert not failure_path(cells.study, job.cell).exists()
        cells.gate.touch()
        assert self._wait(cells, ids)[job.cell].status == "finished"


@pytest.mark.slow(
    reason="submitit's own jobs, of which it asks every few seconds; stand-ins are asked in the default suite"
)
class TestSlurmLocally(_Queue):
    def make(self):
        return Slurm(cluster="local", minutes=5)

    def test_cell_out_of_time_too_often_is_lost_with_the_reason(self, cells):
        job, hasty = cells.job(0, gated=True), Slurm(cluster="local", minutes=5, timeouts=0)
        ids = hasty.submit([job])
        wait_until(lambda: is_waiting(job), "the cell has got to its gate")
        os.kill(worker_of(job), signal.SIGUSR2)
        ended = self._wait(cells, ids)[job.cell]
        assert ended.status == "lost"
        assert "timed-out too many times" in ended.cause

    def test_submission_closes_its_pipes_and_leaves_the_group(self, cells):
        # A command whose output is piped ends when it ends, and Ctrl-C after it does not reach the queue.
        job = cells.job(0, gated=True)
        code = (
            "import json, sys, cattrs; from boostlora.engine.contracts import Job\n"
            "from boostlora.plugins.executors.slurm import Slurm\n"
            "print(json.dumps(Slurm(cluster='local').submit([cattrs.structure(json.loads(sys.argv[1]), Job)])))"
        )
        import attrs

        command = [sys.executable, "-c", code, json.dumps(attrs.asdict(job))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        wait_until(lambda: is_waiting(job), "the cell has got to its gate")
        assert os.getpgid(worker_of(job)) != os.getpgid(0)
        ids = json.loads(done.stdout)
        cells.gate.touch()
        assert self._wait(cells, ids)[job.cell].status == "finished"


class TestSlurmOnStandIns(_Queue):
    @pytest.fixture(autouse=True)
    def state(self, tmp_path, monkeypatch):
        fake_slurm.install(tmp_path / "bin")
        (tmp_path / "slurm").mkdir()
        monkeypatch.setenv("FAKE_SLURM", str(tmp_path / "slurm"))
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
        monkeypatch.setattr("boostlora.plugins.executors.slurm.FILE_VISIBILITY_DELAY", 0.1)
        return tmp_path / "slurm"

    def make(self):
        return Slurm()

    def test_cells_are_one_array_whose_script_has_the_requested_options(self, cells, state):
        options = {"partition": "gpu", "account": "lab", "qos": "low", "cpus": 4, "gpus": 1, "memory": 1.5}
        asked = Slurm(
            **options, minutes=30, parallel=2, setup=("module load cuda",), sbatch=("constraint=a100",)
        )
        ids = asked.submit([cells.job(seed) for seed in range(3)])
        assert list(ids.values()) == ["100_0", "100_1", "100_2"]
        said = (state / "100.script").read_text().splitlines()
        for line in (
            "partition=gpu",
            "account=lab",
            "qos=low",
            "cpus-per-task=4",
            "gpus-per-node=1",
            "mem=1536M",
        ):
            assert f"#SBATCH --{line}" in said
        for line in ("time=30", "array=0-2%2", "constraint=a100", "signal=USR2@90"):
            assert f"#SBATCH --{line}" in said
        assert "module load cuda" in said
        assert "export OPENBLAS_NUM_THREADS=4" in said
        assert {e.status for e in self._wait(cells, ids).values()} == {"finished"}

    @OTHERS
    def test_many_cells_are_several_arrays(self, cells, monkeypatch):
        monkeypatch.setattr("boostlora.plugins.executors.slurm.ARRAY_SIZE", 2)
        ids = self._submit(cells, [cells.job(seed) for seed in range(3)])
        assert list(ids.values()) == ["100_0", "100_1", "101"]
        assert {e.status for e in self._wait(cells, ids).values()} == {"finished"}

    @OTHERS
    def test_poll_from_another_process_agrees(self, cells):
        ids = self._submit(cells, [cells.job(0), cells.job(1, fails=True)])
        here = {cell: ended.status for cell, ended in self._wait(cells, ids).items()}
        code = (
            "import json, sys; from boostlora.plugins.executors.slurm import Slurm\n"
            "found = Slurm().poll(sys.argv[1], json.loads(sys.argv[2]))\n"
            "print(json.dumps({cell: ended.status for cell, ended in found.items()}))"
        )
        command = [sys.executable, "-c", code, str(cells.study), json.dumps(ids)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        assert json.loads(done.stdout) == here

    def test_refusal_of_the_queue_is_quoted(self, cells, state):
        (state / "refuses").write_text("100")
        with pytest.raises(RunError, match="invalid partition specified: nowhere"):
            self.make().submit([cells.job(0)])

    def test_refusal_of_the_second_array_cancels_the_first(self, cells, state, monkeypatch):
        monkeypatch.setattr("boostlora.plugins.executors.slurm.ARRAY_SIZE", 1)
        (state / "refuses").write_text("101")
        with pytest.raises(RunError, match="sbatch took no job"):
            self.make().submit([cells.job(0, gated=True), cells.job(1)])
        wait_until(lambda: "CANCELLED" in (state / "100.state").read_text(), "the first array is cancelled")


def test_slurm_without_its_commands_is_refused_with_an_alternative(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UsageError, match=r"sbatch, srun, sacct, scancel cannot be found.*cluster = \"local\""
    ):
        Slurm().check()


def test_slurm_without_the_library_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'boostlora\[slurm\]'"):
        Slurm(cluster="local").check()


def test_slurm_in_debug_runs_cells_during_submission(tmp_path):
    cells = Cells(tmp_path)
    good, bad = cells.job(0), cells.job(1, fails=True)
    ids = Slurm(cluster="debug").submit([good, bad])
    ended = Slurm(cluster="debug").poll(str(cells.study), ids)
    assert (ended[good.cell].status, ended[bad.cell].status) == ("finished", "failed")


@pytest.mark.parametrize("text", ["constraint", "=a100", ""])
def test_slurm_with_an_unknown_sbatch_option_is_refused(text):
    with pytest.raises(ValueError, match="KEY=VALUE"):
        Slurm(sbatch=(text,))
