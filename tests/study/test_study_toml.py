"""A study's own text: read from anywhere, it is the same study."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boostlora.engine.registry import Registry
from boostlora.engine.study.record import StudyRecord
from boostlora.engine.study.study_loader import Study, load_study

ROWS = "x,y\n" + "".join(f"{i % 7},{i % 2}\n" for i in range(40))
HEAD = 'task = {use = "table", path = "rows.csv", label = "y"}\nmodel = {use = "mlp", hidden = [4]}\nrounds = 1\n'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tables that differ, and a spec that others extend, one floor lower."""
    folder = tmp_path_factory.mktemp("home")
    for number, name in enumerate(("rows.csv", "other.csv", "old.csv", "data/rows.csv")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(ROWS + f"{number},1\n")
    (folder / "data" / "base.toml").write_text(HEAD)
    return folder


def again(study: Study, registry: Registry, folder: Path) -> Study:
    """The study read from its own text, elsewhere."""
    (folder / "study.toml").write_text(study.toml, encoding="utf-8")
    return load_study(folder / "study.toml", registry, folder / "runs")


def comparable(record: StudyRecord) -> tuple[object, ...]:
    return (record.name, record.sha256, record.arms and [a.label for a in record.arms], record.cells)


ABLATES = {
    "plain": "",
    "grid": 'grid."task.path" = ["rows.csv", "other.csv"]\n',
    "grid of tables": 'grid.task = [{path = "rows.csv"}, {path = "other.csv"}]\n',
    "grid, unquoted": 'grid.task.path = ["rows.csv", "./other.csv"]\n',
    "a path that may be none": 'grid."task.source" = ["", "old.csv"]\n',
    "zip": 'zip = [{"task.path" = ["rows.csv", "other.csv"], rounds = [1, 2]}]\n',
    "across": 'across."task.path" = ["rows.csv", "data/../other.csv"]\n',
    "case": '[[ablate.case]]\nname = "x"\nset."task.path" = "other.csv"\n',
    "when": '[[ablate.when]]\nmatch.rounds = 1\nset."task.path" = "other.csv"\n',
    "tune": 'tune."task.source" = ["old.csv", "other.csv"]\n',
}


def labels(record: StudyRecord) -> list[str]:
    """Labels of cells; those that name a path change with it."""
    return [f"{cell.key} {cell.seed}" for cell in record.cells]


@pytest.mark.parametrize("situation", ABLATES)
@pytest.mark.parametrize("head", [HEAD, 'extends = "data/base.toml"\n'], ids=["whole", "extends"])
def test_study_toml_from_another_folder_has_the_same_cells(
    home: Path, registry: Registry, tmp_path: Path, situation: str, head: str
) -> None:
    (home / "s.toml").write_text(head + "[ablate]\nseeds = 2\n" + ABLATES[situation])
    study = load_study(home / "s.toml", registry, tmp_path / "runs")
    other = again(study, registry, tmp_path)
    assert labels(other.record) == labels(study.record)
    assert other.toml == study.toml
    assert "extends" not in tomli.loads(study.toml)


def test_study_toml_of_settings_has_paths_of_where_they_were_given(
    home: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "s.toml").write_text(HEAD + "[ablate]\nseeds = 1\n")
    monkeypatch.chdir(home / "data")
    study = load_study(home / "s.toml", registry, tmp_path / "runs", ["task.path=rows.csv"])
    monkeypatch.chdir(tmp_path)
    assert tomli.loads(study.toml)["task"]["path"] == str((home / "data" / "rows.csv").resolve())
    assert again(study, registry, tmp_path).record.cells == study.record.cells


def test_study_toml_of_a_study_without_a_name_keeps_that_of_its_file(
    home: Path, registry: Registry, tmp_path: Path
) -> None:
    (home / "Mine 2.toml").write_text(HEAD + "[ablate]\nseeds = 1\n")
    study = load_study(home / "Mine 2.toml", registry, tmp_path / "runs")
    assert study.record.name == "mine-2"
    assert again(study, registry, tmp_path).record.name == "mine-2"


PLAIN = {"task": {"use": "digits"}, "model": {"use": "mlp", "hidden": [4]}}
AXES = {
    "rounds": st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
    "basis.use": st.lists(st.sampled_from(["rotate", "fixed", "random"]), min_size=1, unique=True),
    "optimizer.lr": st.lists(st.floats(1e-6, 10.0), min_size=1, max_size=3, unique=True),
    "model.hidden": st.lists(
        st.lists(st.integers(1, 9), min_size=1, max_size=2), min_size=1, max_size=2, unique_by=str
    ),
    "adapter": st.just([{"use": "lora", "rank": 2}, {"use": "tinylora", "rank": 3, "u": 2}]),
}


@st.composite
def studies(draw: st.DrawFn) -> dict[str, object]:
    """Studies whose keys vary in a grid, in a zip of one key, across blocks, or are tuned."""
    ablate: dict[str, object] = {"seeds": draw(st.integers(1, 3) | st.just([5, 2]))}
    for key in draw(st.lists(st.sampled_from(list(AXES)), max_size=4, unique=True)):
        place = draw(st.sampled_from(["grid", "zip", "across", "tune"]))
        if place != "zip" or "zip" not in ablate:
            ablate.setdefault(place, {})[key] = draw(AXES[key])  # type: ignore[index]
    ablate["metric"] = draw(st.sampled_from(["accuracy", "loss"]))
    ablate["case"] = [{"name": "a case", "set": {"sampler": {"use": "all"}}}]
    return {**PLAIN, "name": "s", "ablate": ablate}


@given(tree=studies())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_study_toml_of_any_study_is_the_same_study(
    tree: dict[str, object], registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    (first / "s.toml").write_text(tomli_w.dumps(tree))
    study = load_study(first / "s.toml", registry, first / "runs")
    other = again(study, registry, second)
    assert comparable(other.record) == comparable(study.record)
    assert [cell.spec for cell in other.cells] == [cell.spec for cell in study.cells]
