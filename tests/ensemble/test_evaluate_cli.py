"""`boostlora evaluate`: its output, its JSON, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..support.boost_runs import PLUGIN, ToyRun, adapter_text, toy_run

Command = Callable[..., Any]
PLUG = ("--plugin", PLUGIN)
METRICS = {"accuracy", "loss", "count", "measures", "own"}


@pytest.fixture
def ask(toy: ToyRun, boostlora: Command) -> Command:
    """`boostlora evaluate` of the toy's run."""
    return lambda *options: boostlora("evaluate", toy.path, *options, *PLUG)


def _json(answer: Any) -> Any:
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    return json.loads(answer.stdout)


def _cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def test_evaluate_of_all_rounds_shows_every_split_against_the_base(toy: ToyRun, ask: Command) -> None:
    lines = ask("--rounds", "all").stdout.splitlines()
    assert lines[0] == "rounds 1..4: read from the run"
    assert _cells(lines[2])[:4] == ["split", "model", "accuracy %", "loss nats"]
    records = toy.ensemble().records
    rows = [_cells(line) for line in lines[3:9]]
    for i, split in enumerate(("train", "validation", "test")):
        for row, record, name in ((rows[2 * i], records[0], "base"), (rows[2 * i + 1], records[4], "rounds 1..4")):  # fmt: skip
            found = getattr(record, split)
            cells = [name, f"{100 * found.accuracy:.1f}", f"{found.loss:.3f}"]
            expected = [split, *cells] if name == "base" else cells
            assert row[: len(expected)] == expected
    assert lines[9] == ""
    told = r"test: [+-]\d+\.\d points \[.*\] against the base: right where it is wrong on \d+, wrong where it is right on \d+ of 24; p = .* \(McNemar\)"  # fmt: skip
    assert re.fullmatch(told, lines[10])
    assert len(lines) == 11


@pytest.mark.parametrize(
    ("options", "head"),
    [
        (["--rounds", "2"], "rounds 1..2: read from the run"),
        (["--rounds", "1..2"], "rounds 1..2: read from the run"),
        (["--rounds", "0"], "rounds 0 (the base): read from the run"),
        (["--drop", "4"], "rounds 1..3: read from the run"),
        (["--weight", "2=1"], "rounds 1..4: read from the run"),
        (["--rounds", "2", "--recompute"], "rounds 1..2: computed now"),
        (["--drop", "2"], "rounds 1, 3..4: computed now"),
        (["--rounds", "1..3", "--weight", "2=0.5"], "rounds 1, 2 (x 0.5), 3: computed now"),
    ],
)
def test_evaluate_prints_the_source_of_its_metrics(options: list[str], head: str, ask: Command) -> None:
    assert ask(*options).stdout.splitlines()[0] == head


def test_evaluate_of_a_selection_is_also_compared_with_all_rounds(ask: Command) -> None:
    lines = ask("--rounds", "2", "--split", "validation").stdout.splitlines()
    assert [_cells(line.removeprefix("validation"))[0] for line in lines[3:6]] == [
        "base",
        "rounds 1..2",
        "all 4 rounds",
    ]
    assert [line.partition(":")[0] for line in lines[7:]] == ["validation", "validation"]
    assert " against the base: " in lines[7]
    assert " against all rounds: " in lines[8]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_evaluate_of_one_split_computes_only_that_split(split: str, toy: ToyRun, ask: Command) -> None:
    found = _json(ask("--split", split, "--drop", "2", "--json"))
    assert list(found["metrics"]) == list(found["base"]) == list(found["against_base"]) == [split]
    expected = toy.ensemble().evaluate(split, {1: 1.0, 3: 1.0, 4: 1.0})
    assert found["metrics"][split]["loss"] == expected.loss
    assert found["metrics"][split]["accuracy"] == expected.accuracy


def test_evaluate_json_has_every_field(toy: ToyRun, ask: Command) -> None:
    found = _json(ask("--rounds", "2", "--json"))
    assert found.keys() == {
        "rounds", "recorded", "metrics", "base", "all_rounds", "against_base", "against_all",
    }  # fmt: skip
    assert (found["rounds"], found["recorded"]) == ("1..2", True)
    records = toy.ensemble().records
    for key, record in (("base", records[0]), ("metrics", records[2]), ("all_rounds", records[4])):
        assert list(found[key]) == ["train", "validation", "test"]
        for split, metrics in found[key].items():
            assert metrics.keys() == METRICS
            assert metrics["accuracy"] == getattr(record, split).accuracy
    for pairs in (found["against_base"], found["against_all"]):
        for pair in pairs.values():
            assert pair.keys() == {
                "only_first", "only_second", "both", "neither", "examples", "difference", "p", "test", "interval",
            }  # fmt: skip


def test_evaluate_recompute_equals_the_record(ask: Command) -> None:
    recorded, computed = _json(ask("--json")), _json(ask("--json", "--recompute"))
    assert (recorded["recorded"], computed["recorded"]) == (True, False)
    assert recorded["metrics"] == computed["metrics"]


