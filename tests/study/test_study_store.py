"""A study's folder: what is taken out stays out, a record that changes is set aside, a study is found by every name."""

from __future__ import annotations

from pathlib import Path

import pytest

from boostlora.engine.errors import RunError, UsageError
from boostlora.engine.registry import Registry
from boostlora.engine.spec import SpecError
from boostlora.engine.study.record import CellRecord, StudyRecord
from boostlora.engine.study.store import find_study, known_record, select_cells, study_names, write_study

from .kept_study import TEXT, Kept


@pytest.fixture
def kept(tmp_path: Path, registry: Registry) -> Kept:
    return Kept(tmp_path, registry)


CELLS = [
    CellRecord(key=key, arm=arm, block=block, seed=seed, tuning=tuning, folder="", rounds=1)
    for key, arm, block, seed, tuning in (
        ("aaaa11111111", "rotate", "angle=45", 0, {}),
        ("aaaa22222222", "rotate", "angle=90", 3, {}),
        ("bbbb33333333", "fixed", "angle=45", 0, {"optimizer.lr": 0.1}),
        ("cccc44444444", "seed=3", "angle=90", 1, {}),
    )
]
WORDS = {
    "an arm": (["rotate"], {0, 1}),
    "a block": (["angle=45"], {0, 2}),
    "a seed and an arm so called": (["seed=3"], {1, 3}),
    "a hash": (["bbbb33333333"], {2}),
    "the beginning of a hash": (["aaaa"], {0, 1}),
    "a label": (["fixed · angle=45 · lr=0.1 · seed 0"], {2}),
    "several": (["fixed", "seed=1"], {2, 3}),
    "none": ([], set[int]()),
}


@pytest.mark.parametrize("situation", WORDS)
def test_words_select_cells(situation: str) -> None:
    words, numbers = WORDS[situation]
    assert select_cells(CELLS, words) == {CELLS[number].key for number in numbers}


