"""Options that name a model's or a data set's folder, or something on a hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from boostlora.engine.foundation.atomic import file_sha256
from boostlora.engine.foundation.hashes import SMALL, file_sha256_cached, files_sha256, folder_files
from boostlora.engine.foundation.options import MODEL_SUFFIXES
from boostlora.engine.spec import Spec

Read = Callable[[str], Spec]
Faults = Callable[[str], list[str]]
TEXT = 'task.use = "digits"\n[model]\nuse = "hf-classifier"\n'
LONG_AGO = 1_000_000_000.0


@pytest.fixture
def model(folder: Path) -> Path:
    """A folder beside the specs, with files that count and files that do not."""
    found = folder / "tiny"
    found.mkdir(exist_ok=True)
    for name in ("config.json", "model.safetensors", "README.md", ".hidden.json"):
        (found / name).write_text(name)
    return found


def test_model_folder_is_relative_to_the_spec(read: Read, model: Path) -> None:
    assert read(f'{TEXT}path = "tiny"\n').model.path == str(model.resolve())
    assert read(f'{TEXT}path = "{model}"\n').model.path == str(model.resolve())


@pytest.mark.parametrize("name", ["owner/name", "gpt2", "Owner-1/a.b_c-d"])
def test_model_that_is_no_folder_may_be_an_id(read: Read, name: str) -> None:
    assert read(f'{TEXT}path = "{name}"\n').model.path == name


@pytest.mark.parametrize(
    "name", ["./tiny2", "/nowhere", "a/b/c", "", "-a/b", "a b", "a\\u0000b", "../x", "~nobody/x"]
)
def test_model_that_is_neither_folder_nor_id_is_a_fault_at_its_place(faults: Faults, name: str) -> None:
    (fault,) = faults(f'{TEXT}path = "{name}"\n')
    assert fault.startswith('4:8: no folder "')


def test_dataset_that_is_neither_folder_nor_id_is_a_fault(faults: Faults) -> None:
    (fault,) = faults('model.use = "mlp"\n[task]\nuse = "text-classification"\ndataset = "./none"\n')
    assert fault.startswith('4:11: no folder "')


def test_model_of_a_file_is_a_fault(faults: Faults, model: Path) -> None:
    (fault,) = faults(f'{TEXT}path = "{model}/config.json"\n')
    assert fault.startswith('4:8: no folder "')


def test_options_that_exclude_each_other_are_a_fault_of_their_table(faults: Faults) -> None:
    (fault,) = faults('model.use = "mlp"\n[task]\nuse = "text-classification"\n')
    assert fault == '2:1: needs "path" or "dataset", one of them'


def test_spec_hash_follows_the_contents_of_the_models_folder(read: Read, model: Path) -> None:
    spec = read(f'{TEXT}path = "tiny"\n')
    before = spec.sha256
    for name, counts in (
        ("README.md", False),
        (".hidden.json", False),
        ("config.json", True),
        ("new.model", True),
    ):
        (model / name).write_text("something else")
        assert (spec.sha256 != before) == counts, name
        before = spec.sha256
    moved = model.rename(model.with_name("moved"))
    assert read(f'{TEXT}path = "moved"\n').sha256 == before
    moved.rename(model)


def test_spec_hash_of_an_id_is_that_of_its_name_and_revision(read: Read) -> None:
    texts = [f'{TEXT}path = "{path}"\nrevision = "{r}"\n' for path in ("a/b", "a/c") for r in ("", "v1")]
    assert len({read(text).sha256 for text in texts}) == 4


# Hashes that are remembered


@pytest.fixture
def big(tmp_path: Path) -> Path:
    file = tmp_path / "big.safetensors"
    file.write_bytes(b"a" * SMALL)
    os.utime(file, (LONG_AGO, LONG_AGO))
    return file


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file that was read to be hashed; files count as old enough to be trusted."""
    found: list[Path] = []

    def spy(path: Path) -> str:
        found.append(path)
        return file_sha256(path)

    monkeypatch.setattr("boostlora.engine.foundation.hashes.file_sha256", spy)
    monkeypatch.setattr("boostlora.engine.foundation.hashes.FRESH_NS", -1)
    return found


def test_hash_of_a_big_file_is_computed_once(tmp_path: Path, big: Path, hashed: list[Path]) -> None:
    assert [file_sha256_cached(big, tmp_path / "cache") for _ in range(3)] == [file_sha256(big)] * 3
    assert len(hashed) == 1


def test_file_replaced_with_the_same_mtime_is_hashed_again(
    tmp_path: Path, big: Path, hashed: list[Path]
) -> None:
    before = file_sha256_cached(big, tmp_path / "cache")
    big.write_bytes(b"b" * SMALL)
    os.utime(big, (LONG_AGO, LONG_AGO))
    assert file_sha256_cached(big, tmp_path / "cache") == file_sha256(big) != before
    assert len(hashed) == 2


@pytest.mark.usefixtures("hashed")
def test_damaged_hash_cache_is_ignored(tmp_path: Path, big: Path) -> None:
    expected = file_sha256_cached(big, tmp_path / "cache")
    (note,) = (tmp_path / "cache" / "hashes").iterdir()
    for damage in ("", "{", "[]", note.read_text().replace(expected, expected[:10])):
        note.write_text(damage)
        assert file_sha256_cached(big, tmp_path / "cache") == expected


def test_hash_of_a_recently_changed_file_is_not_cached(tmp_path: Path) -> None:
    file = tmp_path / "fresh.bin"
    file.write_bytes(b"a" * SMALL)
    file_sha256_cached(file, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_hash_is_computed_without_a_writable_cache(tmp_path: Path, big: Path, hashed: list[Path]) -> None:
    (tmp_path / "cache").write_text("in the way")
    assert file_sha256_cached(big, tmp_path / "cache") == file_sha256(big)
    assert len(hashed) == 1


def test_hash_of_several_files_depends_on_their_order(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b")]
    for file in files:
        file.write_text(file.name)
    assert files_sha256(files[:1], tmp_path) == file_sha256(files[0])
    assert files_sha256(files, tmp_path) != files_sha256(files[::-1], tmp_path)


def test_folder_hash_covers_files_of_the_given_suffixes(model: Path) -> None:
    (model / "sub").mkdir(exist_ok=True)
    (model / "sub" / "deep.json").write_text("{}")
    assert list(folder_files(model, MODEL_SUFFIXES)) >= ["config.json", "model.safetensors"]
    assert "README.md" not in folder_files(model, MODEL_SUFFIXES)
    assert "sub/deep.json" not in folder_files(model, MODEL_SUFFIXES)
    assert {"README.md", "sub/deep.json"} < set(folder_files(model))
    assert ".hidden.json" not in folder_files(model)
