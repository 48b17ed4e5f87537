"""Exports, applied models and caches: on disk before they have their name, and swept where their maker was killed."""

from pathlib import Path

import pytest

from boostlora.engine.boosting.events import Events
from boostlora.engine.foundation.atomic import WriteError
from boostlora.engine.hookspecs import hookimpl
from boostlora.engine.registry import Registry
from boostlora.engine.study.inputs import stage
from boostlora.plugins.models._scratch.folders import cached_folder

from ..support.commands import boostlora
from ..support.durability import asked_of_the_system, dead
from .whole import ALL, Whole


@pytest.fixture
def copy(whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Whole:
    monkeypatch.setenv("BOOSTLORA_CACHE", str(whole.cache))
    monkeypatch.chdir(tmp_path)
    return whole.copy(tmp_path, without=("ex",))


@pytest.mark.parametrize("command", ["export", "apply"])
def test_model_is_synced_before_its_rename_and_leftovers_are_removed(
    command, copy, whole, tmp_path, monkeypatch
):
    dead(tmp_path / "ex")
    dead(tmp_path / "another")
    asked = asked_of_the_system(monkeypatch)
    words = (
        ("apply", whole.base, "x.boost.safetensors", "--out", "ex", "-q")
        if command == "apply"
        else Whole.EXPORT
    )
    done = boostlora(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    named = asked.index("rename ex")
    assert {"fsync model.safetensors", "fsync README.md"} <= set(asked[:named])
    assert asked[named - 1].startswith("fsync .ex.making-")
    assert asked[named + 1] == f"fsync {tmp_path.name}"
    assert copy.unfinished() == []


def test_boost_file_sweeps_leftovers_of_its_folder(copy, tmp_path):
    dead(tmp_path / "y.boost.safetensors")
    done = boostlora(
        "export", "quickstart", "--to", "boost", *ALL, "--out", "y.boost.safetensors", "-q", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert copy.unfinished() == []


def test_cache_folder_is_synced_before_its_rename(tmp_path, monkeypatch):
    dead(tmp_path / "one")
    asked = asked_of_the_system(monkeypatch)
    cached_folder(tmp_path / "two", tmp_path, lambda folder: (folder / "model").write_bytes(b"1") and None)
    assert "fsync model" in asked[: asked.index("rename two")]
    assert [p.name for p in tmp_path.glob(".*")] == []


def test_folder_of_a_cache_that_cannot_be_written_names_the_variable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="BOOSTLORA_CACHE"):
        cached_folder(tmp_path / "file" / "two", tmp_path, lambda _: None)


def test_inputs_of_cells_are_synced_before_their_rename(tmp_path, monkeypatch):
    from boostlora.engine.foundation.atomic import file_sha256

    (tmp_path / "data").write_bytes(b"1")
    sha256 = file_sha256(tmp_path / "data")
    (tmp_path / "store" / sha256).mkdir(parents=True)
    dead(tmp_path / "store" / sha256 / "data")
    asked = asked_of_the_system(monkeypatch)
    stage({str(tmp_path / "data"): sha256}, tmp_path / "store")
    assert "fsync data" in asked[: asked.index("rename data")]
    assert [p.name for p in (tmp_path / "store" / sha256).iterdir()] == ["data"]


@pytest.mark.parametrize("text", ["x = ", "\xff", "[start]\nround = 'x'\n", "start = 3\n"])
def test_rollback_of_a_run_whose_spec_is_damaged_is_refused(text, copy, tmp_path):
    path = tmp_path / copy.run / "spec.toml"
    path.write_bytes(text.encode("latin-1"))
    done = boostlora("rollback", copy.run, "--to", "1", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.startswith(f"error: {copy.run}/spec.toml: damaged")


def test_result_that_cannot_be_removed_is_reported_with_the_next_step(copy, tmp_path, monkeypatch):
    assert boostlora("rollback", copy.run, "--to", "1", cwd=tmp_path).returncode == 0
    real = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == "result.json":
            raise OSError(5, "Input/output error", str(path))
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    done = boostlora("resume", copy.run, cwd=tmp_path)
    assert done.returncode == 3
    assert (
        f"{copy.run}/result.json: cannot be removed (Input/output error); every finished round" in done.stderr
    )


def test_listener_that_exits_is_disabled_and_named():
    class Exits:
        @hookimpl
        def run_finished(self) -> None:
            raise SystemExit(7)

    registry = Registry()
    registry.manager.register(Exits(), name="quitter")
    with pytest.warns(RuntimeWarning, match="plugin quitter raised SystemExit in run_finished: 7"):
        Events(registry.manager).emit("run_finished")


def test_runs_omits_a_run_with_altered_provenance(copy, tmp_path):
    assert boostlora("runs", cwd=tmp_path).stderr == ""
    path = tmp_path / copy.run / "provenance.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    done = boostlora("runs", cwd=tmp_path)
    assert "provenance.json: damaged or altered" in done.stderr