def test_evaluate_recompute_that_differs_from_the_record_is_an_error(
    ask: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boostlora.engine.ensemble.ensemble import Ensemble

    own = Ensemble._chosen
    monkeypatch.setattr(Ensemble, "_chosen", lambda self, choice: own(self, choice)[1:])
    answer = ask("--recompute")
    assert answer.returncode == 3
    told = r"error: the train loss is \S+, but \S+ was recorded: base, data or versions have changed since the run\n"  # fmt: skip
    assert re.fullmatch(told, answer.stderr)


def test_evaluate_staged_has_a_line_for_every_round_and_marks_the_best(toy: ToyRun, ask: Command) -> None:
    lines = ask("--staged").stdout.splitlines()
    records = toy.ensemble().records
    assert _cells(lines[0])[0] == "round"
    for line, record in zip(lines[1:6], records, strict=True):
        found = [f"{100 * record.validation.accuracy:.1f}", f"{record.validation.loss:.3f}"]
        found += [f"{100 * record.test.accuracy:.1f}", f"{record.test.loss:.3f}"]
        assert _cells(line)[:5] == [str(record.round), *found]
    best = max(records, key=lambda r: (r.validation.accuracy, -r.round)).round
    assert [i for i, line in enumerate(lines[1:6]) if line.endswith("*")] == [best]
    assert lines[-1] == f"* best accuracy on validation; to use it: --rounds {best}"
    assert (
        ask("--staged", "--metric", "loss").stdout.splitlines()[-1]
        == "* best loss on validation; to use it: --rounds 4"
    )


def test_evaluate_staged_json_has_every_stage(toy: ToyRun, ask: Command) -> None:
    found = _json(ask("--staged", "--json", "--metric", "loss", "--rounds", "3"))
    assert found.keys() == {"stages", "metric", "best_on_validation"}
    assert (found["metric"], found["best_on_validation"]) == ("loss", 3)
    assert [stage["round"] for stage in found["stages"]] == [0, 1, 2, 3]
    for stage, record in zip(found["stages"], toy.ensemble().records, strict=False):
        assert stage.keys() == {"round", "validation", "test"}
        assert stage["validation"]["loss"] == record.validation.loss
        assert stage["test"]["accuracy"] == record.test.accuracy


def test_leave_one_out_shows_the_contribution_of_each_round(toy: ToyRun, ask: Command) -> None:
    found = _json(ask("--leave-one-out", "--json", "--metric", "loss"))
    assert found.keys() == {"rounds", "metric", "whole", "without"}
    ensemble = toy.ensemble()
    assert found["whole"]["validation"]["loss"] == ensemble.records[4].validation.loss
    assert [stage["round"] for stage in found["without"]] == [1, 2, 3, 4]
    lines = ask("--leave-one-out", "--metric", "loss").stdout.splitlines()
    assert re.fullmatch(r"rounds 1\.\.4: validation \S+, test \S+ \(loss, lower is better\)", lines[0])
    for line, stage in zip(lines[3:7], found["without"], strict=True):
        rest = [n for n in range(1, 5) if n != stage["round"]]
        values = [str(stage["round"])]
        for split in ("validation", "test"):
            without, whole = ensemble.evaluate(split, rest).loss, ensemble.evaluate(split).loss
            assert stage[split]["loss"] == without
            values += [f"{without:.3f}", f"{without - whole:+.3f}"]
        assert _cells(line)[:5] == values
    assert lines[-1] == "gain: improvement of the model by the round, in nats"


def test_leave_one_out_of_a_selection_omits_unselected_rounds(toy: ToyRun, ask: Command) -> None:
    found = _json(ask("--leave-one-out", "--json", "--rounds", "2..3", "--weight", "3=0.5"))
    assert found["rounds"] == "2, 3 (x 0.5)"
    ensemble = toy.ensemble()
    assert [stage["round"] for stage in found["without"]] == [2, 3]
    assert found["without"][0]["test"]["loss"] == ensemble.evaluate("test", {3: 0.5}).loss
    assert found["without"][1]["test"]["loss"] == ensemble.evaluate("test", {2: 1.0}).loss


def test_leave_one_out_marks_harmful_rounds(ask: Command) -> None:
    found = ask("--leave-one-out", "--weight", "1=-5", "--metric", "loss").stdout.splitlines()
    assert "better without it on validation" in found[3]
    assert _cells(found[3])[2].startswith("-")


def test_leave_one_out_omits_refused_rounds(boostlora: Command, tmp_path: Path) -> None:
    run = toy_run(tmp_path / "gate", "backend.threads=1", "merge.use=gate", text=adapter_text("lora"))
    refused = [r.round for r in run.ensemble().records[1:] if r.scale == 0.0]
    assert refused
    found = _json(boostlora("evaluate", run.path, "--leave-one-out", "--json", *PLUG))
    assert [s["round"] for s in found["without"]] == [n for n in range(1, 5) if n not in refused]


def test_leave_one_out_of_the_base_is_empty(ask: Command) -> None:
    assert _json(ask("--leave-one-out", "--rounds", "0", "--json"))["without"] == []


@pytest.mark.parametrize("metric", ["first", "timed_out"])
def test_evaluate_uses_a_measure_of_the_task(metric: str, boostlora: Command, tmp_path: Path) -> None:
    task = Path(__file__).with_name("measuring_task.py")
    plugins = (PLUGIN, task)
    run = toy_run(tmp_path / "toy", "task.use=measured-blobs", "backend.threads=1", plugins=plugins)
    more = (*PLUG, "--plugin", task)
    values = [r.validation.measures[metric] for r in run.ensemble().records]
    best = values.index(min(values) if metric == "timed_out" else max(values))
    found = _json(boostlora("evaluate", run.path, "--staged", "--metric", metric, "--json", *more))
    assert (found["metric"], found["best_on_validation"]) == (metric, best)
    assert [s["validation"]["measures"][metric] for s in found["stages"]] == values
    lines = boostlora("evaluate", run.path, "--staged", "--metric", metric, *more).stdout.splitlines()
    assert lines[-1] == f"* best {metric} on validation; to use it: --rounds {best}"
    lines = boostlora("evaluate", run.path, "--leave-one-out", "--metric", metric, *more).stdout.splitlines()
    better = "lower" if metric == "timed_out" else "higher"
    assert f"({metric}, {better} is better)" in lines[0]
    lines = boostlora("evaluate", run.path, "--rounds", "all", "--split", "test", *more).stdout.splitlines()
    titles = [title.partition(" ")[0] for title in _cells(lines[2])[2:]]
    assert titles[:2] == ["accuracy", "loss"]
    assert {"first", "timed_out"} <= set(titles)
    answer = boostlora("evaluate", run.path, "--staged", "--metric", "nothing", *more)
    assert answer.returncode == 2
    told = 'error: no metric "nothing" on validation; there are: accuracy, loss, '
    assert answer.stderr.startswith(told)
    assert {"first", "timed_out"} <= set(answer.stderr.removeprefix(told).strip().split(", "))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", "5"], "error: no round 5; there are: 1 to 4\n"),
        (["--rounds", "x"], 'error: "x" is not a selection of rounds; allowed: 7 (the first seven), 1..7, 3.., 1..3,5, all, best, 0 (the base)\n'),
        (["--drop", "x"], 'error: --drop: "x" is not the number of a round\n'),
        (["--weight", "1"], 'error: --weight: "1" is not of the form N=FACTOR, such as 5=0.5\n'),
        (["--staged", "--leave-one-out"], "error: --staged and --leave-one-out exclude each other; give one of them\n"),
        (["--staged", "--weight", "2=0.5"], "error: --staged shows the run's own models, which have no other weights\n"),
        (["--staged", "--metric", "bleu"], 'error: no metric "bleu" on validation; there are: accuracy, loss, '),
        (["--leave-one-out", "--metric", "bleu"], 'error: no metric "bleu" on validation; there are: accuracy, loss, '),
    ],
)  # fmt: skip
def test_evaluate_refuses_invalid_options(options: list[str], message: str, ask: Command) -> None:
    answer = ask(*options)
    assert (answer.returncode, answer.stdout, answer.stderr[: len(message)]) == (2, "", message)


