"""`boostlora report RUN`: the page of a single run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import attrs
import pandas as pd
import pytest

from boostlora.engine.foundation.sealed import write_sealed
from boostlora.engine.report.run import narrative
from boostlora.engine.report.run.view import RunView
from boostlora.engine.runs.directory import RunDirectory

from ..support.commands import boostlora
from .run_reports import Page, made


def directory(folder: Path, name: str) -> RunDirectory:
    (path,) = (folder / "runs" / name).iterdir()
    return RunDirectory.open(path)


def page(folder: Path, name: str, out: Path) -> Page:
    made(folder, "report", name, "--out", str(out))
    return Page.read(out / "report.html")


def copied(folder: Path, name: str, to: Path) -> Path:
    """A run of one's own."""
    (path,) = (folder / "runs" / name).iterdir()
    shutil.copytree(path, to / "runs" / name / path.name)
    return to / "runs" / name / path.name


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def test_report_of_a_classification_has_the_answer_first(tables: Path, tmp_path: Path) -> None:
    found, records = page(tables, "quickstart", tmp_path), directory(tables, "quickstart").records
    base, best = records[0], records[2]
    assert (
        f"From the base model to round 2, the best on validation, validation accuracy went from {percent(base.validation.accuracy)} "
        f"to {percent(best.validation.accuracy)}, and test accuracy went from {percent(base.test.accuracy)} "
        f"to {percent(best.test.accuracy)}." in found.text
    )
    assert found.text.index("From the base model") < found.text.index("State finished, 2 of 2 rounds")
    assert "logistic regression" in found.text
    assert "the simpler model may do" in found.text


def test_report_has_curves_of_every_round(tables: Path, tmp_path: Path) -> None:
    charts, records = page(tables, "quickstart", tmp_path).charts, directory(tables, "quickstart").records
    assert charts["Accuracy, %"]["Validation"] == pytest.approx(
        [r.validation.accuracy for r in records], rel=1e-4
    )
    assert charts["Loss, nats"]["Training"] == pytest.approx([r.train.loss for r in records], rel=1e-4)
    assert charts["Trained parameters so far"]["Parameters"] == [0, 32, 64]
    assert charts["Training examples gained and lost"]["Gained"] == [None, *(r.gained for r in records[1:])]
    assert not [title for title in charts if "reward" in title]


def test_report_has_samples_with_their_answers(tables: Path, tmp_path: Path) -> None:
    found, run = page(tables, "quickstart", tmp_path), directory(tables, "quickstart")
    samples: Any = run.samples()
    answers = run.sample_answers(samples)
    assert "3 fixed examples" in found.text
    curves = found.charts["Probability of what is expected in the samples, %"]
    for number, (sample, by_round) in enumerate(zip(samples.samples, answers, strict=True), 1):
        assert curves[f"{number} · label {sample.expected}"] == pytest.approx(
            [answer.probability for answer in by_round], rel=1e-4
        )
        assert f"Label {sample.expected} Round Answer Judged p of the label" in found.text


def test_report_has_forgetting_provenance_and_next_commands(tables: Path, tmp_path: Path) -> None:
    found, run = page(tables, "quickstart", tmp_path), directory(tables, "quickstart")
    lost, gained = (sum(getattr(record, name) for record in run.records) for name in ("lost", "gained"))
    assert f"{gained:,} training examples were gained" in found.text
    assert f"{lost:,} training example" in found.text
    assert run.records[-1].digest in found.text
    assert f"boostlora evaluate runs/quickstart/{run.path.name} --leave-one-out" in found.text
    assert "boostlora resume" not in found.text


def test_next_commands_of_a_report_are_accepted(tables: Path, tmp_path: Path) -> None:
    text = made(tables, "report", "quickstart", "--format", "md", "--out", str(tmp_path))
    commands = [
        line.partition("#")[0].split()
        for line in Path(text.strip()).read_text().splitlines()
        if line.startswith("boostlora ")
    ]
    assert [words[1] for words in commands] == ["show", "evaluate", "compare", "verify", "export"]
    for words in commands[:3]:
        made(tables, *words[1:])


def test_report_of_a_regression_has_errors_and_values_and_no_accuracy(tables: Path, tmp_path: Path) -> None:
    found, run = page(tables, "prices", tmp_path), directory(tables, "prices")
    assert "validation RMSE" in found.text
    assert "ccuracy" not in found.text
    assert "nats" not in found.text
    rmse = [record.test.measures["rmse"] for record in run.records]
    assert found.charts["RMSE"]["Test"] == pytest.approx(rmse, rel=1e-4)
    assert len(found.charts["Predicted value of the samples"]) == 3
    assert "<b>flats" not in found.markup
    assert "rents of <b>flats</b>" in found.text


def test_report_of_a_run_under_rewards_has_reward_curves(sums: Path, tmp_path: Path) -> None:
    found, run = page(sums, "sums", tmp_path), directory(sums, "sums")
    rollouts: list[Any] = [record.rollouts for record in run.records]
    assert rollouts[0] is None
    rewards = found.charts["Mean reward of the round's answers"]
    assert rewards["All answers"] == [None, *(pytest.approx(r.reward, rel=1e-4) for r in rollouts[1:])]
    groups = [None, *(pytest.approx(r.zero_variance / r.groups, rel=1e-4) for r in rollouts[1:])]
    assert found.charts["Groups of answers with equal rewards, %"]["Groups"] == groups
    assert f"{rollouts[1].zero_variance} of {rollouts[1].groups}" in found.text
    samples: Any = run.samples()
    assert all(sample.input["prompt"] in found.text for sample in samples.samples)


