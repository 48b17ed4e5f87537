"""One process at a time on a run directory."""

import json
import socket
import subprocess

import pytest

from boostlora.engine.errors import RunError
from boostlora.engine.foundation.locks import locked

from ..support.commands import boostlora
from ..support.record_toys import PLUGIN, call, only_run, run_arguments, sealed, start, write_spec


@pytest.fixture
def holder(tmp_path):
    """A process that is in the middle of a run in the test's folder."""
    write_spec(tmp_path)
    process = start(run_arguments(tmp_path, "--quiet"), tmp_path, "round 1")
    yield process
    process.kill()
    process.communicate()


def test_lock_of_a_running_process_excludes_others(holder, toy, tmp_path):
    path = only_run(tmp_path)
    before = sorted(path.rglob("*"))
    resume = ["boostlora", "resume", str(path), "--plugin", str(PLUGIN)]
    for arguments in (run_arguments(tmp_path), run_arguments(tmp_path, "--fresh"), resume):
        answer = boostlora(*arguments[1:], cwd=tmp_path)
        assert answer.returncode == 3
        holding = f"in use by process {holder.pid} on {socket.gethostname()} since "
        assert answer.stderr.startswith(f"error: {path}: {holding}")
        assert "Traceback" not in answer.stderr
        assert sorted(path.rglob("*")) == before
    holder.kill()
    holder.communicate()
    assert call(subprocess.list2cmdline(resume), tmp_path).returncode == 0
    assert sealed(path) == sealed(toy.path("whole"))


def test_lock_of_a_killed_process_is_released(holder, tmp_path):
    path = only_run(tmp_path)
    with pytest.raises(RunError, match="in use by"), locked(path):
        pass
    holder.kill()
    holder.communicate()
    assert json.loads((path / "holder.json").read_text())["pid"] == holder.pid
    with locked(path):
        assert json.loads((path / "holder.json").read_text())["pid"] != holder.pid
    assert not (path / "holder.json").exists()


def test_lock_is_released_after_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        raise KeyboardInterrupt
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("holder_file", [None, "", "[]", "{}", "\xff", '{"pid": 1}'])
def test_lock_held_by_an_unknown_process_is_still_respected(holder_file, tmp_path):
    with locked(tmp_path):
        (tmp_path / "holder.json").unlink()
        if holder_file is not None:
            (tmp_path / "holder.json").write_text(holder_file, encoding="latin-1")
        with pytest.raises(RunError, match="in use by another process; wait for it"), locked(tmp_path):
            pass


def test_lock_without_a_creatable_folder_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"file/run: cannot be locked"), locked(tmp_path / "file" / "run"):
        pass
