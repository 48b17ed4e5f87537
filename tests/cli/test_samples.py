"""`show --samples`: three fixed validation examples with the answers after every round."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ..support.commands import boostlora

SPEC = """
extends = "quickstart"
name = "prices"
rounds = 2
boosting.refit_every = 0
adapter.rank = 1
objective.use = "mse"
task.use = "table"
task.path = "rows.csv"
task.label = "price"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished regression and a finished classification of two rounds."""
    made = tmp_path_factory.mktemp("samples")
    rows = "".join(f"{i % 7},{'ab'[i % 2]},{i * 5 % 11 + i / 10}\n" for i in range(90))
    (made / "rows.csv").write_text("size,kind,price\n" + rows)
    (made / "prices.toml").write_text(SPEC)
    for spec in ("prices.toml", "quickstart"):
        done = boostlora("run", spec, "--set", "rounds=2", cwd=made)
        assert done.returncode == 0, done.stderr
    return made


def test_show_samples_has_the_rows_and_a_value_for_every_span_of_rounds(folder: Path) -> None:
    done = boostlora("show", "prices", "--samples", cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "3 fixed validation examples; round 0 is the base model"
    assert lines[2].startswith("1. size ")
    assert ", kind " in lines[2]
    assert lines[3].startswith("   value: ")
    assert lines[4].split() == ["round", "judged", "answer"]


def test_show_samples_of_a_classifier_has_the_probability_of_the_label(folder: Path) -> None:
    done = boostlora("show", "quickstart", "--samples", cwd=folder)
    content = json.loads(boostlora("show", "quickstart", "--samples", "--json", cwd=folder).stdout)
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].startswith("1. 64 numbers: 0, ")
    first = content["samples"][0]
    assert lines[3] == f"   label: {first['expected']}"
    base = next(line for line in lines if line.split()[0:1] == ["0"]).split()
    assert base[1] == f"{first['rounds'][0]['probability']:.3f}"
    assert base[-1] == first["rounds"][0]["answer"]


def test_samples_as_json_have_every_round_and_whole_inputs(folder: Path) -> None:
    content = json.loads(boostlora("show", "prices", "--samples", "--json", cwd=folder).stdout)
    assert (content["split"], content["kind"], len(content["samples"])) == ("validation", "value", 3)
    for sample in content["samples"]:
        assert set(sample["input"]) == {"size", "kind"}
        assert [answer["round"] for answer in sample["rounds"]] == [0, 1, 2]
        assert float(sample["rounds"][0]["answer"]) == pytest.approx(sample["rounds"][0]["value"], rel=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("quickstart", "prices", "--samples"), "--samples is for one run; name one"),
        (("quickstart", "--samples", "--classes"), "--classes and --samples exclude each other"),
    ],
)
def test_show_samples_with_what_does_not_go_together_is_refused(
    words: tuple[str, ...], message: str, folder: Path
) -> None:
    done = boostlora("show", *words, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_show_samples_of_a_run_without_them_says_what_to_do(folder: Path) -> None:
    (path,) = (folder / "runs" / "prices").glob("*/samples.json")
    kept = path.read_bytes()
    path.unlink()
    try:
        done = boostlora("show", "prices", "--samples", cwd=folder)
    finally:
        path.write_bytes(kept)
    assert (done.returncode, done.stdout) == (2, "")
    assert "run it again with --fresh" in done.stderr
