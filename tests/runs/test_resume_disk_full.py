"""Every write fails once: nothing is corrupt, and the run can go on."""

import os
from pathlib import Path

import attrs
import pytest

from boostlora.engine.errors import RunError

from ..support.record_toys import Toy, check_valid, disk_full, sealed


class FailingDisk:
    """Counts what is asked of the file system for writing, and fails from the n-th request on.

    A failing write leaves half of its bytes behind, as a full disk does.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failure: BaseException) -> None:
        self.failure, self.at, self.calls = failure, None, 0
        for name in ("fsync", "replace", "mkdir"):
            monkeypatch.setattr(os, name, self._guarded(getattr(os, name)))
        original = Path.open

        def opened(path, mode="r", *args, **kwargs):
            if "w" in mode:
                self.request()
            file = original(path, mode, *args, **kwargs)
            return HalfWriter(file, self) if "w" in mode else file

        monkeypatch.setattr(Path, "open", opened)

    def request(self) -> None:
        self.calls += 1
        if self.at is not None and self.calls > self.at:
            raise self.failure

    def _guarded(self, function):
        def guarded(*args, **kwargs):
            self.request()
            return function(*args, **kwargs)

        return guarded

    def fail_from(self, at: int | None) -> None:
        self.at, self.calls = at, 0


class HalfWriter:
    """A file that writes half before it fails."""

    def __init__(self, file, disk):
        self._file, self._disk = file, disk

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, data):
        try:
            self._disk.request()
        except BaseException:
            self._file.write(data[: len(data) // 2])
            raise
        return self._file.write(data)


@pytest.mark.parametrize("failure", [disk_full(), KeyboardInterrupt()], ids=["disk-full", "interrupt"])
@pytest.mark.parametrize(
    ("rounds", "stride"),
    [(1, 3), pytest.param(3, 1, marks=pytest.mark.slow(reason="fails at each of some hundred writes"))],
)
def test_failed_write_anywhere_leaves_a_resumable_run(failure, rounds, stride, tmp_path, monkeypatch):
    toy = Toy.make(tmp_path, f"rounds={rounds}")
    toy.go("whole")
    whole = sealed(toy.path("whole"))
    disk = FailingDisk(monkeypatch, failure)
    failed, at = 0, 0
    while True:
        cold = attrs.evolve(toy, folder=tmp_path / f"at-{at}")  # its cache is empty
        disk.fail_from(at)
        try:
            cold.go("run")
            break
        except (RunError, KeyboardInterrupt) as error:
            failed += 1
            said = str(error)
        finally:
            disk.fail_from(None)
        if isinstance(failure, OSError):
            assert f"{cold.folder}/" in said
            assert "No space left on device" in said
        assert check_valid(cold.path("run"), whole) <= len(whole)
        assert list(cold.folder.rglob("*.tmp")) == []
        assert cold.go("run").digest == whole[-1]["digest"]
        assert sealed(cold.path("run")) == whole
        at += stride
    assert failed >= 60 // stride  # the loop above did meet the writes of a run
    assert sealed(cold.path("run")) == whole


def test_failed_write_names_the_next_command(desk, monkeypatch):
    assert desk.run("--quiet").returncode == 0
    (desk.path / "result.json").unlink()
    original = os.replace

    def full(source, target):
        if Path(target).name == "result.json":
            raise disk_full()
        original(source, target)

    monkeypatch.setattr(os, "replace", full)
    answer = desk.resume()
    assert answer.returncode == 3
    assert f"{desk.path}/result.json: cannot be written (No space left on device)" in answer.stderr
    assert f"boostlora resume {desk.path}" in answer.stderr
    monkeypatch.setattr(os, "replace", original)
    assert desk.resume().returncode == 0
