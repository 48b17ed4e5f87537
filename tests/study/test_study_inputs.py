"""Cells where the paths of their spec mean nothing: what they read is found by its contents, or refused."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import attrs
import pytest

from boostlora.engine.contracts import Job
from boostlora.engine.errors import RunError
from boostlora.engine.foundation.hashes import folder_sha256
from boostlora.engine.registry import Registry
from boostlora.engine.runs.directory import RunDirectory
from boostlora.engine.spec.document import load
from boostlora.engine.spec.resolve import resolve
from boostlora.engine.study.cell_runner import run_cell
from boostlora.engine.study.inputs import inputs_of, resolve_inputs, stage

SPEC = """\
rounds = 1
task = {use = "table", path = "rows.csv", label = "y"}
model = {use = "mlp", hidden = [4], epochs = 1}
adapter = {rank = 1, u = 1}
basis.exhausted = "wrap"
sampler.use = "input-all"
optimizer = {steps = 1, batch_size = 4}
"""
ROWS = "x,z,y\n" + "".join(f"{i % 7},{i % 5},{i % 2}\n" for i in range(60))
PLUGIN = """
import attrs, numpy as np
from boostlora.engine.contracts import Selection
from boostlora.engine.hookspecs import hookimpl

@attrs.frozen(kw_only=True)
class All:
    def select(self, outcome, history, rng):
        return Selection.equal(np.arange(len(outcome)))

@hookimpl
def register_samplers(register):
    register("input-all", All)
"""


@pytest.fixture
def sender(tmp_path: Path) -> Path:
    """The sender's files."""
    folder = tmp_path / "sender"
    folder.mkdir()
    (folder / "s.toml").write_text(SPEC)
    (folder / "rows.csv").write_text(ROWS)
    (folder / "plugin.py").write_text(PLUGIN)
    return folder


@pytest.fixture
def job(sender: Path, tmp_path: Path) -> Job:
    """A cell that reads a table and a plugin, staged."""
    plugin, cache, store = sender / "plugin.py", tmp_path / "cache", tmp_path / "store"
    spec = resolve(load(sender / "s.toml"), Registry.load((plugin,)))
    inputs = inputs_of(spec, (plugin,), cache)
    stage(inputs, store)
    return Job(
        cell=spec.short_hash,
        label="x",
        spec=spec.dump(),
        folder=str(tmp_path / "runs" / "s" / spec.short_hash),
        study=str(tmp_path / "runs" / "s" / "study"),
        cache=str(cache),
        plugin_files=(str(plugin),),
        inputs=inputs,
        store=str(store),
    )


def test_inputs_are_every_file_by_its_contents(job: Job, sender: Path) -> None:
    assert {Path(name).name for name in job.inputs} == {"rows.csv", "plugin.py"}
    assert {Path(name).parent for name in job.inputs} == {sender}
    for name, sha256 in job.inputs.items():
        assert (Path(job.store) / sha256 / Path(name).name).read_bytes() == Path(name).read_bytes()


def test_stage_again_copies_nothing_and_leaves_nothing(job: Job, sender: Path) -> None:
    def stamps() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in Path(job.store).rglob("*")}

    before = stamps()
    stage(job.inputs, Path(job.store))
    assert stamps() == before
    assert len([path for path in before if path.is_file()]) == 2


def test_cell_on_another_machine_reads_the_store_and_has_the_same_digest(
    job: Job, sender: Path, tmp_path: Path
) -> None:
    assert run_cell(job).status == "finished"
    there = attrs.evolve(job, folder=str(tmp_path / "there" / job.cell), cache=str(tmp_path / "other-cache"))
    sender.rename(tmp_path / "gone")
    ended = run_cell(there)
    assert (ended.status, ended.cause) == ("finished", "")
    assert RunDirectory.open(Path(there.folder)).digest == RunDirectory.open(Path(job.folder)).digest
    _, files = resolve_inputs(there)
    assert [file.parent.parent for file in files] == [Path(job.store)]


def test_cell_reads_existing_paths(job: Job) -> None:
    assert resolve_inputs(job) == (job.spec, tuple(Path(file) for file in job.plugin_files))