def test_markdown_has_what_the_page_has(tables: Path, tmp_path: Path) -> None:
    made(tables, "report", "prices", "--format", "md", "--out", str(tmp_path))
    text = (tmp_path / "report.md").read_text()
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        f"## {t}" for t in ("Results", "Samples", "Gained and lost", "Rounds", "Next", "Provenance", "Spec")
    ]
    lead = narrative.lead(RunView.read(directory(tables, "prices").path))
    assert text.startswith(f"# prices\n\nrents of &lt;b&gt;flats&lt;/b&gt;\n\n{lead}\n\n")
    assert text.count("### Sample ") == 3


def test_csv_has_a_row_a_round_with_every_metric(tables: Path, tmp_path: Path) -> None:
    made(tables, "report", "quickstart", "--format", "csv", "--out", str(tmp_path))
    frame = pd.read_csv(tmp_path / "rounds.csv")
    records = directory(tables, "quickstart").records
    assert list(frame["round"]) == [0, 1, 2]
    assert list(frame["test.auroc"]) == pytest.approx([r.test.measures["auroc"] for r in records])


def test_report_goes_into_the_folder_of_the_run(tables: Path, tmp_path: Path) -> None:
    path = copied(tables, "quickstart", tmp_path)
    said = json.loads(made(tmp_path, "report", "quickstart", "--json"))
    assert sorted(said) == ["report.html", "report.md", "rounds.csv"]
    assert sorted(p.name for p in (path / "report").iterdir()) == sorted(said)
    assert "2 of 2 rounds cached" in made(tmp_path, "run", "quickstart", "--set", "rounds=2")


def test_report_of_an_unfinished_run_says_so_and_how_to_resume(tables: Path, tmp_path: Path) -> None:
    path = copied(tables, "quickstart", tmp_path)
    made(tmp_path, "rollback", "quickstart", "--to", "1")
    found = page(tmp_path, "quickstart", tmp_path / "out")
    assert "State unfinished, 1 of 2 rounds" in found.text
    assert "The run is unfinished: 1 of 2 rounds so far." in found.text
    assert "round 1, the best on validation so far" in found.text
    assert f"boostlora resume runs/quickstart/{path.name}" in found.text


def test_report_of_a_run_without_rounds_has_no_answer_yet(tables: Path, tmp_path: Path) -> None:
    path = copied(tables, "quickstart", tmp_path)
    for name in ("rounds.jsonl", "result.json"):
        (path / name).unlink()
    found = page(tmp_path, "quickstart", tmp_path / "out")
    assert "No round has finished yet" in found.text
    assert found.data["charts"] == []
    made(tmp_path, "report", "quickstart", "--format", "all", "--out", str(tmp_path / "all"))


def test_report_of_a_run_whose_base_is_best_says_so(tables: Path, tmp_path: Path) -> None:
    made(
        tables,
        "run",
        "quickstart",
        "--runs",
        str(tmp_path),
        "--set",
        "rounds=1",
        "--set",
        "optimizer.lr=1e-9",
    )
    done = boostlora(
        "report", "quickstart", "--runs", str(tmp_path), "--out", str(tmp_path / "o"), cwd=tables
    )
    assert done.returncode == 0, done.stderr
    found = Page.read(tmp_path / "o" / "report.html")
    assert (
        "No round beat the base on validation (accuracy): the base is the better model (validation accuracy"
        in found.text
    )
    assert "Try a lower optimizer.lr" in found.text
    assert f"boostlora advise {tmp_path}/quickstart/" in found.text


def test_report_of_a_run_that_is_worse_on_the_test_split_says_so(tables: Path) -> None:
    view = RunView.read(directory(tables, "quickstart").path)
    first, *others = view.records
    turned = (attrs.evolve(first, test=view.records[2].test), *others[:-1])
    last = attrs.evolve(others[-1], test=first.test)
    worse = attrs.evolve(view, records=(*turned, last))
    sentence = "On the test split round 2 is worse than the base (accuracy)."
    assert sentence in narrative.notes(worse)
    assert sentence not in narrative.notes(view)


def test_hostile_sample_is_text_in_the_page(tables: Path, tmp_path: Path) -> None:
    path = copied(tables, "quickstart", tmp_path)
    content = json.loads((path / "samples.json").read_text())
    content.pop("seal")
    hostile = "</script><script>alert(1)</script>\ud800"
    content["samples"][0]["input"] = {"prompt": hostile}
    content["samples"][0]["expected"] = "| `x` </script>"
    write_sealed(path / "samples.json", content)
    found = page(tmp_path, "quickstart", tmp_path / "out")
    assert "<script>alert" not in found.markup
    assert "alert(1)" in found.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("qickstart",), 'no study or run "qickstart"; did you mean "quickstart"?'),
        (("nothing-like-it",), "there are: prices, quickstart"),
        (
            ("quickstart", "--format", "tex"),
            'a run has no report in the format "tex"; allowed: html, md, csv',
        ),
        ((), "Missing argument"),
    ],
)
def test_report_of_what_does_not_exist_is_refused(
    tables: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    done = boostlora("report", *words, *(("--out", str(tmp_path / "out")) if words else ()), cwd=tables)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_report_of_a_name_of_several_runs_names_them(tables: Path, tmp_path: Path) -> None:
    path = copied(tables, "quickstart", tmp_path)
    shutil.copytree(path, path.with_name("other"))
    done = boostlora("report", "quickstart", cwd=tmp_path)
    assert done.returncode == 2
    assert '"quickstart" is 2 runs; name one of them' in done.stderr


def test_report_without_any_study_or_run_says_what_to_start(tmp_path: Path) -> None:
    done = boostlora("report", "anything", cwd=tmp_path)
    assert done.returncode == 2
    assert "run one with: boostlora ablate SPEC" in done.stderr
