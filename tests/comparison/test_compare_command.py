"""`boostlora compare` on runs written by hand: what it prints, refuses, and writes as JSON."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from boostlora.engine import cli
from boostlora.engine.testing import assert_close

from .compare_toys import SUMS, judged, load, write_run

TURNED = """
import attrs
from boostlora.engine.hookspecs import hookimpl
from boostlora.plugins.tasks.digits import Digits


@attrs.frozen(kw_only=True)
class Turned(Digits):
    pass


@hookimpl
def register_tasks(register):
    register("turned", Turned)
"""

INTERVAL = re.compile(r"\[(.*?)\]")

Answer = tuple[int, str, str]
Compare = Callable[..., Answer]


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Compare:
    """The command line in this process, in an empty folder."""
    monkeypatch.setattr(cli, "COMMANDS", {**cli.COMMANDS, "compare": "Pair two runs."})
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Answer:
        monkeypatch.setattr(sys, "argv", ["boostlora", "compare", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on digits: A ends wrong at places 0 to 9, B at 5 to 24; both began wrong at 0 to 49."""
    folder = tmp_path_factory.mktemp("written")
    spec, splits = load(Path("paper/digits"), "rounds=2")
    a = [judged(splits, wrong) for wrong in (range(50), range(30), range(10))]
    b = [a[0], *(judged(splits, wrong, loss=1.75) for wrong in (range(20), range(5, 25)))]
    write_run(folder / "a", spec, splits, a)
    write_run(folder / "b", load(Path("paper/digits"), "rounds=2", "basis.use=fixed")[0], splits, b)
    return folder


