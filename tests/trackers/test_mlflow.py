import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import attrs
import pytest

from boostlora.engine.errors import UsageError
from boostlora.engine.testing.trackers import TrackerContract, make_records, make_result, make_run
from boostlora.plugins.trackers.mlflow import Mlflow

from ..support.commands import PATIENCE

pytest.importorskip("mlflow")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """What the tracker sets in the environment ends with the test."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "false")


def client_of(folder):
    from mlflow.tracking import MlflowClient

    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    return MlflowClient(tracking_uri=folder.as_uri())


def runs_of(folder):
    client = client_of(folder)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    return client.search_runs(ids)


def run_of(folder, run):
    (found,) = [r for r in runs_of(folder) if r.data.tags["boostlora.spec_sha256"] == run.spec.sha256]
    return found


class TestMlflow(TrackerContract):
    def make(self, folder):
        return Mlflow(uri=str(folder / "store"))

    def recorded(self, folder, run):
        client, found = client_of(folder / "store"), run_of(folder / "store", run)
        histories = {name: client.get_metric_history(found.info.run_id, name) for name in found.data.metrics}
        return {name: [(m.step, m.value) for m in history] for name, history in histories.items()}

    def test_settings_origin_and_end_are_kept(self, tmp_path, run):
        tracker, records = Mlflow(uri=str(tmp_path / "store"), tags=("team=blue",)), make_records(3)
        followed = tracker.follow(run)
        for record in records:
            followed.round_finished(record)
        followed.run_finished(make_result(records))
        followed.close()
        kept = run_of(tmp_path / "store", run)
        assert kept.info.status == "FINISHED"
        assert kept.data.params["adapter.rank"] == "2"
        assert kept.data.params["task.use"] == "cell-clouds"
        tags = kept.data.tags
        assert tags["team"] == "blue"
        assert tags["boostlora.git"] == "0123abcd"
        assert tags["boostlora.hashes.weights"] == "cd34"
        assert tags["boostlora.result.status"] == "completed"
        assert tags["boostlora.result.digest"] == records[-1].digest
        assert kept.data.metrics["rank/max"] == 4.0
        assert kept.data.metrics["rank/effective"] == 2.0
        assert kept.data.metrics["seconds/train"] == 0.25

    def test_interrupted_run_has_status_killed_until_it_resumes(self, tmp_path, run):
        self._log_run(tmp_path, run, make_records(2), end=False)
        assert run_of(tmp_path / "store", run).info.status == "KILLED"
        followed = self._follow(tmp_path, run)
        assert run_of(tmp_path / "store", run).info.status == "RUNNING"
        followed.close()

    def test_restarted_run_is_a_new_run(self, tmp_path, run):
        self._log_run(tmp_path, run, make_records(2))
        self._log_run(tmp_path, make_run(tmp_path, created="2026-01-02T00:00:00+00:00"), make_records(2))
        assert len(runs_of(tmp_path / "store")) == 2

    def test_partly_logged_round_is_completed(self, tmp_path, run):
        followed = self._follow(tmp_path, run)
        followed._client.log_metric(followed._id, "test/accuracy", 0.1, step=1)
        followed.close()
        self._log_run(tmp_path, run, make_records(2))
        assert [step for step, _ in self.recorded(tmp_path, run)["test/accuracy"]] == [1, 0]
        assert [step for step, _ in self.recorded(tmp_path, run)["test/loss"]] == [0, 1]


def test_mlflow_keeps_runs_beside_the_folder_of_runs_under_their_name(tmp_path):
    run = make_run(tmp_path)
    Mlflow().follow(run).close()
    client = client_of(tmp_path / "runs" / "mlruns")
    assert client.get_experiment_by_name("cells") is not None
    assert len(runs_of(tmp_path / "runs" / "mlruns")) == 1


def test_mlflow_with_an_experiment_of_another_name_uses_it(tmp_path):
    Mlflow(experiment="pilot").follow(make_run(tmp_path)).close()
    assert client_of(tmp_path / "runs" / "mlruns").get_experiment_by_name("pilot") is not None


def _follow(folder, seed):
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    Mlflow().follow(make_run(folder, seed=seed)).close()


def test_mlflow_runs_started_concurrently_share_one_experiment(tmp_path):
    with ProcessPoolExecutor(3) as pool:
        list(pool.map(_follow, [tmp_path] * 3, range(3)))
    experiments = client_of(tmp_path / "runs" / "mlruns").search_experiments()
    assert [e.name for e in experiments].count("cells") == 1
    assert len(runs_of(tmp_path / "runs" / "mlruns")) == 3


def test_mlflow_opens_no_connection_by_itself(tmp_path):
    code = (
        "import socket, sys; from pathlib import Path\n"
        "import os\n"
        "def refuse(*arguments): os._exit(7)  # in whatever thread\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from boostlora.engine.testing.trackers import make_run, make_records\n"
        "from boostlora.plugins.trackers.mlflow import Mlflow\n"
        "followed = Mlflow().follow(make_run(Path(sys.argv[1])))\n"
        "[followed.round_finished(record) for record in make_records(2)]\n"
        "followed.close()"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PYTEST", "CI"))}
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_mlflow_store_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "store").write_text("a file is in the way")
    with pytest.raises(Exception, match="store"):
        Mlflow(uri=str(tmp_path / "store")).follow(make_run(tmp_path))


def test_mlflow_store_that_fails_during_a_run_is_an_error(tmp_path):
    followed = Mlflow().follow(make_run(tmp_path))
    (tmp_path / "runs" / "mlruns").rename(tmp_path / "gone")
    with pytest.raises(Exception, match=r"mlruns|not found"):
        followed.round_finished(make_records(1)[0])


def test_mlflow_without_the_library_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'boostlora\[mlflow\]'"):
        Mlflow().check()


def test_mlflow_database_unsupported_by_the_skinny_package_is_reported(monkeypatch):
    present = {"mlflow": object(), "sqlalchemy": None}
    monkeypatch.setattr("importlib.util.find_spec", present.get)
    with pytest.raises(UsageError, match=r"sqlite:///x.db.*pip install mlflow"):
        Mlflow(uri="sqlite:///x.db").check()


@pytest.mark.parametrize("tag", ["team", "=blue", ""])
def test_mlflow_with_a_tag_without_name_or_value_is_refused(tag):
    with pytest.raises(ValueError, match="KEY=VALUE"):
        Mlflow(tags=(tag,))


def test_mlflow_with_a_server_address_writes_no_local_files(tmp_path):
    run = make_run(tmp_path)
    assert Mlflow(uri="https://mlflow.invalid")._folder(run) is None
    assert Mlflow(uri="file:///tmp/store")._folder(run).as_uri() == "file:///tmp/store"
    assert (
        Mlflow()._folder(attrs.evolve(run, path=tmp_path / "runs" / "x" / "y"))
        == tmp_path / "runs" / "mlruns"
    )
