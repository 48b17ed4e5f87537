"""What was altered after it was written is refused by name."""

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boostlora.engine.errors import RunError
from boostlora.engine.runs.directory import RunDirectory

from ..support.record_toys import sealed


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def edit_line(path: Path, number: int, old: str, new: str) -> None:
    lines = (path / "rounds.jsonl").read_text().splitlines(keepends=True)
    assert old in lines[number - 1]
    lines[number - 1] = lines[number - 1].replace(old, new, 1)
    (path / "rounds.jsonl").write_text("".join(lines))


def keep_lines(path: Path, *numbers: int) -> None:
    lines = (path / "rounds.jsonl").read_text().splitlines(keepends=True)
    (path / "rounds.jsonl").write_text("".join(lines[number - 1] for number in numbers))


def cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:-count])


DAMAGE = {
    "update-flipped": (lambda p: flip(p / "updates/0001.safetensors"), "updates/0001.safetensors: damaged"),
    "update-header": (lambda p: flip(p / "updates/0002.safetensors", 9), "updates/0002.safetensors: damaged"),
    "update-cut": (lambda p: cut(p / "updates/0002.safetensors", 1), "updates/0002.safetensors: damaged"),
    "update-deleted": (
        lambda p: (p / "updates/0001.safetensors").unlink(),
        "updates/0001.safetensors: cannot be read (No such file",
    ),
    "outcome-flipped": (
        lambda p: flip(p / "outcomes/0000.safetensors"),
        "outcomes/0000.safetensors: damaged",
    ),
    "outcome-empty": (
        lambda p: (p / "outcomes/0002.safetensors").write_bytes(b""),
        "outcomes/0002.safetensors: damaged",
    ),
    "outcome-deleted": (
        lambda p: (p / "outcomes/0001.safetensors").unlink(),
        "outcomes/0001.safetensors: cannot be read (No such file",
    ),
    "folder-deleted": (lambda p: shutil.rmtree(p / "updates"), "updates/0001.safetensors: cannot be read"),
    "line-edited": (
        lambda p: edit_line(p, 2, '"failures": ', '"failures": 1'),
        "rounds.jsonl:2: altered: its digest does not match",
    ),
    "digest-edited": (lambda p: edit_line(p, 3, '"digest": "', '"digest": "0'), "rounds.jsonl:3: altered"),
    "line-cut": (lambda p: cut(p / "rounds.jsonl", 30), "rounds.jsonl:3: "),
    "line-missing": (lambda p: keep_lines(p, 1, 3), "rounds.jsonl:2: altered"),
    "first-line-missing": (lambda p: keep_lines(p, 2, 3), "rounds.jsonl:1: altered"),
    "lines-swapped": (lambda p: keep_lines(p, 1, 3, 2), "rounds.jsonl:2: altered"),
    "line-twice": (lambda p: keep_lines(p, 1, 2, 2), "rounds.jsonl:3: altered"),
    "line-no-record": (lambda p: edit_line(p, 1, "{", '["'), "rounds.jsonl:1: "),
    "rounds-binary": (lambda p: (p / "rounds.jsonl").write_bytes(b"\xff\xfe"), "rounds.jsonl:1: damaged"),
    "provenance-deleted": (lambda p: (p / "provenance.json").unlink(), "provenance.json: missing"),
    "provenance-cut": (lambda p: cut(p / "provenance.json", 5), "provenance.json: damaged"),
    "provenance-other": (lambda p: (p / "provenance.json").write_text("[]"), "provenance.json: damaged"),
    "result-damaged": (lambda p: (p / "result.json").write_text("{}"), "result.json: damaged: not an object"),
    "original-deleted": (lambda p: (p / ".spec.lock.toml").unlink(), ".spec.lock.toml: cannot be read"),
    "spec-binary": (lambda p: (p / "spec.toml").write_bytes(b"\xff\xfe"), "spec.toml: damaged"),
}