def test_file_with_other_contents_at_the_path_is_not_used(job: Job, sender: Path) -> None:
    (sender / "rows.csv").write_text(ROWS + "1,1,1\n")
    text, _ = resolve_inputs(job)
    assert job.store in text
    assert run_cell(job).status == "finished"


@pytest.mark.parametrize("name", ["rows.csv", "plugin.py"])
def test_changed_contents_without_a_store_are_refused(job: Job, sender: Path, name: str) -> None:
    with (sender / name).open("a") as file:
        file.write("\n\n")
    with pytest.raises(RunError) as caught:
        resolve_inputs(attrs.evolve(job, store=""))
    assert str(caught.value) == (
        f"{sender / name} ({job.inputs[str(sender / name)][:12]}…): missing, or changed; run the study "
        "again from the machine that has it"
    )


def test_store_with_a_missing_or_damaged_input_is_refused(job: Job, sender: Path, tmp_path: Path) -> None:
    sha256 = job.inputs[str(sender / "rows.csv")]
    sender.rename(tmp_path / "gone")
    stored = Path(job.store) / sha256 / "rows.csv"
    stored.write_text(ROWS + "0,0,0\n")
    with pytest.raises(RunError, match=r"rows\.csv .*, and not in .*store; run the study again"):
        resolve_inputs(job)
    shutil.rmtree(stored.parent)
    ended = run_cell(job)
    assert (ended.status, "and not in" in ended.cause) == ("failed", True)


def test_stage_of_a_file_that_has_changed_since_is_refused(job: Job, sender: Path, tmp_path: Path) -> None:
    (sender / "rows.csv").write_text(ROWS + "1,1,1\n")
    with pytest.raises(RunError, match=r"rows\.csv .* has changed since it was hashed; run the study again"):
        stage(job.inputs, tmp_path / "new")
    assert [path.name for path in (tmp_path / "new").rglob("*") if path.is_file()] in ([], ["plugin.py"])


def test_stage_of_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"nowhere\.csv: cannot be copied to .*No such file"):
        stage({str(tmp_path / "nowhere.csv"): "ab" * 32}, tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, str]:
    """A data set's folder, and its hash."""
    place = tmp_path / "sender" / "data"
    (place / "train").mkdir(parents=True)
    (place / "train" / "a.bin").write_bytes(b"a" * 10)
    (place / "b.json").write_text("{}")
    return place, folder_sha256(place, tmp_path / "cache")


def folder_job(folder: tuple[Path, str], tmp_path: Path, **more: str) -> Job:
    paths = {name: str(tmp_path / name) for name in ("folder", "study", "cache", "store")}
    spec = f'task.path = "{folder[0]}"\n'
    return Job(
        **{"cell": "x", "label": "", "spec": spec, "inputs": {str(folder[0]): folder[1]}, **paths, **more}
    )  # type: ignore[arg-type]


def test_folder_is_found_in_the_store(folder: tuple[Path, str], tmp_path: Path) -> None:
    job = folder_job(folder, tmp_path)
    stage(job.inputs, Path(job.store))
    folder[0].rename(tmp_path / "gone")
    text, _ = resolve_inputs(job)
    stored = Path(job.store) / folder[1] / "data"
    assert text == f'[task]\npath = "{stored}"\n'
    assert (stored / "train" / "a.bin").read_bytes() == b"a" * 10


def test_folder_with_other_contents_is_not_used(folder: tuple[Path, str], tmp_path: Path) -> None:
    (folder[0] / "b.json").write_text("[]")
    with pytest.raises(RunError, match=r"data .*: missing, or changed"):
        resolve_inputs(folder_job(folder, tmp_path, store=""))


def test_concurrent_staging_of_a_folder_is_complete(folder: tuple[Path, str], tmp_path: Path) -> None:
    raised = list[BaseException]()
    gate = threading.Barrier(8)

    def work() -> None:
        try:
            gate.wait()
            stage({str(folder[0]): folder[1]}, tmp_path / "store")
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    assert [path.name for path in (tmp_path / "store" / folder[1]).iterdir()] == ["data"]
    assert folder_sha256(tmp_path / "store" / folder[1] / "data", tmp_path / "cache") == folder[1]