def test_evaluate_of_a_boost_file_points_to_the_run(toy_file: Path, boostlora: Command) -> None:
    answer = boostlora("evaluate", toy_file, *PLUG)
    told = f"error: {toy_file}: a boost file has no data to evaluate on; evaluate the run that it came from\n"
    assert (answer.returncode, answer.stderr) == (2, told)


def test_evaluate_of_a_missing_run_is_refused(boostlora: Command) -> None:
    answer = boostlora("evaluate", "nothing")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "nothing" in answer.stderr


def test_evaluate_finds_a_run_by_its_name(toy: ToyRun, boostlora: Command, tmp_path: Path) -> None:
    shutil.copytree(toy.path, tmp_path / "runs" / "toy" / "abc")
    answer = boostlora("evaluate", "toy", "--rounds", "1", *PLUG)
    assert answer.stdout.startswith("rounds 1..1: read from the run\n")


@pytest.mark.parametrize("file", ["outcomes/0002.safetensors", "updates/0001.safetensors", "rounds.jsonl"])
def test_evaluate_of_a_damaged_run_is_refused(
    file: str, toy: ToyRun, boostlora: Command, tmp_path: Path
) -> None:
    place = tmp_path / "run"
    shutil.copytree(toy.path, place)
    data = bytearray((place / file).read_bytes())
    data[len(data) // 2] ^= 1
    (place / file).write_bytes(data)
    answer = boostlora("evaluate", place, "--rounds", "2", *PLUG)
    assert (answer.returncode, answer.stdout) == (3, "")
    assert Path(file).name in answer.stderr


def test_evaluate_of_changed_data_is_refused_when_it_must_compute(
    toy: ToyRun, ask: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_DATA", "1")
    assert ask("--rounds", "2").returncode == 0
    answer = ask("--drop", "2")
    assert answer.returncode == 2
    assert answer.stderr == (
        f"error: {toy.path}: the data have changed since the run started; restore them\n"
    )
