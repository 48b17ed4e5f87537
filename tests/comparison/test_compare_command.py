"""`boostlora compare` on handwritten runs: its output, its JSON, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from boostlora.engine.contracts import Outcome
from boostlora.engine.testing import assert_close

from ..support.commands import Command
from .compare_toys import judged, load, write_run

INTERVAL = re.compile(r"\[(.*?)\]")


def test_compare_prints_figures_verdict_effects_and_examples(compare: Command, digits: Any) -> None:
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
        "relative to the base               both   A only   B only\n"
        "gained (wrong before, right now)     25       15        5\n"
        "lost (right before, wrong now)        0        0        0\n"
        "\n"
        "verdict: A is right more often, by 1.9 points (p = 0.041); the loss of A is lower\n"
        "(for these two models only; comparing their settings takes several seeds: boostlora ablate)\n"
        "\n"
        "only A is right: 15; 1 with the largest difference in loss\n"
        f"  {x}  expected {shown[x]} · A {shown[x]} (loss 0.250) · B {wrong[x]} (loss 1.750)\n"
        "\n"
        "only B is right: 5; 1 with the largest difference in loss\n"
        f"  {y}  expected {shown[y]} · A {wrong[y]} (loss 1.500) · B {shown[y]} (loss 0.250)\n"
    )


def test_compare_json_has_every_id(compare: Command, digits: Any) -> None:
    code, out, _ = compare(*digits, "--json", "--examples", 2)
    found = json.loads(out)
    assert code == 0
    ids = load(Path("paper/digits"))[1].test.ids
    assert found["ids"]["only_a"] == sorted(ids[10:25].tolist())
    assert found["ids"]["only_b"] == sorted(ids[:5].tolist())
    assert found["ids"]["neither"] == sorted(ids[5:10].tolist())
    assert sum(map(len, found["ids"].values())) == found["examples"]["common"] == 539
    assert found["gained"]["both"] == sorted(ids[25:50].tolist())
    assert found["lost"] == {"both": [], "only_a": [], "only_b": []}
    assert found["spec_differences"] == {"basis.use": ["rotate", "fixed"]}
    assert {name: len(shown) for name, shown in found["shown"].items()} == {"only_a": 2, "only_b": 2}
    assert set(found["shown"]["only_a"][0]) == {"id", "asked", "expected", "a", "b"}
    assert (found["a"]["round"], found["b"]["last_round"], found["same_data"]) == (2, 2, True)
    assert found["accuracy"]["difference"] == pytest.approx(10 / 539)
    assert found["a"]["now"]["accuracy"] == pytest.approx(529 / 539)


def test_rounds_are_named_by_number_best_and_last(compare: Command, digits: Any) -> None:
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


def test_run_compared_with_itself_is_the_same_model(compare: Command, digits: Any) -> None:
    a, _ = digits
    code, out, _ = compare(a, f"{a}@2")
    assert code == 0
    assert "one round of one run, twice" in out
    assert "verdict: A and B are the same model" in out
    assert "A - B   0.0 points [0.0, 0.0], p = 1" in out
    assert "only A" not in out


def test_existing_folder_takes_precedence_over_a_round_suffix(compare: Command, digits: Any) -> None:
    a, _ = digits
    odd = a.rename(a.parent / "odd@1")
    code, out, _ = compare(odd, f"{odd}@1", "--examples", 0)
    assert code == 0
    assert [line.split("  ", 2)[2] for line in out.splitlines()[:2]] == ["round 2 of 2", "round 1 of 2"]


def test_training_split_comparison_has_a_warning(compare: Command, digits: Any) -> None:
    a, b = digits
    assert "warning: the runs were trained on these examples" in compare(a, b, "--split", "train")[1]
    assert "warning" not in compare(a, b, "--split", "validation")[1]
    assert "so its results are optimistic" in compare(f"{a}@best", b, "--split", "validation")[1]


def test_missing_runs_rounds_and_splits_are_refused(compare: Command, digits: Any) -> None:
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
    compare: Command, digits: Any
) -> None:
    a, b = digits
    (a / "result.json").unlink()
    code, _, err = compare(f"{a}@best", b)
    assert code == 2
    assert f"name a round, 0 to 2: {a}@2" in err
    code, out, _ = compare(a, b, "--examples", 0)
    assert code == 0
    assert "round 2 of 2; the run is unfinished" in out


def test_damaged_files_are_refused(compare: Command, digits: Any) -> None:
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


def test_run_without_rounds_is_refused(compare: Command, digits: Any) -> None:
    a, b = digits
    (a / "rounds.jsonl").unlink()
    code, _, err = compare(a, b)
    assert code == 2
    assert f"{a}: no round is finished yet, not even the base; continue with: boostlora resume {a}" in err


def test_compare_shows_the_recalls_that_differ_most_and_json_has_all(
    compare: Command, tmp_path: Path
) -> None:
    spec, splits = load(Path("paper/digits"), "rounds=1")
    other = load(Path("paper/digits"), "rounds=1", "basis.use=fixed")[0]
    recalls = {f"recall_{i}": 0.9 for i in range(10)}
    changes = {"recall_2": 0.1, "recall_5": -0.3, "recall_7": 0.02, "recall_8": 0.05}

    def rounds(changed: dict[str, float]) -> list[dict[str, Outcome]]:
        found = judged(splits, range(10))
        measures = {"mcc": 0.8, **recalls, **{n: recalls[n] + change for n, change in changed.items()}}
        last = {**found, "test": attrs.evolve(found["test"], measures=measures)}
        return [{**found, "test": attrs.evolve(found["test"], measures={"mcc": 0.5, **recalls})}, last]

    a = write_run(tmp_path / "runs", spec, splits, rounds({}))
    b = write_run(tmp_path / "runs", other, splits, rounds(changes))
    code, out, err = compare(a, b)
    assert (code, err) == (0, "")
    shown = re.findall(r"^(recall_\d|mcc)", out, re.MULTILINE)
    assert shown == ["mcc", "recall_5", "recall_2", "recall_8"]
    assert "(recall of 7 other classes: --json)" in out
    code, out, _ = compare(a, b, "--json")
    assert code == 0
    assert set(recalls) < set(re.findall(r'"(recall_\d|mcc)"', out))
    code, out, _ = compare(a, a)
    assert "recall_" not in out
    assert "(recall of 10 other classes: --json)" in out
