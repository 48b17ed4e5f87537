"""A task that measures more than accuracy and loss: `ablate`, `show`, `report`, and what a spec may compare by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ..support.commands import boostlora
from .tiny_study import TINY, write

RANKED = """
import attrs
from boostlora.engine.hookspecs import hookimpl
from boostlora.engine.sdk.metrics import class_measures
from boostlora.plugins.tasks.digits import Digits


@attrs.frozen(kw_only=True)
class Ranked(Digits):
    measures = ("mcc", "macro_f1")

    def judge(self, examples, predictions):
        outcome = Digits.judge(self, examples, predictions)
        found = class_measures(examples.labels, predictions.output, classes=10)
        return attrs.evolve(outcome, measures={name: found[name] for name in self.measures})


@hookimpl
def register_tasks(register):
    register("ranked", Ranked)
"""

STUDY = TINY.replace("rounds = 3", 'rounds = 2\n\n[task]\nuse = "ranked"') + 'metric = "mcc"\n'


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The study, run once: its folder, the cache, and what was said."""
    folder = tmp_path_factory.mktemp("measures")
    (folder / "ranked.py").write_text(RANKED)
    write(folder, STUDY)
    done = boostlora("ablate", "tiny.toml", "--plugin", "ranked.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def one_run(folder: Path) -> str:
    return min(str(path.parent.relative_to(folder)) for path in folder.glob("runs/*/*/rounds.jsonl"))


def last_record(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name / "rounds.jsonl").read_text().splitlines()[-1])


def test_ablate_compares_by_the_measure_and_shows_the_others(played: tuple[Path, str]) -> None:
    head = next(line for line in played[1].splitlines() if line.startswith("arm"))
    assert "test mcc  accuracy (%)  macro_f1" in head


def test_show_of_a_run_ends_with_its_measures(played: tuple[Path, str]) -> None:
    folder, _ = played
    lines = boostlora("show", one_run(folder), cwd=folder).stdout.splitlines()
    place = next(i for i, line in enumerate(lines) if line.split() == ["measure", "validation", "test"])
    found = last_record(folder, one_run(folder))
    for line, name in zip(lines[place + 1 :], ("mcc", "macro_f1"), strict=False):  # its own come first
        parts = line.split()
        assert (parts[0], parts[3], parts[6]) == (
            name,
            *(f"{found[split]['measures'][name]:.3f}" for split in ("validation", "test")),
        )


def test_show_of_several_runs_has_a_column_per_measure(played: tuple[Path, str]) -> None:
    folder, _ = played
    lines = boostlora("show", cwd=folder).stdout.splitlines()
    assert "test mcc  test macro_f1" in lines[0]
    assert len(lines) == 7


def test_show_json_has_measures_of_every_split_and_round(played: tuple[Path, str]) -> None:
    folder, _ = played
    content = json.loads(boostlora("show", "--json", one_run(folder), cwd=folder).stdout)
    for record in content["rounds"]:
        for split in ("train", "validation", "test"):
            assert list(record[split]["measures"])[:2] == ["mcc", "macro_f1"]


def test_report_uses_the_studys_measure(played: tuple[Path, str]) -> None:
    folder, _ = played
    done = boostlora("report", "tiny", cwd=folder)
    assert done.returncode == 0, done.stderr
    text = (folder / "runs/tiny/report/report.md").read_text()
    assert "| Test MCC | Difference |" in text
    assert "Test macro F1" in text


def test_metric_that_the_task_does_not_measure_is_refused(played: tuple[Path, str]) -> None:
    folder, _ = played
    write(folder, STUDY.replace('"mcc"', '"macro_f2"'), "wrong.toml")
    done = boostlora("check", "wrong.toml", "--plugin", "ranked.py", cwd=folder)
    assert done.returncode == 2
    assert 'expected one of "accuracy", "loss", "auprc", ' in done.stderr
    assert 'got "macro_f2"' in done.stderr
    assert 'did you mean "macro_f1"?' in done.stderr


def test_metric_that_only_some_arms_measure_is_refused(played: tuple[Path, str]) -> None:
    folder, _ = played
    text = STUDY.replace('grid."basis.use"', 'grid."task.use" = ["ranked", "digits"]\ngrid."basis.use"')
    text = text.replace('[task]\nuse = "ranked"\n', "").replace('metric = "mcc"', 'metric = "spread"')
    write(folder, text, "mixed.toml")
    (folder / "spread.py").write_text(RANKED.replace('("mcc", "macro_f1")', '("spread",)'))
    done = boostlora("check", "mixed.toml", "--plugin", "spread.py", cwd=folder)
    assert done.returncode == 2
    assert 'expected one of "accuracy", "loss", "auprc", ' in done.stderr
    assert 'got "spread"' in done.stderr