@pytest.fixture
def digits(written: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A and B, copied to where the command looks."""
    found = list[Path]()
    for side in ("a", "b"):
        (source,) = (path.parent for path in written.glob(f"{side}/*/*/spec.toml"))
        found.append(tmp_path / "runs" / source.parent.name / source.name)
        shutil.copytree(source, found[-1])
    return found[0], found[1]


def test_compare_prints_figures_verdict_effects_and_examples(compare: Compare, digits: Any) -> None:
    a, b = digits
    code, out, err = compare(a, b, "--examples", 1)
    assert (code, err) == (0, "")
    title = f"paper-digits/{a.name}", f"paper-digits/{b.name}"
    splits = load(Path("paper/digits"))[1]
    ids = splits.test.ids[10:25].min(), splits.test.ids[0:5].min()
    shown = {int(i): str(splits.test.labels[splits.test.ids.tolist().index(i)]) for i in map(int, ids)}
    wrong = {i: str((int(label) + 1) % 10) for i, label in shown.items()}
    x, y = shown
    # 15 differences of -1.5, 5 of +1.25, 5 of -0.25: mean -0.0325, standard error 0.0120; a bootstrap's ends are near two of them.
    ends = INTERVAL.findall(out)[1].split(", ")
    assert_close(np.array(ends, dtype=float), np.array([-0.0560, -0.0089]), rtol=0, atol=0.004, what="ends")
    assert INTERVAL.sub("[…]", out) == (
        f"A  {title[0]}  round 2 of 2\n"
        f"B  {title[1]}  round 2 of 2\n"
        "they differ in basis.use (rotate, fixed)\n"
        "on 539 test examples; the same data, the same base weights\n"
        "\n"
        "                base       A       B\n"
        "accuracy (%)    90.7    98.1    96.3\n"
        "loss (nats)    0.366   0.273   0.306\n"
        "\n"
        "          B right   B wrong\n"
        "A right       514        15\n"
        "A wrong         5         5\n"
        "\n"
        "accuracy, A - B   +1.9 points […], p = 0.041 (exact McNemar test; 95 % interval)\n"
        "loss, A - B       -0.032 nats […]\n"
        "\n"
        "against the base               by both   by A alone   by B alone\n"
        "fixed (was wrong, is right)         25           15            5\n"
        "broken (was right, is wrong)         0            0            0\n"
        "\n"
        "verdict: A is right more often, by 1.9 points (p = 0.041); the loss of A is lower\n"
        "(on these two models; whether their settings differ takes several seeds: boostlora ablate)\n"
        "\n"
        "only A is right: 15; 1 with the largest difference in loss\n"
        f"  {x}  expected {shown[x]} · A {shown[x]} (loss 0.250) · B {wrong[x]} (loss 1.750)\n"
        "\n"
        "only B is right: 5; 1 with the largest difference in loss\n"
        f"  {y}  expected {shown[y]} · A {wrong[y]} (loss 1.500) · B {shown[y]} (loss 0.250)\n"
    )


def test_compare_as_json_has_every_id(compare: Compare, digits: Any) -> None:
    code, out, _ = compare(*digits, "--json", "--examples", 2)
    found = json.loads(out)
    assert code == 0
    ids = load(Path("paper/digits"))[1].test.ids
    assert found["ids"]["only_a"] == sorted(ids[10:25].tolist())
    assert found["ids"]["only_b"] == sorted(ids[:5].tolist())
    assert found["ids"]["neither"] == sorted(ids[5:10].tolist())
    assert sum(map(len, found["ids"].values())) == found["examples"]["common"] == 539
    assert found["fixed"]["both"] == sorted(ids[25:50].tolist())
    assert found["broken"] == {"both": [], "only_a": [], "only_b": []}
    assert found["spec_differences"] == {"basis.use": ["rotate", "fixed"]}
    assert {name: len(shown) for name, shown in found["shown"].items()} == {"only_a": 2, "only_b": 2}
    assert set(found["shown"]["only_a"][0]) == {"id", "asked", "expected", "a", "b"}
    assert (found["a"]["round"], found["b"]["last_round"], found["same_data"]) == (2, 2, True)
    assert found["accuracy"]["difference"] == pytest.approx(10 / 539)
    assert found["a"]["now"]["accuracy"] == pytest.approx(529 / 539)


def test_rounds_of_one_run_are_told_by_number_best_and_last(compare: Compare, digits: Any) -> None:
    a, _ = digits
    for word, said in (
        (f"{a}@0", "the base (round 0 of 2)"),
        (f"{a}@1", "round 1 of 2"),
        (f"{a.name[:8]}@best", "round 1 of 2, the best on validation"),
        (f"paper-digits/{a.name}@last", "round 2 of 2"),
    ):
        code, out, _ = compare(word, a, "--examples", 0)
        assert code == 0
        assert out.splitlines()[0] == f"A  paper-digits/{a.name}  {said}"
    code, out, _ = compare(f"{a}@0", f"{a}@1")
    assert "two rounds of one run" in out
    assert "boostlora ablate" not in out
    assert "only A is right" not in out
    assert "only B is right: 20; 5 with" in out


def test_a_run_with_itself_is_the_same_model(compare: Compare, digits: Any) -> None:
    a, _ = digits
    code, out, _ = compare(a, f"{a}@2")
    assert code == 0
    assert "one round of one run, twice" in out
    assert "verdict: A and B are the same model" in out
    assert "A - B   0.0 points [0.0, 0.0], p = 1" in out
    assert "only A" not in out


def test_a_folder_whose_name_ends_like_a_round_is_meant_itself(compare: Compare, digits: Any) -> None:
    a, _ = digits
    odd = a.rename(a.parent / "odd@1")
    code, out, _ = compare(odd, f"{odd}@1", "--examples", 0)
    assert code == 0
    assert [line.split("  ", 2)[2] for line in out.splitlines()[:2]] == ["round 2 of 2", "round 1 of 2"]


def test_what_is_not_there_is_refused(compare: Compare, digits: Any) -> None:
    a, b = digits
    for words, said in (
        ((f"{a}@7", b), f"error: {a}: no round 7; there are rounds 0 (the base) to 2"),
        (("nothing", b), 'error: no run "nothing"; in runs there are: paper-digits'),
        (("paper-digits", b), '"paper-digits" is 2 runs; name one of them: runs/paper-digits/'),
        ((a, f"{b}@worst"), f'error: no run "{b}@worst"'),
        ((a, b, "--split", "dev"), "'dev' is not one of"),
    ):
        code, out, err = compare(*words)
        assert (code, out) == (2, "")
        assert said in err


def test_best_of_an_unfinished_run_is_refused_and_its_last_round_compared(
    compare: Compare, digits: Any
) -> None:
    a, b = digits
    (a / "result.json").unlink()
    code, _, err = compare(f"{a}@best", b)
    assert code == 2
    assert f"name a round, 0 to 2: {a}@2" in err
    code, out, _ = compare(a, b, "--examples", 0)
    assert code == 0
    assert "round 2 of 2; the run is unfinished" in out


def test_damaged_files_are_refused(compare: Compare, digits: Any) -> None:
    a, b = digits
    path = a / "outcomes" / "0002.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    code, _, err = compare(a, b)
    assert code == 3
    assert "0002.safetensors" in err
    assert compare(f"{a}@1", b, "--examples", 0)[0] == 0  # what is damaged is not needed
    text = (b / "spec.toml").read_text()
    (b / "spec.toml").write_text(text.replace('"fixed"', '"rotate"'))
    code, _, err = compare(f"{a}@1", b)
    assert code == 2
    assert "was changed after the run began" in err


def test_other_splits_are_compared_with_a_warning_where_one_is_due(compare: Compare, digits: Any) -> None:
    a, b = digits
    assert "warning: these are examples that the runs trained on" in compare(a, b, "--split", "train")[1]
    assert "warning" not in compare(a, b, "--split", "validation")[1]
    assert "which flatters it" in compare(f"{a}@best", b, "--split", "validation")[1]


def test_other_seeds_share_some_examples_and_say_so(compare: Compare, digits: Any, tmp_path: Path) -> None:
    spec, splits = load(Path("paper/digits"), "rounds=2", "seed=1")
    other = write_run(tmp_path / "runs", spec, splits, [judged(splits, range(n)) for n in (9, 6, 3)])
    code, out, _ = compare(digits[0], other)
    ids = load(Path("paper/digits"))[1].test.ids
    common = len(np.intersect1d(ids, splits.test.ids))
    assert code == 0
    assert f"on {common} test examples; DIFFERENT DATA" in out
    assert (
        f"warning: the data differ; only the {common} common examples are compared; A has {539 - common}"
        in out
    )
    assert "another input" not in out  # the same digit, turned by the same angle


def test_same_ids_with_other_inputs_are_told(compare: Compare, digits: Any, tmp_path: Path) -> None:
    spec, splits = load(Path("paper/digits"), "rounds=2", "task.angle=45.0")
    other = write_run(tmp_path / "runs", spec, splits, [judged(splits, range(n)) for n in (9, 6, 3)])
    _, out, _ = compare(digits[0], other)
    assert "warning: the data differ; the 539 examples have the same ids in both" in out
    assert "warning: 539 of them have the same id and answer, but another input" in out
    assert "warning: the tasks differ in task.angle" in out


def sums_run(folder: Path, wrong: range, *settings: str, answers: str = "") -> Path:
    """A run on forty sums."""
    if not (folder / "sums.toml").exists():
        rows = [{"q": f"{n} + {n}", "a": str(2 * n)} for n in range(40)]
        (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "sums.toml").write_text(SUMS)
    spec, splits = load(folder / "sums.toml", *settings)
    rounds = [judged(splits, places, texts=True) for places in (range(8), range(8), wrong)]
    if answers:
        texts = rounds[2]["test"].texts
        changed = tuple(text.replace("I say 99", answers) for text in texts or ())
        rounds[2]["test"] = attrs.evolve(rounds[2]["test"], texts=changed)
    return write_run(folder / "runs", spec, splits, rounds)


def test_texts_are_shown_without_what_all_prompts_begin_with(compare: Compare, tmp_path: Path) -> None:
    a = sums_run(tmp_path, range(1), answers="[red]so\nmuch :smile: \x1b[31m, " + "and " * 40 + "so 98")
    b = sums_run(tmp_path, range(1, 2), "optimizer.lr=0.5")
    code, out, err = compare(a, b)
    assert (code, err) == (0, "")
    examples = load(tmp_path / "sums.toml")[1].test
    (question, answer), number = examples.inputs.prompts[0].split("is ")[1].split("\n"), examples.ids[0]
    right = examples.inputs.completions[0].strip()
    block = out[out.index("only B is right: 1\n") :].splitlines()
    assert block[1] == f"  {number}  {question} {answer}"
    said = r"[red]so much :smile: \x1b[31m,"
    assert block[2].startswith(f"      expected {right} · A {said}")
    assert block[2].endswith(f"so 98 (loss 1.500) · B {right} (loss 0.250)")
    assert " … " in block[2]


def test_lost_data_are_told_and_ids_shown_alone(compare: Compare, tmp_path: Path) -> None:
    a, b = sums_run(tmp_path, range(1)), sums_run(tmp_path, range(1, 2), "optimizer.lr=0.5")
    (tmp_path / "sums.jsonl").unlink()
    code, out, _ = compare(a, b)
    assert code == 0
    assert "A 99" not in out
    assert "A I say 99 (loss 1.500) · B " in out  # what was written is in the run itself
    assert "expected" not in out
    assert "note: the examples' texts and classes cannot be shown:" in out
    assert "no file" in out


def test_changed_data_are_not_taken_for_the_runs_own(compare: Compare, tmp_path: Path) -> None:
    a, b = sums_run(tmp_path, range(1)), sums_run(tmp_path, range(1, 2), "optimizer.lr=0.5")
    path = tmp_path / "sums.jsonl"
    path.write_text(path.read_text().replace('"a": "2"', '"a": "3"'))
    _, out, _ = compare(a, b)
    assert "cannot be shown: the data are no longer those that the run was played on" in out
    assert compare(a, b, "--examples", 0)[1].count("note") == 0


def test_a_plugin_file_that_the_data_need_is_named(compare: Compare, digits: Any, tmp_path: Path) -> None:
    a, b = digits
    plugin = tmp_path / "turned.py"
    plugin.write_text(TURNED)
    for path in (a, b):
        origin = json.loads((path / "provenance.json").read_text())
        (path / "provenance.json").write_text(json.dumps({**origin, "plugin_files": [str(plugin)]}))
        for name in ("spec.toml", ".spec.lock.toml"):
            (path / name).write_text((path / name).read_text().replace('use = "digits"', 'use = "turned"'))
    out = compare(a, b, "--examples", 1)[1]
    assert 'unknown task plugin "turned"' in out
    assert out.rstrip().endswith(f"; give --plugin {plugin}")
    assert "expected" in compare(a, b, "--examples", 1, "--plugin", plugin)[1]


def test_a_run_without_a_round_is_refused(compare: Compare, digits: Any) -> None:
    a, b = digits
    (a / "rounds.jsonl").unlink()
    code, _, err = compare(a, b)
    assert code == 2
    assert f"{a}: no round is finished yet, not even the base; go on with: boostlora resume {a}" in err
