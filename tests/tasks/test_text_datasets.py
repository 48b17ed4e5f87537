"""Tasks of texts from Hugging Face data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from boostlora.plugins.tasks.language_modelling import LanguageModelling
from boostlora.plugins.tasks.text_classification import TextClassification

from .text_cases import PARTS, Write, contents, everything, load, message, reviews, sums


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    datasets = pytest.importorskip("datasets", reason="data sets need Hugging Face's library")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    rows = reviews().drop(columns="title")
    rows["label"] = (rows["label"] == "pos").astype(int)
    made = {
        name: datasets.Dataset.from_pandas(part, features=features, preserve_index=False)
        for name, part in (("train", rows[:40]), ("dev", rows[40:]))
    }
    datasets.DatasetDict(made).save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def test_saved_text_dataset_is_read_with_class_names(dataset: Path) -> None:
    splits = load(TextClassification(dataset=str(dataset), test_split="dev"))
    assert splits.classes == ("neg", "pos")
    expected = {((text,), label) for text, label in reviews()[["text", "label"]][40:].itertuples(index=False)}
    assert set(contents(splits, "test").values()) == expected
    assert [len(getattr(splits, part)) for part in PARTS] == [32, 8, 20]


def test_text_dataset_in_a_folder_of_files_is_read(
    tmp_path: Path, write: Write, dataset: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    sums(40).to_json(folder / "train.jsonl", orient="records", lines=True)
    sums(50).tail(10).to_json(folder / "test.jsonl", orient="records", lines=True)
    splits = load(LanguageModelling(dataset=str(folder), test_split="test"))
    by_file = load(LanguageModelling(path=write(sums(40)), test_path=write(sums(50).tail(10), "t.csv")))
    assert everything(splits) == everything(by_file)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_text_dataset_of_tables_keeps_the_spelling_of_cells(
    tmp_path: Path, dataset: Path, separator: str
) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    name = "train.tsv" if separator == "\t" else "train.csv"
    rows = [
        ("label", "text"),
        *((("01", "1", "2")[i % 3], ("NA", "null", "007")[i // 3] + f" {i}") for i in range(9)),
    ]
    rows += [("01", "NA"), ("1", "null"), ("2", "1.0")]
    (folder / name).write_text("".join(f"{separator.join(row)}\n" for row in rows))
    if separator == ";":
        card = '---\nconfigs:\n- config_name: default\n  data_files: train.csv\n  sep: ";"\n---\n'
        (folder / "README.md").write_text(card)
    splits = load(TextClassification(dataset=str(folder)))
    assert splits.classes == ("01", "1", "2")
    found = {row for part in PARTS for row in contents(splits, part).values()}
    assert found == {((text,), label) for label, text in rows[1:]}


def test_text_dataset_of_tables_is_validated_like_files(tmp_path: Path, dataset: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "train.csv").write_text("label,text,text\nyes,a,b\n")
    said = message(lambda: TextClassification(dataset=str(folder)))
    assert said.endswith('two columns are called "text"; rename one of them, or leave it out')


def test_text_dataset_without_the_split_is_refused(dataset: Path) -> None:
    said = message(lambda: TextClassification(dataset=str(dataset), test_split="test"))
    assert said == f'{dataset}: no split "test" (test); there are: train, dev'


def test_text_dataset_with_hidden_labels_is_refused(tmp_path: Path, dataset: Path) -> None:
    import datasets

    secret = datasets.load_from_disk(str(dataset))["dev"].map(lambda _: {"label": -1})
    datasets.DatasetDict({"train": secret}).save_to_disk(str(tmp_path / "secret"))
    said = message(lambda: TextClassification(dataset=str(tmp_path / "secret")))
    assert said == f'{tmp_path / "secret"} (train): column "label" is empty in row 1'


def test_missing_text_dataset_is_refused(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    said = message(lambda: TextClassification(dataset="owner/nowhere"))
    expected = (
        'task.dataset: "owner/nowhere" is not a readable data set, locally or on the Hugging Face Hub: '
    )
    assert said.startswith(expected)
