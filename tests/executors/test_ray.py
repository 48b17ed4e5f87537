import json
import subprocess
import sys
from pathlib import Path

import pytest

from boostlora.engine.errors import UsageError
from boostlora.engine.testing.cells import Cells, is_alive, is_waiting, rounds_of
from boostlora.engine.testing.executors import ExecutorContract
from boostlora.plugins.executors.ray import Ray

from ..support.commands import PATIENCE

ray = pytest.importorskip("ray")
OWN_CLUSTER = Path(__file__).with_name("own_cluster.py")


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two CPUs, found by the executors as one that this process is connected to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "CRITICAL"}
        ray.init(address="local", num_cpus=2, **options)
        yield
        ray.shutdown()


@pytest.mark.slow(reason="a Ray cluster, where every cell starts a process of its own")
@pytest.mark.usefixtures("cluster")
class TestRay(ExecutorContract):
    test_order_of_jobs_does_not_matter_to_their_results = None
    """Four processes more; cells in another order, some of them begun again, are in tests/cli/test_ablate_executors.py."""

    def make(self):
        return Ray()


@pytest.mark.slow(reason="a Ray cluster, where every cell starts a process of its own")
@pytest.mark.usefixtures("cluster")
def test_cells_at_a_time_are_at_most_the_workers(tmp_path):
    cells = Cells(tmp_path)
    first, second = cells.job(0, gated=True), cells.job(1)
    running, turns = Ray(workers=1).run([first, second]), 0
    for ended in running:
        assert ended is None
        turns += is_waiting(first)
        if turns == 10:
            break
    running.close()
    assert rounds_of(second) == 0


@pytest.mark.slow(reason="a Ray cluster, where every cell starts a process of its own")
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("options", "asked"),
    [({"cpus": 3}, "3 CPU, 0 GPU"), ({"gpus": 0.5}, "1 CPU, 0.5 GPU"), ({"memory": 1e6}, "GiB")],
)
def test_cell_too_large_for_every_node_is_refused_with_the_available_resources(tmp_path, options, asked):
    with pytest.raises(UsageError, match=f"needs .*{asked}.* no node .* have: 2 CPU, .* options cpus"):
        next(Ray(**options).run([Cells(tmp_path).job(0)]))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A program that runs two cells on a cluster of its own, kills the worker of one, and tells what it saw."""
    folder = tmp_path_factory.mktemp("own")
    command = [sys.executable, "-W", "error", str(OWN_CLUSTER), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)


@pytest.mark.slow(reason="a Ray cluster, where every cell starts a process of its own")
def test_own_cluster_prints_nothing_when_a_worker_dies(own):
    assert own.stderr == ""
    assert len(own.stdout.splitlines()) == 1


@pytest.mark.slow(reason="a Ray cluster, where every cell starts a process of its own")
def test_own_cluster_runs_cells_and_reports_a_killed_worker(own):
    said = json.loads(own.stdout)
    assert sorted(said["statuses"]) == ["finished", "lost"]


@pytest.mark.slow(reason="a Ray cluster, where every cell starts a process of its own")
def test_own_cluster_is_stopped_and_the_signal_handler_restored(own):
    said = json.loads(own.stdout)
    assert len(said["processes"]) >= 2  # a cluster has several
    assert [pid for pid in said["processes"] if is_alive(pid)] == []
    assert said["handler_kept"]
    assert not said["connected"]


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "no-such-host.invalid:1"])
def test_ray_with_an_unreachable_address_is_refused_immediately(address):
    with pytest.raises(UsageError, match=f"no cluster responds at {address}"):
        Ray(address=address).check()


def test_ray_with_an_unreachable_address_in_the_environment_is_refused(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(UsageError, match="unset RAY_ADDRESS"):
        Ray().check()


def test_ray_without_the_library_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'boostlora\[ray\]'"):
        Ray().check()


def test_ray_pins_threads_to_cpus_and_hides_unrequested_gpus():
    environment = Ray(cpus=3)._task_options()["runtime_env"]["env_vars"]
    assert environment.pop("CUDA_VISIBLE_DEVICES") == ""
    assert environment["OPENBLAS_NUM_THREADS"] == environment["OMP_NUM_THREADS"] == "3"
    assert "CUDA_VISIBLE_DEVICES" not in Ray(gpus=1)._task_options()["runtime_env"]["env_vars"]
