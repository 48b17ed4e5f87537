"""The base of a boost file: the same weights in any cut, and no others."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from boostlora.engine.api import load, save
from boostlora.engine.ensemble.ensemble import Ensemble
from boostlora.engine.errors import UsageError
from boostlora.engine.export.boost_file import tensors_sha256
from boostlora.engine.foundation.run_context import RunContext

from ..support.boost_runs import ToyRun, weights_sha256


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_other_base_is_refused_with_both_hashes(toy: ToyRun, toy_file: Path, tmp_path: Path) -> None:
    tensors, other = load_file(toy.base), tmp_path / "other.safetensors"
    tensors["layers.0.weight"][0, 0] += 1e-6
    save_file(tensors, other)
    with pytest.raises(UsageError) as caught:
        toy.load(toy_file, toy.cache, other)
    mine, theirs = _sha256(other)[:12], _sha256(toy.base)[:12]
    assert str(caught.value) == (
        f"{other}: not the base of {toy_file} ({toy.base.name}): the hash of its weights is "
        f"{mine}, expected {theirs}; nothing was written"
    )


@pytest.mark.parametrize("place", [0.3, 0.6, 0.999])
def test_base_with_one_byte_changed_is_refused(
    place: float, toy: ToyRun, toy_file: Path, tmp_path: Path
) -> None:
    data = bytearray(toy.base.read_bytes())
    data[int(place * len(data))] ^= 1
    (tmp_path / "base.safetensors").write_bytes(data)
    with pytest.raises(UsageError):
        toy.load(toy_file, toy.cache, tmp_path / "base.safetensors")


@pytest.mark.parametrize("length", [0, 5, 8, 100, -1])
def test_truncated_base_is_refused(length: int, toy: ToyRun, toy_file: Path, tmp_path: Path) -> None:
    (tmp_path / "base.safetensors").write_bytes(toy.base.read_bytes()[:length])
    with pytest.raises(UsageError, match=r"base\.safetensors"):
        toy.load(toy_file, toy.cache, tmp_path / "base.safetensors")


@pytest.mark.parametrize("kind", ["another name", "a folder", "metadata", "another order", "two files", "three files"])  # fmt: skip
def test_base_in_other_files_is_the_same_base(kind: str, toy: ToyRun, toy_file: Path, tmp_path: Path) -> None:
    tensors = load_file(toy.base)
    names, place = sorted(tensors), tmp_path / "base"
    place.mkdir()
    match kind:
        case "another name" | "a folder":
            shutil.copy(toy.base, place / "mine.safetensors")
        case "metadata":
            save_file(tensors, place / "x.safetensors", metadata={"format": "pt", "made": "here"})
        case "another order":
            # The library sorts by size of the dtype and name; so the header is written by hand.
            _in_order(tensors, list(reversed(names)), place / "x.safetensors")
        case _:
            parts = 2 if kind == "two files" else 3
            for i in range(parts):
                part = {name: tensors[name] for name in names[i::parts]}
                save_file(part, place / f"model-{i}.safetensors")
    base = place / "mine.safetensors" if kind == "another name" else place
    found = toy.load(toy_file, toy.cache, base)
    assert weights_sha256(found) == weights_sha256(toy.ensemble())


def _in_order(tensors: dict[str, Any], names: list[str], path: Path) -> None:
    header, start = dict[str, Any](), 0
    for name in names:
        size = tensors[name].nbytes
        shape = list(tensors[name].shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, start + size]}
        start += size
    text = json.dumps(header).encode()
    path.write_bytes(
        len(text).to_bytes(8, "little") + text + b"".join(tensors[name].tobytes() for name in names)
    )


@pytest.mark.parametrize("kind", ["a shape", "a dtype", "a name", "a weight more", "a weight less"])
def test_base_with_other_shapes_dtypes_or_names_is_refused(
    kind: str, toy: ToyRun, toy_file: Path, tmp_path: Path
) -> None:
    tensors = load_file(toy.base)
    match kind:
        case "a shape":
            tensors["layers.0.weight"] = tensors["layers.0.weight"].reshape(9, 11)
        case "a dtype":
            tensors["layers.0.weight"] = tensors["layers.0.weight"].view(np.int32)
        case "a name":
            tensors["layers.9.weight"] = tensors.pop("layers.0.weight")
        case "a weight more":
            tensors["more"] = np.zeros(3, dtype=np.float32)
        case _:
            del tensors["head.bias"]
    save_file(tensors, tmp_path / "base.safetensors")
    with pytest.raises(UsageError, match="not the base of"):
        toy.load(toy_file, toy.cache, tmp_path / "base.safetensors")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file or folder; the base is required"),
        ("empty folder", "no safetensors file there; the base is required"),
        ("text", "cannot be read"),
        ("the boost file", "not the base of"),
    ],
)
def test_file_that_is_not_a_base_is_refused(
    kind: str, message: str, toy: ToyRun, toy_file: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    match kind:
        case "empty folder":
            base.mkdir()
        case "text":
            base.write_text("weights\n" * 40)
        case "the boost file":
            base = toy_file
        case _:
            pass
    with pytest.raises(UsageError) as caught:
        toy.load(toy_file, toy.cache, base)
    assert str(caught.value).startswith(f"{base}: {message}")


def test_base_with_a_repeated_tensor_name_is_refused(toy: ToyRun, toy_file: Path, tmp_path: Path) -> None:
    data = toy.base.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length].rstrip()
    entry = json.dumps({"head.bias": json.loads(header)["head.bias"]})[1:-1].encode()
    doubled = header[:-1] + b"," + entry + b"}"
    base = tmp_path / "base.safetensors"
    base.write_bytes(len(doubled).to_bytes(8, "little") + doubled + data[8 + length :])
    with pytest.raises(UsageError, match="cannot be read"):
        toy.load(toy_file, toy.cache, base)


def test_tensor_hash_does_not_depend_on_the_split_into_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {f"w{i}": rng.standard_normal((i + 1, 2)).astype(np.float32) for i in range(5)}
    save_file(tensors, tmp_path / "whole.safetensors")
    for i in range(5):
        save_file({f"w{i}": tensors[f"w{i}"]}, tmp_path / f"{i}.safetensors", metadata={"part": str(i)})
    parts = tuple(tmp_path / f"{i}.safetensors" for i in (3, 0, 4, 1, 2))
    assert tensors_sha256((tmp_path / "whole.safetensors",)) == tensors_sha256(parts)
    assert tensors_sha256(parts) != tensors_sha256(parts[:-1])


# -- A base in Hugging Face's layout


def _load(file: Path, base: str | Path, cache: Path) -> Ensemble:
    return load(file, base, context=RunContext(cache=cache))


@pytest.fixture(scope="module")
def causal_file(causal_path: Path, shared_cache: Path) -> Path:
    """The boost file of the tiny Llama's run."""
    ensemble = Ensemble.open(causal_path, context=RunContext(cache=shared_cache))
    return save(ensemble, causal_path.parent / "words.boost.safetensors")


