"""A person's whole way with a table: from a CSV file to predictions in a folder without this package, the run, or the table."""

from __future__ import annotations

import csv
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ..support.commands import Command, python

BLOCKED = "import runpy, sys; sys.modules['boostlora'] = None; sys.argv = sys.argv[1:]; "
PROGRAM = BLOCKED + "runpy.run_path(sys.argv[0], run_name='__main__')"


def _people(n: int, seed: int) -> pd.DataFrame:
    """Columns of every kind, under names as people give them."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, n).astype(float)
    notes = rng.choice(["called in the morning", "never answers the phone", "wants a better price"], n)
    frame = pd.DataFrame(
        {
            "customer_id": [f"C{i:05}" for i in range(n)],
            "joined": pd.Series(pd.date_range("2020-01-01", periods=n)).dt.strftime("%d.%m.%Y"),
            'age ("years")': np.where(rng.random(n) < 0.1, np.nan, age),
            "label": rng.choice(["Rome", "Oslo", "Köln"], n),
            "discount": [f"{v:.1f} %" for v in rng.uniform(0, 30, n)],
            "member": rng.choice(["yes", "no"], n),
            "note": [f"{note} {i}" for i, note in enumerate(notes)],
        }
    )
    return frame.assign(rich=np.where(age + rng.normal(0, 8, n) > 55, "yes", "no"))


@pytest.fixture
def exported(tmp_path: Path, boostlora: Command) -> tuple[Path, list[dict[str, str]]]:
    """A folder with nothing but the export and new rows, and what `boostlora predict` says of these."""
    work, alone = tmp_path / "work", tmp_path / "alone"
    work.mkdir()
    alone.mkdir()
    _people(150, seed=0).to_csv(work / "people.csv", index=False)
    new = _people(25, seed=1).drop(columns=["rich", "customer_id"])
    new.loc[3, "label"] = "Paris"
    new.loc[4, "note"] = None
    new.to_csv(work / "new.csv", index=False)
    for line in (
        "init people.csv --label rich",
        "check people.toml",
        "run people.toml --set rounds=2 --set optimizer.steps=5",
        "report people",
        "predict people new.csv --out predicted.csv",
        "export people --to safetensors --out export",
        "export people --to boost --out people.boost.safetensors",
        "export people --to safetensors --rounds 0 --out base",
        "apply base people.boost.safetensors --out merged",
    ):
        done = boostlora(*line.split(), cwd=work)
        assert done.returncode == 0, f"{line}: {done.stderr}"
    with (work / "predicted.csv").open(encoding="utf-8", newline="") as file:
        predicted = list(csv.DictReader(file))
    merged, weights = work / "merged" / "model.safetensors", work / "export" / "model.safetensors"
    assert merged.read_bytes() == weights.read_bytes(), "the base's preprocessing is no part of its weights"
    shutil.move(work / "export", alone / "export")
    shutil.move(work / "new.csv", alone / "new.csv")
    shutil.rmtree(work)
    return alone, predicted


def test_exported_program_predicts_as_the_run_did(exported: tuple[Path, list[dict[str, str]]]) -> None:
    alone, predicted = exported
    done = python("-I", "-c", PROGRAM, "export/score.py", "new.csv", cwd=alone)
    assert done.returncode == 0, done.stderr
    found = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(found[0]) == list(predicted[0]) == ["row", "prediction", "p_no", "p_yes"]
    assert len(found) == 25
    for name in ("row", "prediction"):
        assert [row[name] for row in found] == [row[name] for row in predicted]
    shares = [[float(row["p_yes"]) for row in rows] for rows in (found, predicted)]
    np.testing.assert_allclose(*shares, rtol=1e-5, atol=1e-6)
    assert np.ptp(shares[0]) > 0.05

    (lines,) = re.findall(
        r"## Use\n+```python\n(.*?)```", (alone / "export" / "README.md").read_text("utf-8"), re.DOTALL
    )
    shown = python("-I", "-c", f"{BLOCKED}\n{lines}", "card", cwd=alone)
    assert shown.returncode == 0, shown.stderr
    assert "prediction" in shown.stdout

    wrong = python("-I", "-c", PROGRAM, "export/score.py", "absent.csv", cwd=alone)
    assert wrong.returncode == 1
    assert "Traceback" not in wrong.stderr
    assert wrong.stderr.startswith("absent.csv: ")