@pytest.mark.parametrize("word", ["", "rotat", "aaa", "seed=9", "dddd", "0"])
def test_word_that_selects_no_cell_is_refused(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        select_cells(CELLS, [word])
    give = {"rotat": 'did you mean "rotate"? Give', "seed=9": 'did you mean "seed=3"? Give'}.get(word, "give")
    assert str(caught.value) == (
        f'"{word}" selects no cell; {give} an arm ("rotate", "fixed", "seed=3"), a block, seed=N, a tuned value such as lr=0.1, '
        "or the first characters of a hash"
    )


def test_exclusions_are_kept_until_cells_are_included(kept: Kept) -> None:
    assert kept.write_study().excluded == ()
    out = kept.write_study(exclude=("fixed",))
    assert {cell.arm for cell in out.included} == {"rotate"}
    assert kept.write_study().excluded == out.excluded
    back = kept.write_study(include=("seed=1",))
    assert sorted((cell.arm, cell.seed) for cell in back.included) == [
        ("fixed", 1),
        ("rotate", 0),
        ("rotate", 1),
    ]
    assert kept.write_study(include=("fixed",)).excluded == ()


def test_exclusions_are_kept_after_a_change_of_the_study(kept: Kept) -> None:
    out = kept.write_study(exclude=("fixed",)).excluded
    assert kept.write_study(TEXT.replace("seeds = 2", "seeds = 3")).excluded == out
    assert kept.write_study(TEXT.replace('"fixed"', '"random"')).excluded == ()


def test_record_of_the_same_study_is_not_rewritten(kept: Kept) -> None:
    first = kept.write_study()
    before = kept.record.stat().st_mtime_ns
    assert kept.write_study() == first
    assert kept.record.stat().st_mtime_ns == before


def test_record_of_another_study_is_set_aside_under_its_hash(kept: Kept) -> None:
    first = kept.write_study()
    second = kept.write_study(TEXT + 'baseline = "fixed"\n')
    aside = kept.record.with_name(f"study-{first.sha256[:12]}.json")
    assert first.sha256 != second.sha256
    assert known_record(kept.runs, "two") == second
    aside.rename(kept.record)
    assert known_record(kept.runs, "two") == first


def test_record_read_back_is_equal(kept: Kept) -> None:
    record = kept.write_study(TEXT + 'tune."model.hidden" = [[8], [4, 4]]\n', exclude=("seed=1",))
    assert StudyRecord.read(kept.record.parent) == record


DAMAGED = {
    "empty": "",
    "cut": '{"name": "two"',
    "a list": "[1]",
    "a word": '"x"',
    "none": "null",
    "keys": "{}",
}


@pytest.mark.parametrize("content", [*DAMAGED.values(), "\ud800"], ids=[*DAMAGED, "bytes"])
def test_damaged_record_names_a_command_that_works(kept: Kept, content: str) -> None:
    kept.write_study()
    kept.record.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(
        RunError, match=r"study\.json: damaged: .*; remove it, and run the study's spec again"
    ):
        kept.write_study()
    kept.record.unlink()
    assert kept.write_study().name == "two"


ALTERED = {
    "a digit of a seed": ('"seed": 1', '"seed": 7'),
    "the arm of a run": ('"arm": "fixed"', '"arm": "rotate"'),
    "a digit of the confidence": ('"confidence": 0.95', '"confidence": 0.05'),
    "no seal": ('"seal"', '"seals"'),
}


@pytest.mark.parametrize("situation", ALTERED)
def test_altered_record_is_refused_by_readers_and_rewritten(kept: Kept, situation: str) -> None:
    kept.write_study()
    old, new = ALTERED[situation]
    text = kept.record.read_text()
    assert old in text
    kept.record.write_text(text.replace(old, new))
    told = r"study\.json: damaged or altered: .*; remove it, and run the study's spec again to write it anew"
    for ask in (
        kept.write_study,
        lambda: find_study("two", kept.runs),
        lambda: StudyRecord.read(kept.record.parent),
    ):
        with pytest.raises(RunError, match=told):
            ask()
    kept.record.unlink()
    assert kept.write_study() == StudyRecord.read(kept.record.parent)


def names(kept: Kept) -> dict[str, str]:
    return {
        "name": "two",
        "folder": str(kept.runs / "two"),
        "study's folder": str(kept.record.parent),
        "record": str(kept.record),
        "its own spec": str(kept.record.with_name("study.toml")),
        "spec of another file name": str(kept.folder / "file.toml"),
        "spec that is gone": str(kept.folder / "two.toml"),
    }


@pytest.mark.parametrize("form", ["name", "folder", "study's folder", "record", "its own spec"])
def test_find_study_by_every_name(kept: Kept, form: str) -> None:
    record = kept.write_study()
    runs, found = find_study(names(kept)[form], kept.runs)
    assert (runs.resolve(), found) == (kept.runs.resolve(), record)


@pytest.mark.parametrize("form", ["spec of another file name", "spec that is gone"])
def test_find_study_by_its_spec(kept: Kept, form: str) -> None:
    record = kept.write_study()
    assert find_study(names(kept)[form], kept.runs) == (kept.runs, record)


def test_find_study_by_a_shipped_name(kept: Kept) -> None:
    record = kept.write_study(TEXT.replace('"two"', '"bases"'))
    assert find_study("ablations/bases", kept.runs) == (kept.runs, record)


@pytest.mark.parametrize("word", ["tow", "", "x" * 5000, "a\0b", "."])
def test_find_study_of_an_unknown_name_lists_the_studies(
    kept: Kept, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.write_study()
    (kept.folder / "empty").mkdir()
    monkeypatch.chdir(kept.folder / "empty")
    with pytest.raises(UsageError, match=r"[iI]n .*runs there are: two") as caught:
        find_study(word, kept.runs)
    assert len(str(caught.value)) < 500 + len(str(kept.runs))
    assert ('did you mean "two"?' in str(caught.value)) == (word == "tow")


def test_study_names_are_those_that_have_a_record(kept: Kept) -> None:
    assert study_names(kept.runs) == []
    kept.write_study()
    (kept.runs / "plain" / "0123456789ab").mkdir(parents=True)
    assert study_names(kept.runs) == ["two"]


def test_tuned_values_select_cells() -> None:
    cells = [
        CellRecord(key=f"{n:012d}", arm="a", block="", seed=0, tuning=tuning, folder="x", rounds=1)
        for n, tuning in enumerate([{"optimizer.lr": 0.1}, {"optimizer.lr": 1e300}])
    ]
    assert select_cells(cells, ["lr=1e+300"]) == select_cells(cells, ["optimizer.lr=1e+300"]) == {f"{1:012d}"}


def test_study_is_recorded_without_the_credentials_of_its_command(kept: Kept) -> None:
    record = write_study(
        kept.load(), kept.runs, None, "boostlora ablate s --token hunter2x99", runs_cells=True
    )
    assert record.provenance["command"] == ["boostlora", "ablate", "s", "--token", "REDACTED"]
    assert "hunter2x99" not in kept.record.read_text()


def test_study_whose_cells_would_hold_a_credential_is_refused(kept: Kept) -> None:
    line = 'grid."trackers.mlflow.uri" = ["http://h", "http://a:hunter2x99@h"]\n'
    with pytest.raises(SpecError, match=r"ablate\.grid\.trackers\.mlflow\.uri\.1: an address") as caught:
        kept.load(TEXT + line)
    assert "hunter2x99" not in str(caught.value)