@pytest.fixture
def expected(causal_path: Path, shared_cache: Path) -> str:
    """Hash of the run's merged weights."""
    return weights_sha256(Ensemble.open(causal_path, context=RunContext(cache=shared_cache)))


@pytest.mark.parametrize("kind", ["folder", "its file", "moved", "in shards"])
def test_hf_base_is_accepted_from_any_folder(
    kind: str, causal_path: Path, causal_file: Path, expected: str, tmp_path: Path
) -> None:
    model: Path = causal_path.parent / "model"
    base = model
    if kind == "its file":
        base = model / "model.safetensors"
    elif kind != "folder":
        base = tmp_path / "moved"
        shutil.copytree(model, base)
    if kind == "in shards":
        tensors = load_file(base / "model.safetensors")
        (base / "model.safetensors").unlink()
        places = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(sorted(tensors))}
        for file in set(places.values()):
            save_file({n: tensors[n] for n in tensors if places[n] == file}, base / file, {"format": "pt"})
        index = {"metadata": {}, "weight_map": places}
        (base / "model.safetensors.index.json").write_text(json.dumps(index))
    assert weights_sha256(_load(causal_file, base, tmp_path / "cache")) == expected


def test_hf_base_of_other_weights_is_refused(causal_path: Path, causal_file: Path, tmp_path: Path) -> None:
    base = tmp_path / "other"
    shutil.copytree(causal_path.parent / "model", base)
    tensors = load_file(base / "model.safetensors")
    first = min(tensors)
    tensors[first] = tensors[first] * np.float32(1.001)
    save_file(tensors, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(UsageError, match=r"not the base of .* nothing was written"):
        _load(causal_file, base, tmp_path / "cache")


def test_hf_base_that_is_neither_local_nor_on_the_hub_is_refused_early(
    causal_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    began = time.process_time()
    with pytest.raises(UsageError) as caught:
        _load(causal_file, "nobody/has-this-model", tmp_path / "cache")
    assert "nobody/has-this-model" in str(caught.value)
    assert "cannot be fetched from the Hugging Face Hub" in str(caught.value)
    assert time.process_time() - began < 10


@pytest.mark.parametrize("base", ["nowhere/at/all", "./nowhere", "/nowhere", "a b", "~nobody/x"])
def test_hf_base_that_is_neither_a_path_nor_an_id_is_refused(
    base: str, causal_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        _load(causal_file, base, tmp_path / "cache")
    assert (
        str(caught.value) == f"{base}: neither a file, a folder nor a Hugging Face id; the base is required"
    )


@pytest.mark.parametrize("base", ["", " ", "~no-such-user/x", "x" * 5000, "a\0b"])
def test_base_that_is_not_a_path_is_refused(
    base: str, causal_file: Path, toy_file: Path, toy: ToyRun, tmp_path: Path
) -> None:
    with pytest.raises(UsageError):
        _load(causal_file, base, tmp_path / "cache")
    with pytest.raises(UsageError):
        load(toy_file, base, plugins=toy.plugins, context=RunContext(cache=toy.cache))


def test_hf_base_without_its_weights_is_refused(causal_path: Path, causal_file: Path, tmp_path: Path) -> None:
    base = tmp_path / "bare"
    shutil.copytree(causal_path.parent / "model", base)
    (base / "model.safetensors").unlink()
    with pytest.raises(UsageError):
        _load(causal_file, base, tmp_path / "cache")
