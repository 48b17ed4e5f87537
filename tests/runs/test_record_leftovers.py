"""Names are given once all is on disk; what the dead have left goes, and what the living make stays."""

import os
import time
from pathlib import Path

import pytest

from boostlora.engine.foundation import leftovers
from boostlora.engine.foundation.atomic import remove, write_bytes
from boostlora.engine.foundation.cache import cached
from boostlora.engine.foundation.durable import make_folder, settle
from boostlora.engine.foundation.leftovers import DAY, making, sweep_dead

from ..support.durability import asked_of_the_system, dead
from ..support.record_toys import clone


@pytest.fixture
def asked(monkeypatch):
    return asked_of_the_system(monkeypatch)


def test_settle_syncs_files_before_the_rename_and_the_parent_after(asked, tmp_path):
    (tmp_path / "made" / "sub").mkdir(parents=True)
    (tmp_path / "made" / "sub" / "deep").write_bytes(b"1")
    (tmp_path / "made" / "top").write_bytes(b"2")
    asked.clear()
    settle(tmp_path / "made", tmp_path / "place")
    before, after = asked[: asked.index("rename place")], asked[asked.index("rename place") + 1 :]
    assert sorted(before) == ["fsync deep", "fsync made", "fsync sub", "fsync top"]
    assert before.index("fsync deep") < before.index("fsync sub") < before.index("fsync made")
    assert after == [f"fsync {tmp_path.name}"]


def test_settle_of_a_file_syncs_it_first(asked, tmp_path):
    (tmp_path / "one").write_bytes(b"1")
    asked.clear()
    settle(tmp_path / "one", tmp_path / "two")
    assert asked == ["fsync one", "rename two", f"fsync {tmp_path.name}"]


def test_new_folders_are_synced(asked, tmp_path):
    make_folder(tmp_path / "a" / "b")
    assert [word for word in asked if word.startswith("fsync")] == [f"fsync {tmp_path.name}", "fsync a"]
    asked.clear()
    make_folder(tmp_path / "a" / "b")
    assert "fsync a" not in asked


def test_removal_is_synced_and_ignores_absent_files(asked, tmp_path):
    (tmp_path / "f").touch()
    asked.clear()
    remove(tmp_path / "f")
    assert asked == [f"fsync {tmp_path.name}"]
    remove(tmp_path / "f")


def test_run_and_rollback_sync_what_they_rename(asked, desk, toy):
    assert desk.run("--quiet").returncode == 0
    assert asked.index(f"mkdir {desk.path.name}") < asked.index(f"fsync {desk.path.parent.name}")
    asked.clear()
    assert desk.command("rollback", desk.path, "--to", "1").returncode == 0
    (aside,) = (desk.path / "rolled-back").iterdir()
    named = asked.index(f"rename {aside.name}")
    assert {"fsync 0002.safetensors", "fsync updates", "fsync outcomes"} <= set(asked[:named])
    assert "fsync rolled-back" in asked[named:]


def test_fresh_run_syncs_what_it_sets_aside(asked, desk, toy):
    desk.place(toy.path("whole"))
    assert desk.run("--quiet", "--fresh").returncode == 0
    named = next(n for n, word in enumerate(asked) if ".old-" in word and word.startswith("rename"))
    assert asked[named + 1] == f"fsync {desk.path.parent.name}"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_next_write_removes_leftovers_of_dead_processes(tmp_path):
    dead(tmp_path / "ex")
    write_bytes(tmp_path / "other", b"1")
    assert names(tmp_path) == ["other"]
    dead(tmp_path / "ex")
    with making(tmp_path / "ex") as folder:
        assert names(tmp_path) == sorted([folder.name, "other"])
    assert names(tmp_path) == ["other"]


def test_next_cached_result_removes_leftovers(tmp_path):
    dead(tmp_path / "one")
    cached(tmp_path, "two", dict)
    assert [name for name in names(tmp_path) if name.startswith(".")] == []


def test_files_of_running_processes_are_not_removed(tmp_path):
    with making(tmp_path / "ex") as folder:
        (folder / "model").write_bytes(b"1")
        sweep_dead(tmp_path)
        with making(tmp_path / "ex") as other:
            assert other != folder
        assert (folder / "model").read_bytes() == b"1"
        settle(folder, tmp_path / "ex")
    assert (tmp_path / "ex" / "model").read_bytes() == b"1"


def test_file_being_written_is_not_removed(tmp_path, monkeypatch):
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (sweep_dead(tmp_path), real(fd)))
    write_bytes(tmp_path / "f", b"whole")
    assert (tmp_path / "f").read_bytes() == b"whole"


def test_file_removed_before_its_lock_is_created_again(tmp_path, monkeypatch):
    fcntl, taken = leftovers.fcntl, list[Path]()
    real = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        if not taken:
            (path,) = tmp_path.glob(".*")
            path.unlink()
            taken.append(path)
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    write_bytes(tmp_path / "f", b"whole")
    assert (tmp_path / "f").read_bytes() == b"whole"
    assert taken


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_folder_removed_before_its_lock_is_created_again(tmp_path, monkeypatch):
    real, taken = leftovers.fcntl.flock, list[Path]()

    def late(descriptor: int, how: int) -> None:
        if len(taken) < 2:
            (path,) = tmp_path.glob(".*")
            path.rmdir()
            taken.append(path)
        real(descriptor, how)

    monkeypatch.setattr(leftovers.fcntl, "flock", late)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with making(tmp_path / "ex") as folder:
        assert folder.is_dir()
        assert folder not in taken
    assert len(taken) == 2
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert names(tmp_path) == []


def test_leftovers_of_another_machine_are_removed_after_a_day(tmp_path):
    dead(tmp_path / "ex", host="0" * 8)
    sweep_dead(tmp_path)
    assert len(names(tmp_path)) == 2
    old = time.time() - DAY - 1
    for path in (*tmp_path.glob(".*/*"), *tmp_path.glob(".*")):
        os.utime(path, (old, old))
    sweep_dead(tmp_path)
    assert names(tmp_path) == []


def test_without_file_locks_nothing_is_removed(tmp_path, monkeypatch):
    def refuse(descriptor: int, how: int) -> None:
        raise OSError

    dead(tmp_path / "ex")
    monkeypatch.setattr(leftovers.fcntl, "flock", refuse)
    write_bytes(tmp_path / "f", b"1")
    assert len(names(tmp_path)) == 3


def test_similar_names_are_not_removed(tmp_path):
    for name in (".ex.making-abc", ".f.4242.tmp", "ex.making-00000000-1-00000000"):
        (tmp_path / name).touch()
    sweep_dead(tmp_path)
    assert len(names(tmp_path)) == 3


def test_longest_file_name_can_be_written(tmp_path):
    write_bytes(tmp_path / ("ä" * 127), b"1")
    assert (tmp_path / ("ä" * 127)).read_bytes() == b"1"


def test_killed_rollback_leaves_nothing_after_resume(desk, toy):
    clone(toy.path("half"), desk.path)
    (desk.path / "rolled-back" / ".20260101T000000000000").mkdir(parents=True)
    assert desk.resume("--quiet").returncode == 0
    assert names(desk.path / "rolled-back") == []
