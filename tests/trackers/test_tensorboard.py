import subprocess
import sys

import attrs
import pytest

from boostlora.engine.errors import UsageError
from boostlora.engine.testing.trackers import TrackerContract, make_records, make_result, make_run
from boostlora.plugins.trackers.tensorboard import Tensorboard

from ..support.commands import PATIENCE

pytest.importorskip("tensorboardX")
reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def events_of(folder):
    """What TensorBoard itself makes of a folder, every event kept."""
    events = reader.EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    return events


def scalars_of(folder):
    events = events_of(folder)
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def text_of(folder, tag):
    (event,) = events_of(folder).Tensors(f"{tag}/text_summary")
    return event.tensor_proto.string_val[0].decode()


class TestTensorboard(TrackerContract):
    def make(self, folder):
        return Tensorboard()

    def recorded(self, folder, run):
        return scalars_of(run.path / "tensorboard")

    def test_settings_origin_and_end_are_kept(self, tmp_path, run):
        records = make_records(3)
        self._log_run(tmp_path, run, records)
        folder = run.path / "tensorboard"
        assert 'use = "cell-clouds"' in text_of(folder, "spec")
        assert "- git: `0123abcd`" in text_of(folder, "provenance")
        assert f"- digest: `{records[-1].digest}`" in text_of(folder, "result")
        started = events_of(folder).SummaryMetadata("_hparams_/session_start_info")
        assert b"adapter.rank" in started.plugin_data.content
        kept = scalars_of(folder)
        assert kept["rank/max"][-1] == (2, 4.0)
        assert [value for _, value in kept["seconds/train"]] == [0.25] * 3
        assert [step for step, _ in kept["overlap"]] == [1, 2]

    def test_open_tensorboard_shows_no_duplicates(self, tmp_path, run):
        records = make_records(4)
        self._log_run(tmp_path, run, records[:2], end=False)
        watching = events_of(run.path / "tensorboard")
        assert [e.step for e in watching.Scalars("test/accuracy")] == [0, 1]
        for until in (3, 4):
            self._log_run(tmp_path, attrs.evolve(run, resumed_from=1), records[:until], end=until == 4)
            watching.Reload()
            assert [e.step for e in watching.Scalars("test/accuracy")] == [*range(until)]
        assert [step for step, _ in scalars_of(run.path / "tensorboard")["test/accuracy"]] == [0, 1, 2, 3]
        assert len(list((run.path / "tensorboard").iterdir())) == 2, "the last, and that before it"

    def test_unrelated_files_in_the_folder_are_kept(self, tmp_path, run):
        other = run.path / "tensorboard" / "events.out.tfevents.1.elsewhere"
        other.parent.mkdir(parents=True)
        other.write_bytes(b"")
        self._log_run(tmp_path, run, make_records(1))
        assert other.exists()


def test_tensorboard_with_a_folder_keeps_each_run_under_its_name_and_hash(tmp_path):
    run, records = make_run(tmp_path), make_records(2)
    followed = Tensorboard(folder=str(tmp_path / "boards")).follow(run)
    for record in records:
        followed.round_finished(record)
    followed.run_finished(make_result(records))
    followed.close()
    assert len(scalars_of(tmp_path / "boards" / "cells" / run.path.name)["test/accuracy"]) == 2
    assert not (run.path / "tensorboard").exists()


def test_tensorboard_folder_that_cannot_be_written_is_an_error(tmp_path):
    run = make_run(tmp_path)
    (run.path / "tensorboard").write_text("a file is in the way")
    with pytest.raises(FileExistsError):
        Tensorboard().follow(run)


def test_tensorboard_disk_that_is_full_is_an_error_at_once(tmp_path, monkeypatch):
    followed = Tensorboard().follow(make_run(tmp_path))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tensorboardX.record_writer.RecordWriter.write", full)
    with pytest.raises(OSError, match="No space left"):
        followed.round_finished(make_records(1)[0])
    followed.close()


def test_tensorboard_prints_nothing_and_needs_no_torch(tmp_path):
    code = (
        "import sys; from pathlib import Path; sys.modules['torch'] = None\n"
        "from boostlora.engine.testing.trackers import make_run, make_records\n"
        "from boostlora.plugins.trackers.tensorboard import Tensorboard\n"
        "followed = Tensorboard().follow(make_run(Path(sys.argv[1])))\n"
        "[followed.round_finished(record) for record in make_records(2)]\n"
        "followed.close()"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_tensorboard_without_the_library_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'boostlora\[tensorboard\]'"):
        Tensorboard().check()
