"""`boostlora compare` and the data of two runs: the same in part, of other inputs, texts, lost, changed, or of a plugin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from boostlora.engine.runs.directory import PROVENANCE, RunDirectory

from ..support.commands import Command
from .compare_toys import SUMS, judged, load, write_run


def test_runs_of_other_seeds_compare_common_examples_with_a_warning(
    compare: Command, digits: Any, tmp_path: Path
) -> None:
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


def test_equal_ids_with_different_inputs_give_a_warning(
    compare: Command, digits: Any, tmp_path: Path
) -> None:
    spec, splits = load(Path("paper/digits"), "rounds=2", "task.angle=45.0")
    other = write_run(tmp_path / "runs", spec, splits, [judged(splits, range(n)) for n in (9, 6, 3)])
    _, out, _ = compare(digits[0], other)
    assert "warning: the data differ; the 539 examples have the same ids in both" in out
    assert "warning: 539 of them have the same id and answer, but a different input" in out
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


def test_texts_are_shown_without_the_common_prompt_prefix(compare: Command, tmp_path: Path) -> None:
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


def test_missing_data_give_a_warning_and_only_ids_are_shown(compare: Command, tmp_path: Path) -> None:
    a, b = sums_run(tmp_path, range(1)), sums_run(tmp_path, range(1, 2), "optimizer.lr=0.5")
    (tmp_path / "sums.jsonl").unlink()
    code, out, _ = compare(a, b)
    assert code == 0
    assert "A 99" not in out
    assert "A I say 99 (loss 1.500) · B " in out  # what was written is in the run itself
    assert "expected" not in out
    assert "note: the examples' texts and classes cannot be shown:" in out
    assert "no file" in out


def test_changed_data_are_not_used_for_texts(compare: Command, tmp_path: Path) -> None:
    a, b = sums_run(tmp_path, range(1)), sums_run(tmp_path, range(1, 2), "optimizer.lr=0.5")
    path = tmp_path / "sums.jsonl"
    path.write_text(path.read_text().replace('"a": "2"', '"a": "3"'))
    _, out, _ = compare(a, b)
    assert "cannot be shown: the data have changed since the run" in out
    assert compare(a, b, "--examples", 0)[1].count("note") == 0


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


def test_missing_plugin_file_of_the_data_is_named(compare: Command, digits: Any, tmp_path: Path) -> None:
    a, b = digits
    plugin = tmp_path / "turned.py"
    plugin.write_text(TURNED)
    for path in (a, b):
        directory = RunDirectory(path)
        directory.write_json(PROVENANCE, {**(directory.provenance() or {}), "plugin_files": [str(plugin)]})
        for name in ("spec.toml", ".spec.lock.toml"):
            (path / name).write_text((path / name).read_text().replace('use = "digits"', 'use = "turned"'))
    out = compare(a, b, "--examples", 1)[1]
    assert 'unknown task plugin "turned"' in out
    assert out.rstrip().endswith(f"; give --plugin {plugin}")
    assert "expected" in compare(a, b, "--examples", 1, "--plugin", plugin)[1]
