"""`show --classes`: recall by class and the confusion matrix, from the outcomes on disk and the labels of the data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from boostlora.engine.cli import classes
from boostlora.engine.cli.classes import confusion_lines

from ..support.commands import boostlora

COUNTS = np.array([[5, 1, 0], [0, 4, 0], [2, 1, 3]], dtype=np.int64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two rounds."""
    made = tmp_path_factory.mktemp("classes")
    assert boostlora("run", "quickstart", "--set", "rounds=2", cwd=made).returncode == 0
    return made


def test_show_classes_has_recalls_and_counts_of_the_best_round(folder: Path) -> None:
    done = boostlora("show", "quickstart", "--classes", cwd=folder)
    assert done.returncode == 0, done.stderr
    content = json.loads(boostlora("show", "quickstart", "--json", cwd=folder).stdout)
    best = content["result"]["best_round"]
    test = content["rounds"][best]["test"]
    lines = done.stdout.splitlines()
    assert lines[0] == f"test split, round {best} (the best on validation)"
    assert max(map(len, lines)) <= 80
    rows = [line.split() for line in lines[3:13]]
    recalls = [f"{100 * test['measures'][f'recall_{name}']:.1f}" for name in range(10)]
    assert [row[3] for row in rows] == recalls
    matrix = np.array([list(map(int, row[4:])) for row in rows])
    assert matrix.sum() == test["count"]
    assert np.trace(matrix) == round(test["accuracy"] * test["count"])
    assert [int(row[2]) for row in rows] == matrix.sum(axis=1).tolist()


def test_confusion_matrix_has_the_classes_names() -> None:
    assert confusion_lines(("cat", "dog", "a very long name of some class"), COUNTS)[:4] == [
        "class                       examples  recall %  0  1  2",
        "0 cat                              6      83.3  5  1  0",
        "1 dog                              4     100.0  0  4  0",
        "2 a very long … some class         6      50.0  2  1  3",
    ]


def test_matrix_wider_than_the_terminal_becomes_the_most_frequent_mistakes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classes, "line_width", lambda: 50)
    assert confusion_lines(("cat", "dog", "cow of several words"), COUNTS) == [
        "class                 examples  recall %  most often taken for",
        "cat                          6      83.3  dog (1)",
        "dog                          4     100.0  -",
        "cow of several words         6      50.0  cat (2), dog (1)",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--json",), "--classes is for one run, and without --json"),
        (("quickstart",), "--classes is for one run, and without --json"),
    ],
)
def test_show_classes_of_several_runs_or_as_json_is_refused(
    words: tuple[str, ...], message: str, folder: Path
) -> None:
    done = boostlora("show", "quickstart", *words, "--classes", cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr


def test_show_classes_of_changed_data_is_refused(tmp_path: Path) -> None:
    rows = "".join(f"{i % 7},{i * 5 % 11},{'ab'[i % 2]}\n" for i in range(77))
    (tmp_path / "rows.csv").write_text("x,y,label\n" + rows)
    (tmp_path / "rows.toml").write_text(
        'extends = "quickstart"\nname = "rows"\nrounds = 1\nboosting.refit_every = 0\nadapter.rank = 1\n'
        'task.use = "table"\ntask.path = "rows.csv"\ntask.label = "label"\n'
    )
    done = boostlora("run", "rows.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "test split, round" in boostlora("show", "rows", "--classes", cwd=tmp_path).stdout
    (tmp_path / "rows.csv").write_text("x,y,label\n" + rows.replace(",a", ",c"))
    done = boostlora("show", "rows", "--classes", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "changed" in done.stderr