@pytest.mark.parametrize("verb", ["resume", "run"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_altered_unfinished_run_is_refused_and_named(damage, verb, desk, toy):
    desk.place(toy.path("half"))
    change, message = DAMAGE[damage]
    change(desk.path)
    answer = getattr(desk, verb)("--quiet")
    assert answer.returncode == 3
    assert answer.stderr.startswith(f"error: {desk.path}/{message}")
    assert "Traceback" not in answer.stderr


OF_FINISHED = {
    **{name: DAMAGE[name] for name in ("update-flipped", "update-deleted", "outcome-flipped", "line-edited")},
    "rounds-deleted": (lambda p: (p / "rounds.jsonl").unlink(), "rounds.jsonl: damaged or altered"),
    "last-line-missing": (lambda p: keep_lines(p, 1, 2, 3, 4), "rounds.jsonl: damaged or altered"),
    "result-edited": (
        lambda p: (p / "result.json").write_text(
            re.sub(r'"digest": "..', '"digest": "zz', (p / "result.json").read_text())
        ),
        "result.json: damaged or altered: its seal does not match",
    ),
}


@pytest.mark.parametrize("verb", ["resume", "run"])
@pytest.mark.parametrize("damage", OF_FINISHED)
def test_altered_finished_run_is_not_cached(damage, verb, desk, toy):
    desk.place(toy.path("whole"))
    change, message = OF_FINISHED[damage]
    change(desk.path)
    answer = getattr(desk, verb)()
    assert answer.returncode == 3
    assert "cached" not in answer.stdout
    assert answer.stderr.startswith(f"error: {desk.path}/{message}")


def test_altered_refused_update_is_named(desk):
    settings = ("--set", "merge.use=gate", "--set", "merge.margin=1e9")
    assert desk.run("--quiet", *settings).returncode == 0
    (path,) = (desk.folder / "runs" / "toy").iterdir()
    assert RunDirectory.open(path).ensemble() == []
    (path / "result.json").unlink()
    flip(path / "updates" / "0003.safetensors")
    answer = desk.run("--quiet", *settings)
    assert (answer.returncode, "updates/0003.safetensors: damaged" in answer.stderr) == (3, True)


def test_show_of_an_altered_run_names_the_line(desk, toy):
    desk.place(toy.path("whole"))
    edit_line(desk.path, 4, '"failures": ', '"failures": 1')
    answer = desk.command("show", str(desk.path))
    assert answer.returncode == 3
    assert answer.stderr.startswith(f"error: {desk.path}/rounds.jsonl:4: altered")


@given(data=st.data())
def test_rounds_with_any_byte_changed_are_refused_or_the_same(data, toy, tmp_path_factory):
    path = tmp_path_factory.mktemp("bytes")
    content = bytearray((toy.path("whole") / "rounds.jsonl").read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    (path / "rounds.jsonl").write_bytes(content)
    (path / "spec.toml").write_text("")
    try:
        records = RunDirectory.open(path).records
    except RunError as error:
        refused = str(error)
    else:  # only what the digest leaves out, such as seconds, may differ
        refused = ""
        assert [r.digest for r in records] == [r["digest"] for r in sealed(toy.path("whole"))]
    assert not refused or f"{path}/rounds.jsonl:" in refused


@given(
    line=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: (
            st.lists(x) | st.dictionaries(st.sampled_from(["round", "status", "train", "files", "digest"]), x)
        ),
    )
)
def test_rounds_of_any_json_are_refused_by_line(line, tmp_path_factory):
    path = tmp_path_factory.mktemp("json")
    (path / "rounds.jsonl").write_text(json.dumps(line) + "\n")
    (path / "spec.toml").write_text("")
    with pytest.raises(RunError, match=r"rounds\.jsonl:1: "):
        RunDirectory.open(path)


@pytest.mark.parametrize("source", ["half", "whole"])
@pytest.mark.parametrize("verb", ["resume", "run"])
def test_spec_changed_under_a_run_is_refused_with_the_difference(verb, source, desk, toy):
    desk.place(toy.path(source))
    spec = desk.path / "spec.toml"
    spec.write_text(spec.read_text().replace("lr = 0.05", "lr = 0.5"))
    before = (desk.path / "rounds.jsonl").read_bytes()
    answer = getattr(desk, verb)()
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"error: {spec} was changed after the run began:")
    assert "\n-lr = 0.05\n+lr = 0.5\n" in answer.stderr
    assert (desk.path / "rounds.jsonl").read_bytes() == before


def test_spec_changed_together_with_its_copy_is_refused(desk, toy):
    desk.place(toy.path("half"))
    for name in ("spec.toml", ".spec.lock.toml"):
        path = desk.path / name
        path.write_text(path.read_text().replace("lr = 0.05", "lr = 0.5"))
    answer = desk.resume()
    assert answer.returncode == 2
    assert "since the run started, spec (" in answer.stderr


@pytest.mark.parametrize(("variable", "what"), [("TOY_DATA", "data"), ("TOY_WEIGHTS", "weights")])
def test_resume_with_other_data_or_weights_is_refused_by_name(variable, what, desk, toy, monkeypatch):
    desk.place(toy.path("half"))
    before = {p: p.read_bytes() for p in desk.path.rglob("*") if p.is_file()}
    monkeypatch.setenv(variable, "1")
    answer = desk.resume()
    assert answer.returncode == 2
    found = re.search(r"since the run started, (.*) changed", answer.stderr)
    assert found is not None
    assert [part.split(" ", 1)[0] for part in found[1].split(", ")] == [what]
    assert {p: p.read_bytes() for p in desk.path.rglob("*") if p.is_file() and p.name != "run.lock"} == {
        p: content for p, content in before.items() if p.name != "run.lock"
    }
    monkeypatch.delenv(variable)
    assert desk.resume().returncode == 0
    assert sealed(desk.path) == sealed(toy.path("whole"))
